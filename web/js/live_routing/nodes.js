// @ts-check
/**
 * Nodes as the server names them.
 *
 * @typedef {import("./types.js").Graph} Graph
 * @typedef {import("./types.js").GraphNode} GraphNode
 */

const SHOWING = ["IDRouterApply", "UniPortraitRecordRouting"];

/**
 * The node that the server means by an id: "5", or "12:5" for node 5 in the subgraph that is node 12.
 *
 * @param {Graph | null | undefined} graph the whole graph
 * @param {string} id
 * @returns {GraphNode | undefined} undefined where there is none that shows a live map
 */
export function nodeOf(graph, id) {
    /** @type {GraphNode | undefined} */
    let node;
    let inside = graph;
    for (const part of id.split(":")) {
        node = (inside?._nodes ?? inside?.nodes ?? []).find((other) => String(other.id) === part);
        inside = node?.subgraph;
    }
    return node && SHOWING.includes(node.comfyClass ?? node.type ?? "") ? node : undefined;
}
