// @ts-check
/**
 * Colours for the wires and slots of the pack's own types, in the classic canvas and in Vue nodes. The user's colour
 * palette goes first, if it names one of the types.
 */
import { app } from "../../../scripts/app.js";
import { addFeature } from "./common/feature.js";

/**
 * By socket type. They are of middle lightness, to be seen on dark and on light themes, and far from each other and from
 * the types that ComfyUI has colours for.
 *
 * @type {Readonly<Record<string, string>>}
 */
const COLOURS = Object.freeze({
    UNIPORTRAIT: "#a56900",
    UNIPORTRAIT_FACE_ID: "#ff0069",
    UNIPORTRAIT_DETECTOR: "#009600",
    UNIPORTRAIT_ROUTING: "#0078ff",
    UNIPORTRAIT_IP_ADAPTER: "#0096a5",
    UNIPORTRAIT_STYLE: "#f000f0",
});

/**
 * Let a table of colours by type fall back to the pack's. Every palette that is loaded empties the entries of types that
 * it does not know: only a property that looks behind its value outlives that.
 *
 * @param {Record<string, string> | undefined} table of the canvas; nothing happens if this front end has none
 */
function addFallbacks(table) {
    if (!table) return;
    for (const [type, colour] of Object.entries(COLOURS)) {
        let given = table[type];
        Object.defineProperty(table, type, {
            configurable: true,
            enumerable: true,
            get: () => given || colour,
            set: (value) => {
                given = value;
            },
        });
    }
}

/** Vue nodes take colours from CSS. A palette's own are set on the element itself, which beats a style sheet. */
function addStyleSheet() {
    const rules = Object.entries(COLOURS).map(([type, colour]) => `--color-datatype-${type}: ${colour};`);
    const sheet = document.createElement("style");
    sheet.textContent = `:where(:root) { ${rules.join(" ")} }`;
    document.head.append(sheet);
}

addFeature(app, "colours of wires", {
    name: "UniPortrait.Wires",
    setup() {
        addStyleSheet();
        addFallbacks(app.canvas?.default_connection_color_byType); // slots
        addFallbacks(app.canvas?.constructor?.link_type_colors); // wires
    },
});
