/**
 * One feature of the pack in the front end. A feature that fails is off, which one warning in the console says; the front
 * end and all other features go on.
 *
 * @typedef {import("./frontend").App} App
 * @typedef {import("./frontend").Extension} Extension
 */

/**
 * Registers a feature, with its hooks guarded.
 *
 * @param {App} app
 * @param {string} title what it is called in the warning
 * @param {Extension} extension
 */
export function addFeature(app, title, extension) {
    let told = false;
    /** @param {unknown} error */
    const tell = (error) => {
        if (!told) console.warn(`UniPortrait: ${title} is off, as the front end has changed (${error})`);
        told = true;
    };
    /** @type {Record<string, unknown>} */
    const guarded = {};
    for (const [name, value] of Object.entries(extension)) {
        guarded[name] = typeof value === "function" ? guard(value.bind(extension), tell) : value;
    }
    guard(() => app.registerExtension(/** @type {Extension} */ (/** @type {unknown} */ (guarded))), tell)();
}

/**
 * A function that hands what goes wrong in `work`, also later, to `tell`.
 *
 * @param {(...given: any[]) => unknown} work
 * @param {(error: unknown) => void} tell
 * @returns {(...given: any[]) => unknown}
 */
export function guard(work, tell) {
    return (...given) => {
        try {
            const result = work(...given);
            return result instanceof Promise ? result.catch(tell) : result;
        } catch (error) {
            tell(error);
            return undefined;
        }
    };
}
