// @ts-check
// How faces are numbered: what `order_faces` of uniportrait_core/faces/detection.py does, on the same numbers.

/** @typedef {import("./types.js").Face} Face */
/** @typedef {import("./types.js").Photo} Photo */
/** @typedef {import("./types.js").Numbering} Numbering */

/**
 * The key that each order sorts by, smallest first.
 * @type {Record<string, (face: Face) => number>}
 */
export const ORDERS = {
    largest: ({ box: [left, top, right, bottom] }) => -Math.abs((right - left) * (bottom - top)),
    "left to right": ({ box }) => box[0] + box[2],
    "most confident": ({ confidence }) => -confidence,
};

/**
 * The faces of a photo by their numbers, from 0.
 *
 * Those that are less sure than `minConfidence` are left out, as a run would leave them out; what a lower value would
 * find besides, only a run can tell.
 * @param {Photo} photo
 * @param {Numbering} numbering
 * @returns {Face[]}
 */
export function numberFaces(photo, { order, minConfidence }) {
    const key = ORDERS[order];
    const raised = minConfidence > photo.min_confidence;
    const found = photo.faces.filter((face) => !raised || face.confidence >= minConfidence);
    // Sorting is stable in both languages: faces that tie stay in the order in which they were found.
    return key ? found.sort((one, other) => key(one) - key(other)) : found;
}

/**
 * The number of the first face of every photo, where the count goes on from photo to photo, and the count itself.
 * @param {Face[][]} photos
 */
export function continueNumbers(photos) {
    let count = 0;
    const first = photos.map((faces) => {
        const number = count;
        count += faces.length;
        return number;
    });
    return { first, count };
}

/**
 * The box of a face in shares of the photo, cut at its edges: left, top, width, height, 0..1.
 * @param {Face} face
 * @param {{ width: number, height: number }} photo
 */
export function frameOf({ box }, { width, height }) {
    const [left, right] = [box[0], box[2]].map((x) => Math.min(Math.max(x / width, 0), 1));
    const [top, bottom] = [box[1], box[3]].map((y) => Math.min(Math.max(y / height, 0), 1));
    return { left, top, width: right - left, height: bottom - top };
}

/**
 * The photos in a node's UI data, run by run; nothing where it has none, or is of another kind.
 * @param {unknown} runs
 * @returns {Photo[][]}
 */
export function photosOf(runs) {
    if (!Array.isArray(runs)) return [];
    return runs.map((run) => (Array.isArray(run) ? run.filter(isPhoto) : [])).filter((run) => run.length > 0);
}

/** @param {any} photo */
function isPhoto(photo) {
    return Boolean(photo?.photo?.filename && photo.width > 0 && photo.height > 0 && Array.isArray(photo.faces));
}
