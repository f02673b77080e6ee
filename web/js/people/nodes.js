/**
 * The pack's nodes that people come from and go to, by what the front end knows them by.
 *
 * @typedef {import("../common/frontend").App} App
 * @typedef {import("../common/frontend").Graph} Graph
 * @typedef {import("../common/frontend").GraphNode} GraphNode
 */

export const LOAD = "UniPortraitLoadFaceID";
export const SAVE = "UniPortraitSaveFaceID";
export const COMBINE = "MultiIDConditioning";
export const FACE_ID = "UNIPORTRAIT_FACE_ID"; // the type of a socket
export const FILE = "face_id_file"; // widget of Load Face ID
export const PREFIX = "filename_prefix"; // widget of Save Face ID

/**
 * @param {GraphNode} node
 * @param {string} name
 */
export function widget(node, name) {
    return node.widgets?.find((one) => one.name === name);
}

/**
 * All nodes with their execution ids, those inside subgraphs too.
 *
 * @param {App} app
 * @returns {Generator<{ node: GraphNode, id: string }>}
 */
export function* everyNode(app) {
    yield* nodesOf(app.rootGraph ?? app.graph, "");
}

/**
 * @param {Graph} graph
 * @param {string} path
 * @returns {Generator<{ node: GraphNode, id: string }>}
 */
function* nodesOf(graph, path) {
    for (const node of graph._nodes) {
        yield { node, id: `${path}${node.id}` };
        if (node.subgraph) yield* nodesOf(node.subgraph, `${path}${node.id}:`);
    }
}
