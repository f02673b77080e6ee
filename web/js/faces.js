// @ts-check
// Click the face: photos under Encode Face ID and Detect Faces, with frames to choose a face by.

import { app as frontEnd } from "../../../scripts/app.js";
import { addFeature, makeGuard } from "./common/feature.js";
import { addStyleSheet } from "./common/page.js";
import { outputKey, setWidgets, widgetValue } from "./faces/graph.js";
import { photosOf } from "./faces/numbering.js";
import { makePanel } from "./faces/panel.js";
import { passOn } from "./faces/pass_on.js";
import { DETECT, ENCODE, takersOf, viewOfDetect, viewOfEncode } from "./faces/views.js";
import { WORDS } from "./faces/words.js";

/** @typedef {import("./faces/types.js").App} App */
/** @typedef {import("./faces/types.js").Frame} Frame */
/** @typedef {import("./faces/types.js").GraphNode} GraphNode */
/** @typedef {import("./faces/types.js").Panel} Panel */
/** @typedef {import("./faces/types.js").Photo} Photo */
/** @typedef {import("./faces/types.js").Widget} Widget */

const TITLE = "choosing faces by a click";
const WIDGET = "uniportrait_faces";
const PREVIEW = "$$canvas-image-preview"; // of the front end, for a node's pictures
const MARGIN = 10; // pixels around a widget
const LOOK_AGAIN = 200; // milliseconds

/**
 * What is shown under one node.
 * @typedef {{
 *   node: GraphNode, runs: Photo[][], drawn: string, choose: (photo: number, frame: Frame) => void,
 *   panel?: Panel, widget?: Widget,
 * }} Shown
 */

register(/** @type {App} */ (/** @type {unknown} */ (frontEnd)));

/** @param {App} app */
function register(app) {
    /** @type {Set<Shown>} */
    const all = new Set();
    const guard = makeGuard(TITLE);
    /** @type {import("./common/frontend").Extension} */
    const extension = {
        name: "UniPortrait.Faces",
        setup() {
            addStyleSheet(new URL("./faces/faces.css", import.meta.url));
            // Values change by typing, undo, scripts, in subgraphs: no hook tells of all of them.
            const look = guard(() => {
                if (!document.hidden) for (const shown of all) draw(app, shown);
            });
            setInterval(look, LOOK_AGAIN);
        },
        nodeCreated(created) {
            const node = /** @type {GraphNode} */ (/** @type {unknown} */ (created));
            if (node.comfyClass === ENCODE || node.comfyClass === DETECT) attach(app, node, all, guard);
        },
        onNodeOutputsUpdated() {
            for (const shown of all) take(app, shown, undefined);
        },
    };
    addFeature(frontEnd, TITLE, extension, guard);
}

/**
 * @param {App} app
 * @param {GraphNode} node
 * @param {Set<Shown>} all
 * @param {ReturnType<typeof makeGuard>} guard
 */
function attach(app, node, all, guard) {
    /** @type {Shown} */
    const shown = { node, runs: [], drawn: "", choose: guard((photo, frame) => choose(app, shown, photo, frame)) };
    const restore = guard(() => take(app, shown, undefined));
    if (node.graph) all.add(shown);
    after(
        node,
        "onExecuted",
        guard((output) => take(app, shown, output)),
    );
    after(node, "onConfigure", () => queueMicrotask(restore)); // the front end may know what it showed before an undo
    after(
        node,
        "onAdded",
        guard(() => all.add(shown)),
    );
    after(
        node,
        "onRemoved",
        guard(() => all.delete(shown)),
    );
    if (node.comfyClass === DETECT)
        after(
            node,
            "onDrawBackground",
            guard(() => hidePreview(shown)),
        );
    for (const widget of node.widgets ?? [])
        after(
            widget,
            "callback",
            guard(() => draw(app, shown)),
        );
}

/**
 * Has something run after a callback of the front end's, whose result stays.
 * @template {string} K
 * @param {{ [name in K]?: ((...values: any[]) => unknown) | null }} object
 * @param {K} name
 * @param {(...values: any[]) => unknown} run
 */
function after(object, name, run) {
    const former = object[name];
    object[name] = function (/** @type {any[]} */ ...values) {
        const result = former?.apply(this, values);
        run(...values);
        return result;
    };
}

/**
 * Takes over what a node showed last: all of it is where the front end keeps it, a part in an event.
 * @param {App} app
 * @param {Shown} shown
 * @param {{ faces?: unknown } | undefined} output
 */
function take(app, shown, output) {
    const kept = app.nodeOutputs?.[outputKey(shown.node)] ?? output;
    if (!kept || !("faces" in kept)) return;
    shown.runs = photosOf(kept.faces);
    shown.drawn = "";
    if (shown.runs.length) addPanel(app, shown);
    if (shown.widget) shown.widget.hidden = !shown.runs.length;
    if (shown.panel) shown.panel.element.hidden = !shown.runs.length;
    draw(app, shown);
    hidePreview(shown);
}

/**
 * @param {App} app
 * @param {Shown} shown
 */
function addPanel(app, shown) {
    const { node } = shown;
    if (shown.panel || !node.addDOMWidget) return;
    const panel = makePanel(shown.choose);
    const widget = node.addDOMWidget(WIDGET, "uniportrait-faces", panel.element, {
        serialize: false,
        hideOnZoom: false,
        hideInPanel: true,
        margin: MARGIN,
        getMinHeight: () => panel.height(node.size[0] - 2 * MARGIN) + 2 * MARGIN,
        getValue: () => "",
        setValue: () => {},
    });
    widget.serialize = false; // workflows hold widgets by position
    shown.panel = panel;
    shown.widget = widget;
    passOn(app, panel.element);
}

/**
 * Grows a node so that what it shows has room.
 * @param {GraphNode} node
 */
function fit(node) {
    const height = node.computeSize?.()[1] ?? 0;
    if (node.size[1] < height) node.setSize?.([node.size[0], height]);
    node.setDirtyCanvas?.(true, true);
}

/**
 * Draws what has changed since the last time.
 * @param {App} app
 * @param {Shown} shown
 */
function draw(app, shown) {
    const { node, panel, runs } = shown;
    if (!panel || !runs.length) return;
    const address = (/** @type {Photo} */ photo) => app.api.apiURL(`/view?${new URLSearchParams(photo.photo)}`);
    const view =
        node.comfyClass === ENCODE ? viewOfEncode(node, runs.flat(), address) : viewOfDetect(node, runs, address);
    const drawn = JSON.stringify(view);
    if (drawn === shown.drawn) return;
    const first = !shown.drawn;
    shown.drawn = drawn;
    panel.show(view.photos, view.locked);
    if (first) fit(node);
}

/**
 * The photo with clickable frames takes the place of the one with drawn frames.
 * @param {Shown} shown
 */
function hidePreview({ node, widget }) {
    if (node.comfyClass !== DETECT) return;
    const hidden = Boolean(widget && !widget.hidden);
    node.hideOutputImages = hidden;
    const preview = node.widgets?.find(({ name }) => name === PREVIEW);
    if (!preview || preview.hidden === hidden) return;
    preview.hidden = hidden;
    if (hidden) preview.computeLayoutSize = () => ({ minHeight: 0, maxHeight: 0, minWidth: 1 });
    else delete preview.computeLayoutSize; // its class has the real one
}

/**
 * @param {App} app
 * @param {Shown} shown
 * @param {number} photo
 * @param {Frame} frame
 */
function choose(app, shown, photo, frame) {
    const { node, panel, runs } = shown;
    const number = frame.number;
    if (!panel || number === null) return;
    if (node.comfyClass === ENCODE) {
        if (widgetValue(node, "face_index", -1) !== number) setWidgets(app, node, { face_index: number });
        draw(app, shown);
        return;
    }
    const choices = takersOf(node, runs, app).map((taker) => ({
        label: taker.title,
        run: () => {
            const given = taker.choose(photo, frame.face, number);
            draw(app, shown);
            panel.say(given ? WORDS.given(number, taker.title) : WORDS.locked(taker.title));
        },
    }));
    const copy = { label: WORDS.copy(number), run: () => void copyNumber(panel, number) };
    if (!choices.length) copy.run();
    else if (choices.length === 1) choices[0].run();
    else panel.offer(WORDS.question(number), [...choices, copy]);
}

/**
 * @param {Panel} panel
 * @param {number} number
 */
async function copyNumber(panel, number) {
    try {
        await navigator.clipboard.writeText(`${number}`);
        panel.say(WORDS.copied(number));
    } catch {
        panel.say(WORDS.notCopied(number)); // a page that is not served by https may not copy
    }
}
