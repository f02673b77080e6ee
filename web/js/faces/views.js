// @ts-check
// What is framed, numbered and chosen on the photos of a node, by its widgets as they stand.

import { isLinked, MUTED, nodesBehind, setWidgets, sourceOf, widgetValue } from "./graph.js";
import { continueNumbers, numberFaces } from "./numbering.js";
import { WORDS } from "./words.js";

/** @typedef {import("./types.js").App} App */
/** @typedef {import("./types.js").Face} Face */
/** @typedef {import("./types.js").Frame} Frame */
/** @typedef {import("./types.js").GraphNode} GraphNode */
/** @typedef {import("./types.js").Photo} Photo */
/** @typedef {import("./types.js").ShownPhoto} ShownPhoto */
/** @typedef {import("./types.js").Taker} Taker */

export const ENCODE = "FaceIDEncode";
export const DETECT = "UniPortraitDetectFaces";
const SKIP = "skip photo";

/**
 * How a node numbers the faces of a photo now: Encode Face ID calls its order `face`.
 * @param {GraphNode} node
 * @param {Photo} photo
 */
function numberingOf(node, photo) {
    return {
        order: widgetValue(node, node.comfyClass === ENCODE ? "face" : "order", photo.order),
        minConfidence: widgetValue(node, "min_confidence", photo.min_confidence),
    };
}

/**
 * The photos of Encode Face ID, and why no face can be chosen, if so. Its number counts in every photo.
 * @param {GraphNode} node
 * @param {Photo[]} photos
 * @param {(photo: Photo) => string} address
 * @returns {{ photos: ShownPhoto[], locked: string }}
 */
export function viewOfEncode(node, photos, address) {
    const skipped = widgetValue(node, "no_face", String()) === SKIP;
    const shown = photos.map((photo) => {
        const index = widgetValue(node, "face_index", photo.index ?? 0);
        const numbering = numberingOf(node, photo);
        const faces = numberFaces(photo, numbering);
        const frames = framesOf(
            photo,
            faces,
            0,
            (face) => face === faces[index],
            () => [],
        );
        const lacking = index >= faces.length;
        return {
            ...placeOf(photo, address),
            frames,
            lacking,
            note: !faces.length
                ? noteOfNone(photo, numbering.minConfidence)
                : lacking
                  ? WORDS.lacking(index, faces.length, skipped)
                  : WORDS.chosen(index, faces[index].confidence, photos.length),
        };
    });
    return { photos: shown, locked: isLinked(node, "face_index") ? WORDS.linked("face_index") : "" };
}

/**
 * The photos of Detect Faces, whose numbers go on from photo to photo of a run, with the nodes that take its faces.
 * @param {GraphNode} node
 * @param {Photo[][]} runs
 * @param {(photo: Photo) => string} address
 * @returns {{ photos: ShownPhoto[], locked: string }}
 */
export function viewOfDetect(node, runs, address) {
    const takers = takersOf(node, runs);
    let place = 0;
    const photos = runs.flatMap((run) => {
        const numbered = run.map((photo) => numberFaces(photo, numberingOf(node, photo)));
        const { first } = continueNumbers(numbered);
        return run.map((photo, at) => {
            const index = place++;
            /** @param {Face} face */
            const users = (face) => takers.filter((taker) => taker.takes(index) === face).map((taker) => taker.title);
            return {
                ...placeOf(photo, address),
                frames: framesOf(photo, numbered[at], first[at], (face) => users(face).length > 0, users),
                lacking: false,
                note: numbered[at].length
                    ? WORDS.pick(takers.map(({ title }) => title))
                    : noteOfNone(photo, numberingOf(node, photo).minConfidence),
            };
        });
    });
    return { photos, locked: "" };
}

/**
 * The nodes that take one of the faces of Detect Faces: ImageFromBatch behind its crops or masks, and Encode Face ID
 * that looks for faces in the same photos by itself.
 * @param {GraphNode} node
 * @param {Photo[][]} runs
 * @param {App} [app] needed to choose
 * @returns {Taker[]}
 */
export function takersOf(node, runs, app) {
    const photos = runs.flat();
    const running = (/** @type {GraphNode} */ other) => !MUTED.includes(other.mode ?? 0);
    const batch = nodesBehind(node, (slot) => slot > 0).filter(
        (other) => other.type === "ImageFromBatch" && running(other),
    );
    const source = sourceOf(node, "image");
    const encoders = (node.graph?._nodes ?? []).filter(
        (other) =>
            other.comfyClass === ENCODE &&
            running(other) &&
            isLinked(other, "detector") &&
            sourceOf(other, "image") === source,
    );
    return [
        ...(runs.length === 1 ? batch.map((other) => batchTaker(other, node, runs[0], app)) : []),
        ...(source ? encoders.map((other) => encodeTaker(other, photos, app)) : []),
    ];
}

/**
 * @param {GraphNode} node
 * @param {GraphNode} detect
 * @param {Photo[]} run
 * @param {App} [app]
 * @returns {Taker}
 */
function batchTaker(node, detect, run, app) {
    const numbered = run.map((photo) => numberFaces(photo, numberingOf(detect, photo)));
    const { first, count } = continueNumbers(numbered);
    return {
        node,
        title: titleOf(node),
        takes(photo) {
            // A number that is too high takes the last of the batch; one from a connection is not known here.
            const number = Math.min(widgetValue(node, "batch_index", -1), count - 1);
            return numbered[photo][number - first[photo]] ?? null;
        },
        choose(_photo, _face, number) {
            if (isLinked(node, "batch_index")) return false;
            if (app) setWidgets(app, node, { batch_index: number });
            return true;
        },
    };
}

/**
 * @param {GraphNode} node
 * @param {Photo[]} photos
 * @param {App} [app]
 * @returns {Taker}
 */
function encodeTaker(node, photos, app) {
    return {
        node,
        title: titleOf(node),
        takes(photo) {
            const faces = numberFaces(photos[photo], numberingOf(node, photos[photo]));
            return faces[widgetValue(node, "face_index", -1)] ?? null;
        },
        choose(photo, face) {
            if (isLinked(node, "face_index")) return false;
            const own = numberingOf(node, photos[photo]);
            const same = own.minConfidence >= photos[photo].min_confidence && own.minConfidence <= face.confidence;
            // With a limit of its own that leaves this face out, or finds others besides, its numbers would be others.
            const numbering = same ? own : { ...own, minConfidence: photos[photo].min_confidence };
            const index = numberFaces(photos[photo], numbering).indexOf(face);
            if (app) setWidgets(app, node, { min_confidence: numbering.minConfidence, face_index: index });
            return true;
        },
    };
}

/** @param {GraphNode} node */
const titleOf = (node) => node.getTitle?.() || node.title || node.type;

/**
 * @param {Photo} photo
 * @param {(photo: Photo) => string} address
 */
const placeOf = (photo, address) => ({ url: address(photo), width: photo.width, height: photo.height });

/**
 * @param {Photo} photo
 * @param {number} minConfidence
 */
const noteOfNone = (photo, minConfidence) => (photo.faces.length ? WORDS.noneSure(minConfidence) : WORDS.noFace);

/**
 * Frames in the order of the numbers, which begin at `first`; then those of faces that are not taken.
 * @param {Photo} photo
 * @param {Face[]} faces
 * @param {number} first
 * @param {(face: Face) => boolean} isChosen
 * @param {(face: Face) => string[]} usersOf
 * @returns {Frame[]}
 */
function framesOf(photo, faces, first, isChosen, usersOf) {
    const numbered = faces.map((face, place) => {
        const users = usersOf(face);
        const label = WORDS.face(place + 1, faces.length, first + place, face.confidence);
        return {
            face,
            number: first + place,
            chosen: isChosen(face),
            users,
            label: users.length ? label + WORDS.users(users) : label,
        };
    });
    const left = photo.faces.filter((face) => !faces.includes(face));
    const others = left.map((face) => ({
        face,
        number: null,
        chosen: false,
        users: [],
        label: WORDS.unsure(face.confidence),
    }));
    return [...numbered, ...others];
}
