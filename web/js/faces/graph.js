// @ts-check
// Widgets and links of nodes on the canvas.

/** @typedef {import("./types.js").App} App */
/** @typedef {import("./types.js").GraphNode} GraphNode */
/** @typedef {import("./types.js").Graph} Graph */
/** @typedef {import("./types.js").Link} Link */

const PASSING_ON = ["Reroute", "MaskToImage"];
export const MUTED = [2, 4]; // modes of nodes that do not run: never, and bypass

/**
 * @param {GraphNode} node
 * @param {string} name
 */
export const widgetOf = (node, name) => node.widgets?.find((widget) => widget.name === name);

/**
 * Whether an input has a connection, which then counts instead of its widget.
 * @param {GraphNode} node
 * @param {string} name
 */
export const isLinked = (node, name) =>
    node.inputs?.some((input) => input.name === name && input.link != null) ?? false;

/**
 * The value of a widget, or `otherwise` where there is none, or a connection counts in its place.
 * @template T
 * @param {GraphNode} node
 * @param {string} name
 * @param {T} otherwise
 * @returns {T}
 */
export function widgetValue(node, name, otherwise) {
    const widget = isLinked(node, name) ? undefined : widgetOf(node, name);
    return typeof widget?.value === typeof otherwise ? /** @type {T} */ (widget?.value) : otherwise;
}

/**
 * Sets widgets of a node as if they had been typed in, as one step to undo.
 * @param {App} app
 * @param {GraphNode} node
 * @param {Record<string, unknown>} values by name
 */
export function setWidgets(app, node, values) {
    app.canvas?.emitBeforeChange?.();
    for (const [name, value] of Object.entries(values)) {
        const widget = widgetOf(node, name);
        if (!widget || widget.value === value) continue;
        const former = widget.value;
        widget.value = value;
        widget.callback?.(value, app.canvas, node);
        node.onWidgetChanged?.(name, value, former, widget);
    }
    app.canvas?.emitAfterChange?.();
    node.setDirtyCanvas?.(true, true);
}

/**
 * Where the value at an input comes from, reroutes left out: node and output, as a text; empty where it is not connected.
 * @param {GraphNode} node
 * @param {string} name
 * @returns {string}
 */
export function sourceOf(node, name) {
    const link = linkOf(node.graph, node.inputs?.find((input) => input.name === name)?.link);
    if (!link) return "";
    const origin = node.graph?.getNodeById(link.origin_id);
    if (origin?.type === "Reroute" && origin.inputs?.length) return sourceOf(origin, origin.inputs[0].name);
    return `${link.origin_id}:${link.origin_slot}`;
}

/**
 * The nodes behind some outputs of a node, in the same graph, through nodes that keep the order of a batch.
 * @param {GraphNode} node
 * @param {(slot: number) => boolean} wanted
 * @param {Set<GraphNode>} [seen]
 * @returns {GraphNode[]}
 */
export function nodesBehind(node, wanted = () => true, seen = new Set()) {
    const found = [];
    for (const id of (node.outputs ?? []).flatMap((output, slot) => (wanted(slot) ? (output.links ?? []) : []))) {
        const link = linkOf(node.graph, id);
        const target = link && node.graph?.getNodeById(link.target_id);
        if (!target || seen.has(target)) continue;
        seen.add(target);
        found.push(target);
        if (PASSING_ON.includes(target.type)) found.push(...nodesBehind(target, undefined, seen));
    }
    return found;
}

/**
 * @param {Graph | null | undefined} graph
 * @param {number | null | undefined} id
 * @returns {Link | undefined}
 */
function linkOf(graph, id) {
    if (!graph || id == null) return undefined;
    return graph.getLink?.(id) ?? graph.links?.get?.(id) ?? graph.links?.[id];
}

/**
 * The key by which the front end keeps what a node showed last.
 * @param {GraphNode} node
 */
export function outputKey(node) {
    const graph = node.graph;
    return graph && graph.isRootGraph === false ? `${graph.id}:${node.id}` : `${node.id}`;
}
