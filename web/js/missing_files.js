// @ts-check
/**
 * When a workflow is opened that names published model files which this ComfyUI lacks, a notice shows the command that
 * gets them. The front end's own list of missing models offers no download of .bin and .onnx files, nor of archives.
 *
 * The server decides what is missing (host/web/missing_files.py); this file only asks and shows.
 */

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { addFeature } from "./common/feature.js";
import { post } from "./common/requests.js";

/**
 * @typedef {{ name: string, type?: string, value?: unknown }} Widget
 * @typedef {{ widget?: { name: string }, link?: number | null }} Slot
 * @typedef {{ type: string, mode?: number, widgets?: Widget[], inputs?: Slot[], subgraph?: Graph }} Node
 * @typedef {{ nodes?: Node[] }} Graph
 * @typedef {{ missing: string[], command: string }} Answer
 */

const ROUTE = "/uniportrait/missing_files";
const NOTICE = "uniportrait-missing-files";
/** With one of these in it a workflow is one of this pack's. */
const LOADERS = ["LoadUniPortrait", "UniPortraitLoadIPAdapter", "UniPortraitFaceDetector"];
/** Modes of nodes that do not run: muted and bypassed. */
const IDLE = [2, 4];
/** Milliseconds in which the front end turns to a loaded workflow's page; it does not where it loads a page anew. */
const PATIENCE = 3000;

/** What was open when the user closed the notice; it is not shown again for it. */
const closedFor = new WeakSet();
/** How often was looked so far; only the latest look shows something. */
let turns = 0;

/**
 * All nodes of a graph that run, those of subgraphs too.
 * @param {Graph | undefined} graph
 * @returns {Node[]}
 */
function runningNodes(graph) {
    const nodes = (graph?.nodes ?? []).filter((node) => !IDLE.includes(node.mode ?? 0));
    return nodes.flatMap((node) => [node, ...runningNodes(node.subgraph)]);
}

/**
 * What the combos of a node are set to, but for those that another node feeds.
 * @param {Node} node
 * @returns {string[]}
 */
function chosen(node) {
    const fed = (node.inputs ?? []).filter((slot) => slot.link != null).map((slot) => slot.widget?.name);
    const combos = (node.widgets ?? []).filter((widget) => widget.type === "combo" && !fed.includes(widget.name));
    return combos.map((widget) => String(widget.value));
}

/**
 * The page of this front end that is open: a new one each time that a workflow is opened, the same one when the user
 * comes back to its tab.
 * @returns {object | undefined}
 */
function openPage() {
    const workflow = /** @type {any} */ (app).extensionManager?.workflow?.activeWorkflow;
    return workflow?.changeTracker ?? workflow ?? undefined;
}

/**
 * The page that is open after a workflow was loaded. The front end loads first and turns to the new page then.
 * @param {object | undefined} before - the page at the time of loading
 */
async function pageAfter(before) {
    for (let waited = 0; waited < PATIENCE && openPage() === before; waited += 50) {
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return openPage();
}

/**
 * Look at the workflow on the canvas, and show the notice where files of it are missing, in the place of an earlier one.
 * @param {Promise<object | undefined>} page - the page that it is on
 */
async function look(page) {
    const turn = ++turns;
    const nodes = runningNodes(/** @type {any} */ (app).rootGraph ?? app.graph);
    const known = nodes.some((node) => LOADERS.includes(node.type));
    /** @type {Answer | undefined} */
    const answer = known ? await post(api, ROUTE, { names: nodes.flatMap(chosen) }) : undefined;
    const opened = await page;
    if (turn !== turns) return; // another workflow has come meanwhile
    document.getElementById(NOTICE)?.remove();
    if (answer?.missing.length && !(opened && closedFor.has(opened))) document.body.append(notice(answer));
}

/**
 * Run `look`; whatever goes wrong in it must not keep the front end from opening a workflow.
 * @param {Promise<object | undefined>} page
 */
function lookQuietly(page) {
    look(page).catch((error) => {
        document.getElementById(NOTICE)?.remove();
        console.warn("UniPortrait: missing files are not shown.", error);
    });
}

/**
 * @param {string} tag
 * @param {string} style
 * @param {string} text
 * @returns {HTMLElement}
 */
function element(tag, style, text = "") {
    const made = document.createElement(tag);
    made.style.cssText = style;
    made.textContent = text;
    return made;
}

const HOW =
    "This command gets them, in a terminal on the computer that ComfyUI runs on. It tells their licences first; some " +
    "are for research only. Press R here afterwards.";
// Above the dialog with which older front ends tell of missing models.
const BOX = `position: fixed; right: 24px; bottom: 72px; z-index: 10000; box-sizing: border-box;
    width: min(560px, calc(100vw - 96px)); max-height: 60vh; overflow: auto; padding: 14px 16px; border-radius: 8px;
    border: 1px solid var(--border-color, #555); background: var(--comfy-menu-bg, #222); color: var(--fg-color, #fff);
    font: 14px/1.45 sans-serif; box-shadow: 0 4px 20px #0008`;
const CODE = `display: block; margin: 8px 0; padding: 8px; border-radius: 4px; max-height: 7.5em; overflow: auto;
    background: var(--comfy-input-bg, #111); color: var(--input-text, #ddd); font: 12px/1.4 monospace;
    overflow-wrap: anywhere; user-select: text`;
const BUTTON = `margin-right: 8px; padding: 4px 14px; border-radius: 4px; border: 1px solid var(--border-color, #555);
    background: var(--comfy-input-bg, #111); color: var(--input-text, #ddd); font: inherit; cursor: pointer`;

/**
 * @param {Answer} answer
 * @returns {HTMLElement}
 */
function notice({ missing, command }) {
    const box = element("section", BOX);
    box.id = NOTICE;
    box.setAttribute("role", "dialog");
    box.setAttribute("aria-label", "UniPortrait: missing model files");
    const files = element("div", "margin: 4px 0; overflow-wrap: anywhere", missing.join(", "));
    const code = element("code", CODE, command);
    const copy = element("button", BUTTON, "Copy command");
    copy.addEventListener("click", async () => {
        copy.textContent = (await copied(code)) ? "Copied" : "Select it and press Ctrl+C";
    });
    const close = element("button", BUTTON, "Close");
    close.addEventListener("click", () => {
        const page = openPage();
        if (page) closedFor.add(page);
        box.remove();
    });
    box.append(
        element("strong", "", "UniPortrait: model files that this workflow names are missing"),
        files,
        element("div", "", HOW),
        code,
        copy,
        close,
    );
    return box;
}

/**
 * Put an element's text on the clipboard; where a page may not, as over plain HTTP, at least select it.
 * @param {HTMLElement} shown
 * @returns {Promise<boolean>} whether it is on the clipboard
 */
async function copied(shown) {
    try {
        await navigator.clipboard.writeText(shown.textContent ?? "");
        return true;
    } catch {
        getSelection()?.selectAllChildren(shown);
        return document.execCommand("copy");
    }
}

addFeature(app, "the notice of missing files", {
    name: "UniPortrait.MissingFiles",
    afterConfigureGraph() {
        lookQuietly(pageAfter(openPage()));
    },
    refreshComboInNodes() {
        if (document.getElementById(NOTICE)) lookQuietly(Promise.resolve(openPage()));
    },
});
