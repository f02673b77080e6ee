/**
 * Saving people from the canvas, by a name that is asked for: a button on Save Face ID, and an entry in the menu of every
 * node that gives people.
 *
 * @typedef {import("../common/frontend").App} App
 * @typedef {import("../common/frontend").GraphNode} GraphNode
 * @typedef {import("../common/frontend").MenuItem} MenuItem
 * @typedef {import("../common/frontend").NodeClass} NodeClass
 * @typedef {import("../common/frontend").NodeDefinition} NodeDefinition
 */

import { askText, telling } from "../common/dialogs.js";
import { everyNode, FACE_ID, PREFIX, SAVE, widget } from "./nodes.js";

const GAP = 50;
const TITLE = "Save people"; // of questions and messages
const BUTTON = "Save as …";

/**
 * @param {App} app
 * @param {GraphNode} node
 */
export function addSaveButton(app, node) {
    if (node.type !== SAVE && Object(node).comfyClass !== SAVE) return;
    const button = node.addWidget(
        "button",
        BUTTON,
        null,
        telling(app, TITLE, () => saveAs(app, node)),
        { serialize: false },
    );
    button.serialize = false; // saved workflows hold widgets by position
}

/**
 * @param {App} app
 * @param {NodeClass} node
 * @param {NodeDefinition} definition
 */
export function addSaveToMenu(app, node, definition) {
    if (!Array.isArray(definition.output) || !definition.output.includes(FACE_ID)) return;
    const before = node.prototype.getExtraMenuOptions;
    /** @type {(this: GraphNode, canvas: unknown, options: (MenuItem | null)[]) => unknown} */
    node.prototype.getExtraMenuOptions = function (canvas, options) {
        const result = before?.call(this, canvas, options);
        options.push({ content: "Save people as …", callback: telling(app, TITLE, () => saveOutput(app, this)) });
        return result;
    };
}

/**
 * Asks for a name, writes it into Save Face ID, and runs what leads to that node.
 *
 * @param {App} app
 * @param {GraphNode} node a Save Face ID
 */
async function saveAs(app, node) {
    const prefix = widget(node, PREFIX);
    if (!prefix) throw new Error("Save Face ID has no filename_prefix.");
    const name = await askName(app, String(prefix.value ?? ""));
    if (name) await run(app, node, name);
}

/**
 * The same for a node that gives people: with the Save Face ID at its output, or with a new one.
 *
 * @param {App} app
 * @param {GraphNode} node
 */
async function saveOutput(app, node) {
    const name = await askName(app, "");
    if (name) await run(app, saver(node) ?? addSaver(app, node), name);
}

/**
 * @param {App} app
 * @param {string} value
 */
function askName(app, value) {
    const message = "Who is it? A name, or folder/name. What leads to Save Face ID is run at once.";
    return askText(app, TITLE, message, value);
}

/**
 * @param {App} app
 * @param {GraphNode} node a Save Face ID
 * @param {string} name
 */
async function run(app, node, name) {
    const prefix = widget(node, PREFIX);
    if (prefix) {
        prefix.value = name;
        prefix.callback?.(name);
    }
    app.canvas.setDirty(true, true);
    const id = [...everyNode(app)].find((one) => one.node === node)?.id;
    await app.queuePrompt(0, 1, id ? [id] : undefined);
}

/**
 * The Save Face ID that a node's people go to already.
 *
 * @param {GraphNode} node
 */
function saver(node) {
    const { graph } = node;
    const links = node.outputs?.find((output) => output.type === FACE_ID)?.links ?? [];
    const targets = links.map((id) => {
        const link = graph?.links.get?.(id) ?? graph?.links[id];
        return link && graph?.getNodeById(link.target_id);
    });
    return targets.find((target) => target?.type === SAVE);
}

/**
 * @param {App} app
 * @param {GraphNode} node
 */
function addSaver(app, node) {
    const made = LiteGraph.createNode(SAVE);
    const graph = node.graph ?? app.graph;
    const slot = node.outputs?.findIndex((output) => output.type === FACE_ID) ?? -1;
    if (!made || slot < 0) throw new Error("Save Face ID cannot be added here.");
    app.canvas.emitBeforeChange?.();
    made.pos = [node.pos[0] + node.size[0] + GAP, node.pos[1]];
    graph.add(made);
    node.connect(slot, made, 0);
    app.canvas.emitAfterChange?.();
    return made;
}
