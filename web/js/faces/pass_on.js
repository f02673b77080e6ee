// @ts-check
// What is meant for the canvas, and happens over an element that lies on it.

/** @typedef {import("./types.js").App} App */

/**
 * The wheel and the middle button move the canvas, also over a photo.
 * @param {App} app
 * @param {HTMLElement} element
 */
export function passOn(app, element) {
    const canvas = () => app.canvas?.canvas;
    element.addEventListener("wheel", (event) => {
        event.stopPropagation();
        const strip = event.target instanceof Element && event.target.closest(".up-faces__strip");
        if (strip && (event.shiftKey || event.deltaX)) return; // the strip scrolls
        event.preventDefault();
        canvas()?.dispatchEvent(new WheelEvent("wheel", event));
    });
    for (const name of /** @type {const} */ (["pointerdown", "pointermove", "pointerup"]))
        element.addEventListener(name, (event) => {
            if (event.button !== 1 && event.buttons !== 4) return;
            event.preventDefault();
            event.stopPropagation();
            canvas()?.dispatchEvent(new PointerEvent(name, event));
        });
}
