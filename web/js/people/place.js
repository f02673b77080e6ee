/**
 * People become nodes: a Load Face ID each, and Combine Face IDs for several.
 *
 * @typedef {import("../common/frontend").App} App
 * @typedef {import("../common/frontend").GraphNode} GraphNode
 */

import { COMBINE, FILE, LOAD, widget } from "./nodes.js";

const TITLE = 30; // height of a node's title
const GAP = 50;
const LEAST_HEIGHT = 210; // nodes that are drawn as elements are not measured yet
const SLOTS = 4; // of Combine Face IDs

/**
 * Puts people on the canvas, chosen, as one step of undo.
 *
 * @param {App} app
 * @param {string[]} files
 * @param {[number, number]} position of the first node's middle of the top, on the canvas
 * @returns {GraphNode[]} the nodes
 */
export function placePeople(app, files, position) {
    app.canvas.emitBeforeChange?.();
    try {
        const loaders = placeLoaders(app, files, position);
        const nodes = [...loaders, ...joined(app, loaders)];
        app.canvas.selectItems?.(nodes);
        return nodes;
    } finally {
        app.canvas.emitAfterChange?.();
        app.canvas.setDirty(true, true);
    }
}

/**
 * Puts people into the middle of what is seen.
 *
 * @param {App} app
 * @param {string[]} files
 */
export function placeInTheMiddle(app, files) {
    const { left, top, width, height } = app.canvas.canvas.getBoundingClientRect();
    const rows = Math.min(files.length, 3) - 1;
    const [x, y] = app.clientPosToCanvasPos([left + width / 2, top + height / 2]);
    return placePeople(app, files, [x, y - (rows * (LEAST_HEIGHT + GAP)) / 2 - LEAST_HEIGHT / 2]);
}

/**
 * @param {App} app
 * @param {string[]} files
 * @param {[number, number]} position
 */
function placeLoaders(app, files, [x, y]) {
    let top = y;
    return files.map((file) => {
        const node = add(app, LOAD);
        const choice = widget(node, FILE);
        if (choice) {
            const values = choice.options.values;
            if (Array.isArray(values) && !values.includes(file)) choice.options.values = [...values, file];
            choice.value = file;
            choice.callback?.(file);
        }
        node.pos = [x - node.size[0] / 2, top + TITLE];
        top += Math.max(node.size[1], LEAST_HEIGHT) + GAP;
        return node;
    });
}

/**
 * Joins people. More than a Combine Face IDs takes go through a second one, which takes the first and the next people.
 *
 * @param {App} app
 * @param {GraphNode[]} loaders
 */
function joined(app, loaders) {
    /** @type {GraphNode[]} */
    const made = [];
    let waiting = loaders;
    while (waiting.length > 1) {
        const node = add(app, COMBINE);
        const sources = waiting.slice(0, SLOTS);
        for (const [slot, source] of sources.entries()) source.connect(0, node, slot);
        const [first] = loaders;
        node.pos = [first.pos[0] + first.size[0] + GAP + made.length * (node.size[0] + GAP), sources[0].pos[1]];
        if (made.length) node.pos = [node.pos[0], sources[1].pos[1]];
        made.push(node);
        waiting = [node, ...waiting.slice(SLOTS)];
    }
    return made;
}

/**
 * @param {App} app
 * @param {string} type
 */
function add(app, type) {
    const node = LiteGraph.createNode(type);
    if (!node) throw new Error(`The node ${type} is not there. See whether UniPortrait has been loaded.`);
    (app.canvas.graph ?? app.graph).add(node);
    return node;
}
