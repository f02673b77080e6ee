/**
 * Which people are chosen, as in a file manager: a click chooses one, with Ctrl one more or less, with Shift a range.
 *
 * @typedef {object} Selection
 * @property {Set<string>} chosen
 * @property {string | null} anchor where a range begins
 */

/** @type {Selection} */
export const NOBODY = { chosen: new Set(), anchor: null };

/**
 * @param {Selection} selection
 * @param {string[]} files all that are shown, in their order
 * @param {string} file the one that is clicked
 * @param {{ ctrlKey: boolean, metaKey: boolean, shiftKey: boolean }} keys
 * @returns {Selection}
 */
export function choose({ chosen, anchor }, files, file, { ctrlKey, metaKey, shiftKey }) {
    const more = ctrlKey || metaKey;
    const start = anchor === null ? -1 : files.indexOf(anchor);
    if (shiftKey && start >= 0) {
        const end = files.indexOf(file);
        const range = files.slice(Math.min(start, end), Math.max(start, end) + 1);
        return { chosen: new Set(more ? [...chosen, ...range] : range), anchor };
    }
    if (!more) return { chosen: new Set([file]), anchor: file };
    const toggled = new Set(chosen);
    if (!toggled.delete(file)) toggled.add(file);
    return { chosen: toggled, anchor: file };
}

/**
 * The selection without those who are no longer there.
 *
 * @param {Selection} selection
 * @param {Set<string>} there
 * @returns {Selection}
 */
export function keep({ chosen, anchor }, there) {
    return {
        chosen: new Set([...chosen].filter((file) => there.has(file))),
        anchor: anchor !== null && there.has(anchor) ? anchor : null,
    };
}
