// @ts-check
/**
 * The panel as a widget of a node, which no saved workflow knows of.
 *
 * @typedef {import("./types.js").GraphNode} GraphNode
 * @typedef {import("./types.js").Widget} Widget
 */

import { Panel } from "./panel.js";

const NAME = "uniportrait_live_routing";
const MARGIN = 10; // pixels that the front end leaves around it
const MIN_WIDTH = 240; // of the node, in units of the canvas

/**
 * @param {GraphNode} node
 * @returns {{ panel: Panel, remove: () => void } | null} null where the front end has no widgets of this kind
 */
export function addPanel(node) {
    if (!node.addDOMWidget) return null;
    const panel = new Panel();
    // A list of values, be it empty, is saved as soon as there is any widget.
    const alone = !node.widgets?.length && node.serialize_widgets;
    if (alone) node.serialize_widgets = false;
    const widget = node.addDOMWidget(NAME, NAME, panel.element, {
        serialize: false,
        hideOnZoom: false,
        margin: MARGIN,
        getMinHeight: () => panel.height + 2 * MARGIN,
        getValue: () => "",
    });
    widget.serialize = false;
    const remove = () => {
        const index = node.widgets?.indexOf(widget) ?? -1;
        if (index >= 0) node.widgets?.splice(index, 1);
        widget.onRemove?.();
        panel.element.remove();
        if (alone) node.serialize_widgets = true;
        node.setSize([node.size[0], node.computeSize()[1]]);
    };
    return { panel, remove };
}

/**
 * Lets a node grow to what its widgets need; it stays as large as it was made.
 *
 * @param {GraphNode} node
 */
export function fit(node) {
    const needed = node.computeSize();
    const size = /** @type {[number, number]} */ ([
        Math.max(node.size[0], needed[0], MIN_WIDTH),
        Math.max(node.size[1], needed[1]),
    ]);
    if (size[0] !== node.size[0] || size[1] !== node.size[1]) node.setSize(size);
    node.setDirtyCanvas?.(true, true);
}
