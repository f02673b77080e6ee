/**
 * Dragging people from the tab onto the canvas.
 *
 * @typedef {import("../common/frontend").App} App
 */

import { telling } from "../common/dialogs.js";
import { placePeople } from "./place.js";

const TYPE = "application/x-uniportrait-people";
const ON_CANVAS = "[data-testid='transform-pane'], [data-node-id], .dom-widget";

/**
 * @param {DragEvent} event
 * @param {string[]} files
 */
export function startDrag(event, files) {
    if (!event.dataTransfer) return;
    event.dataTransfer.setData(TYPE, JSON.stringify(files));
    event.dataTransfer.effectAllowed = "copy";
}

/**
 * Has the canvas take people that are dropped on it. The listeners come before the front end's own, which takes whatever
 * is dropped for a file.
 *
 * @param {App} app
 */
export function acceptDrops(app) {
    /** @param {DragEvent} event */
    const over = (event) => {
        if (!isOfPeople(event) || !isOnCanvas(app, event)) return;
        event.preventDefault();
        if (event.dataTransfer) event.dataTransfer.dropEffect = "copy";
    };
    /** @param {DragEvent} event */
    const drop = (event) => {
        if (!isOfPeople(event) || !isOnCanvas(app, event)) return;
        event.preventDefault();
        event.stopPropagation();
        const files = JSON.parse(event.dataTransfer?.getData(TYPE) ?? "[]");
        placePeople(app, files, app.clientPosToCanvasPos([event.clientX, event.clientY]));
    };
    document.addEventListener("dragover", over, true);
    document.addEventListener("drop", telling(app, "People", drop), true);
}

/** @param {DragEvent} event */
function isOfPeople(event) {
    return event.dataTransfer?.types.includes(TYPE) ?? false;
}

/**
 * @param {App} app
 * @param {DragEvent} event
 */
function isOnCanvas(app, { target }) {
    return target === app.canvas.canvas || (target instanceof Element && target.closest(ON_CANVAS) !== null);
}
