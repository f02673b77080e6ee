// @ts-check
// All that the photo under a node says.

import { percent } from "../common/page.js";

export const WORDS = {
    /**
     * @param {number} place of the face among those of its photo, from 1
     * @param {number} count
     * @param {number} number by which the node takes it
     * @param {number} confidence 0..1
     */
    face: (place, count, number, confidence) =>
        `face ${place} of ${count}, ${percent(confidence)}; its number is ${number}`,
    /** @param {number} confidence 0..1 */
    unsure: (confidence) => `face below min_confidence, ${percent(confidence)}`,
    /** @param {string[]} users */
    users: (users) => `; taken by ${users.join(", ")}`,
    /**
     * @param {number} place from 1
     * @param {number} count
     * @param {number} faces
     */
    photo: (place, count, faces) => `photo ${place} of ${count}, ${faces === 1 ? "1 face" : `${faces} faces`}`,
    strip: "photos",
    gone: "The photo is no longer there. Run shows it again.",
    noFace: "No face was found here.",
    /** @param {number} minConfidence */
    noneSure: (minConfidence) => `No face is as sure as ${minConfidence}. Run looks again, in other sizes.`,
    /**
     * @param {number} index
     * @param {number} count
     * @param {boolean} skipped
     */
    lacking: (index, count, skipped) =>
        `There is no face ${index} here, the last is ${count - 1}: ` +
        (skipped ? "the photo is left out." : "Run would stop."),
    /**
     * @param {number} index
     * @param {number} confidence
     * @param {number} photos
     */
    chosen: (index, confidence, photos) =>
        photos > 1
            ? `Face ${index} of every photo is taken; here ${percent(confidence)} sure.`
            : `Face ${index} is taken, ${percent(confidence)} sure. Click another to change.`,
    /** @param {string} name of a widget */
    linked: (name) => `${name} comes from a connection, so it is not chosen here.`,
    /** @param {string[]} users titles of nodes */
    pick: (users) =>
        users.length ? `Click a face to give it to ${users.join(" or ")}.` : "Click a face to copy its number.",
    /** @param {number} number */
    question: (number) => `Face ${number} for`,
    /** @param {number} number */
    copy: (number) => `Copy the number ${number}`,
    /** @param {number} number */
    copied: (number) => `Copied ${number}, for batch_index of ImageFromBatch.`,
    /** @param {number} number */
    notCopied: (number) => `Its number is ${number}, for batch_index of ImageFromBatch.`,
    /**
     * @param {number} number
     * @param {string} title
     */
    given: (number, title) => `${title} takes face ${number}.`,
    /** @param {string} title */
    locked: (title) => `${title} has its number from a connection.`,
    cancel: "Cancel",
};
