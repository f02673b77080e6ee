// @ts-check
/**
 * Who is where, live: while a sampler works, the map of its last step under Record Routing or Apply ID Router.
 *
 * @typedef {import("./common/frontend").Api} Api
 * @typedef {import("./live_routing/types.js").Begin} Begin
 * @typedef {import("./live_routing/types.js").Graph} Graph
 * @typedef {import("./live_routing/types.js").GraphNode} GraphNode
 * @typedef {import("./live_routing/types.js").Step} Step
 */

import { api as givenApi } from "../../../scripts/api.js";
import { app as givenApp } from "../../../scripts/app.js";
import { addFeature, makeGuard } from "./common/feature.js";
import { addStyleSheet } from "./common/page.js";
import { makeAsking } from "./live_routing/asking.js";
import { nodeOf } from "./live_routing/nodes.js";
import { addPanel, fit } from "./live_routing/widget.js";

/** @type {Api} */
const api = givenApi;
/** @typedef {{ graph?: Graph, rootGraph?: Graph }} App */
const app = /** @type {App} */ (/** @type {unknown} */ (givenApp));

const TITLE = "showing who is where";

/** Where the front end keeps whether somebody wants to look. */
const SETTING = {
    id: "UniPortrait.LiveRouting",
    category: ["UniPortrait", "Routing", "LiveRouting"],
    name: "Show who is where while a sampler works",
    tooltip: "Under Record Routing, or Apply ID Router where there is none. Off costs nothing.",
    type: "boolean",
    defaultValue: true,
};

/** @typedef {NonNullable<ReturnType<typeof addPanel>>} Shown */

start();

function start() {
    /** @type {Map<GraphNode, Shown>} */
    const shown = new Map();
    let looks = SETTING.defaultValue;
    const ask = makeAsking(api, () => looks);
    const guard = makeGuard(TITLE, () => {
        looks = false; // nothing more has to be computed
        void ask();
    });

    /** @param {Begin} begin */
    const begin = ({ node: id, people }) => {
        const node = nodeOf(app.rootGraph ?? app.graph, id);
        if (!node || !looks) return;
        forgetRemoved(shown);
        const own = shown.get(node) ?? addPanel(node);
        if (!own) return;
        shown.set(node, own);
        own.panel.begin(people);
        fit(node);
    };
    /** @param {Step} step */
    const show = (step) => {
        const node = nodeOf(app.rootGraph ?? app.graph, step.node);
        if (node) shown.get(node)?.panel.show(step);
    };
    const hide = () => {
        for (const { remove } of shown.values()) remove();
        shown.clear();
    };

    guard(() => {
        const change = (/** @type {boolean} */ wanted) => {
            looks = wanted;
            void ask();
            if (!wanted) hide();
        };
        addStyleSheet(new URL("./live_routing/live_routing.css", import.meta.url));
        api.addEventListener(
            "uniportrait.routing.begin",
            guard((event) => begin(event.detail)),
        );
        api.addEventListener(
            "uniportrait.routing.step",
            guard((event) => show(event.detail)),
        );
        const settings = [{ ...SETTING, onChange: guard(change) }];
        addFeature(givenApp, TITLE, { name: "UniPortrait.LiveRouting", settings, setup: ask }, guard);
    })();
}

/**
 * Nodes that are in no graph any more.
 *
 * @param {Map<GraphNode, Shown>} shown
 */
function forgetRemoved(shown) {
    for (const node of shown.keys()) if (!node.graph) shown.delete(node);
}
