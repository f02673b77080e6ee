/**
 * The keyboard in the list of people.
 *
 * @typedef {import("./selection").Selection} Selection
 *
 * @typedef {object} KeyAction
 * @property {Selection} [selection]
 * @property {string} [focused]
 * @property {string} [act]
 */

import { choose, NOBODY } from "./selection.js";

/** @type {Record<string, string>} */
const ACTIONS = { Enter: "add", F2: "rename", Delete: "delete", Backspace: "delete" };

/**
 * What a key does; null where it is none of the list's.
 *
 * @param {KeyboardEvent} event
 * @param {Selection} selection
 * @param {string[]} files that are shown, in their order
 * @param {string} focused
 * @param {number} columns of the list
 * @returns {KeyAction | null}
 */
export function keyAction(event, selection, files, focused, columns) {
    const { key } = event;
    const control = event.ctrlKey || event.metaKey;
    if (ACTIONS[key] && !control) {
        const alone = selection.chosen.size || !focused ? selection : choose(NOBODY, files, focused, event);
        return { selection: alone, act: ACTIONS[key] };
    }
    if (key === "Escape") return selection.chosen.size ? { selection: NOBODY } : null;
    if (key === "a" && control) return { selection: { chosen: new Set(files), anchor: files[0] ?? null } };
    if (key === " ") return { selection: choose(selection, files, focused, { ...plain(event), ctrlKey: true }) };
    const next = neighbour(key, files.indexOf(focused), files.length, columns);
    if (next === undefined) return null;
    const file = files[next];
    return { focused: file, selection: control ? selection : choose(selection, files, file, plain(event)) };
}

/** @param {KeyboardEvent} event */
function plain({ shiftKey }) {
    return { ctrlKey: false, metaKey: false, shiftKey };
}

/**
 * @param {string} key
 * @param {number} index
 * @param {number} count
 * @param {number} columns
 * @returns {number | undefined}
 */
function neighbour(key, index, count, columns) {
    /** @type {Record<string, number>} */
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -count, End: count };
    if (!(key in steps) || !count) return undefined;
    return Math.min(Math.max(index + steps[key], 0), count - 1);
}
