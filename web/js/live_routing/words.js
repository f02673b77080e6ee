// @ts-check
/** What the live map says. */

import { percent } from "../common/page.js";

export const WAITING = "Waiting for the first step";

/**
 * @param {number} person counted from 0
 * @returns {string}
 */
export function nameOf(person) {
    return `person ${person + 1}`;
}

/**
 * @param {number[]} people counted from 0; one at least
 * @returns {string}
 */
export function aboutToBeMissing(people) {
    const names = people.map(nameOf);
    const last = names.pop() ?? "";
    const all = names.length ? `${names.join(", ")} and ${last}` : last;
    return `${all[0].toUpperCase()}${all.slice(1)} ${people.length > 1 ? "are" : "is"} about to be missing`;
}

/**
 * The map in words.
 *
 * @param {number[]} shares 0 to 1, of every person
 * @returns {string}
 */
export function described(shares) {
    return shares.map((share, person) => `${nameOf(person)} has ${percent(share)} of the picture`).join(", ");
}

/**
 * @param {number | null} step from 1
 * @param {number | null} steps in all
 * @returns {string}
 */
export function progress(step, steps) {
    if (!step || !steps) return "";
    return `step ${Math.min(step, steps)} of ${steps}`;
}
