/**
 * Questions and messages: the front end's own, or the browser's where it has none.
 *
 * @typedef {import("./frontend").App} App
 */

import { guard } from "./feature.js";

const MOST_NAMED = 10;

/**
 * Asks for a line of text; null where the question is dismissed.
 *
 * @param {App} app
 * @param {string} title
 * @param {string} message
 * @param {string} value what stands there first
 * @returns {Promise<string | null>}
 */
export async function askText(app, title, message, value) {
    const dialog = app.extensionManager?.dialog;
    if (!dialog?.prompt) return window.prompt(message, value);
    const text = await dialog.prompt({ title, message, defaultValue: value });
    return text?.trim() || null;
}

/**
 * Asks whether to delete.
 *
 * @param {App} app
 * @param {string} title
 * @param {string} message
 * @param {string[]} names
 * @returns {Promise<boolean>}
 */
export async function askToDelete(app, title, message, names) {
    const dialog = app.extensionManager?.dialog;
    const more = names.length - MOST_NAMED;
    const itemList = more > 0 ? [...names.slice(0, MOST_NAMED), `… and ${more} more`] : names;
    if (!dialog?.confirm) return window.confirm(`${message}\n${itemList.join("\n")}`);
    return (await dialog.confirm({ title, message, type: "delete", itemList })) === true;
}

/**
 * Shows a message for a moment, an error for longer.
 *
 * @param {App} app
 * @param {"success" | "info" | "warn" | "error"} severity
 * @param {string} summary
 * @param {string} detail
 */
export function notify(app, severity, summary, detail) {
    const life = severity === "error" || severity === "warn" ? 10_000 : 4_000;
    const toast = app.extensionManager?.toast;
    if (toast) toast.add({ severity, summary, detail, life });
    else console.info(`UniPortrait: ${summary}: ${detail}`);
}

/**
 * A function that shows what goes wrong in `work`, also later.
 *
 * @param {App} app
 * @param {string} summary
 * @param {(...given: any[]) => unknown} work
 */
export function telling(app, summary, work) {
    return guard(work, (error) => notify(app, "error", summary, error instanceof Error ? error.message : `${error}`));
}
