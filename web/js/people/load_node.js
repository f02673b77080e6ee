/**
 * Load Face ID shows who is chosen, before it runs.
 *
 * @typedef {import("../common/frontend").App} App
 * @typedef {import("../common/frontend").GraphNode} GraphNode
 * @typedef {import("./library").Library} Library
 */

import { notify } from "../common/dialogs.js";
import { addStyle, element, faces, loadPictures, silhouette } from "./faces.js";
import { everyNode, FILE, LOAD, widget } from "./nodes.js";

const HEIGHT = 116; // of the faces, in units of the canvas
const MOST_FACES = 12;

/**
 * Puts the faces under the choice, where they follow it.
 *
 * @param {GraphNode} node
 * @param {Library} library
 */
export function showFaces(node, library) {
    const choice = node.type === LOAD || Object(node).comfyClass === LOAD ? widget(node, FILE) : undefined;
    if (!choice) return;
    addStyle();
    offer(node, library);
    // The first choice that the front end knows may be gone; a node of a workflow gets its own choice after this.
    if (library.choices?.length && !library.choices.includes(String(choice.value))) choice.value = library.choices[0];
    const shown = element("div", "uniportrait-faces");
    /** @type {unknown} */
    let last;
    const update = () => {
        last = choice.value;
        shown.replaceChildren(...portraits(library, String(choice.value ?? "")));
        loadPictures(shown);
    };
    const followed = () => {
        if (choice.value !== last) update();
    };
    const size = { getMinHeight: () => HEIGHT, getMaxHeight: () => HEIGHT, getHeight: () => HEIGHT };
    const settings = { ...size, serialize: false, hideOnZoom: false, onDraw: followed };
    node.addDOMWidget("faces", "uniportrait_faces", shown, settings).serialize = false;
    withoutPicturesOfRun(node);

    choice.callback = after(choice.callback, update);
    node.onConfigure = after(node.onConfigure, update);
    Object.assign(node, { uniportraitUpdate: update });
    library.ready().then(update, () => {}); // without a list there are initials
}

/**
 * Has all Load Face ID follow changes of the files.
 *
 * @param {App} app
 * @param {Library} library
 */
export function followChanges(app, library) {
    library.addEventListener("change", () => {
        for (const { node } of everyNode(app)) {
            if (node.type !== LOAD) continue;
            offer(node, library);
            Object(node).uniportraitUpdate?.();
        }
        app.canvas.setDirty(true, true);
    });
    library.addEventListener("saved", (event) => {
        const names = /** @type {CustomEvent<string[]>} */ (event).detail.map((file) => library.byFile.get(file)?.name);
        notify(app, "success", "Saved", names.join(", "));
    });
}

/**
 * Has all Load Face ID that load a file load it under its new name.
 *
 * @param {App} app
 * @param {string} from
 * @param {string} to
 */
export function followRename(app, from, to) {
    for (const { node } of everyNode(app)) {
        const choice = node.type === LOAD ? widget(node, FILE) : undefined;
        if (choice?.value === from) {
            choice.value = to;
            choice.callback?.(to);
        }
    }
}

/**
 * Offers the files that are there by now.
 *
 * @param {GraphNode} node
 * @param {Library} library
 */
function offer(node, library) {
    const choice = widget(node, FILE);
    if (choice && library.choices) choice.options.values = [...library.choices];
}

/**
 * @param {Library} library
 * @param {string} file
 */
function portraits(library, file) {
    const person = library.byFile.get(file);
    if (person) return faces(library, person, MOST_FACES);
    const name = file.split(/[/\\]/).pop()?.split(".")[0] ?? "";
    return file ? [silhouette(name)] : [];
}

/**
 * The faces are there already: a run need not show them a second time.
 *
 * @param {GraphNode} node
 */
function withoutPicturesOfRun(node) {
    node.hideOutputImages = true; // where nodes are elements
    Object.defineProperty(node, "imgs", { get: () => undefined, set: () => {}, configurable: true });
}

/**
 * A function that does what `first` does, and then `then`.
 *
 * @param {((...given: any[]) => unknown) | undefined} first
 * @param {() => void} then
 */
function after(first, then) {
    /** @this {unknown} @param {any[]} given */
    return function (...given) {
        const result = first?.apply(this, given);
        then();
        return result;
    };
}
