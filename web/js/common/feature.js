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
 * @param {ReturnType<typeof makeGuard>} [within] the guard of the rest of the feature, if there is more than hooks
 */
export function addFeature(app, title, extension, within = makeGuard(title)) {
    /** @type {Record<string, unknown>} */
    const guarded = {};
    for (const [name, value] of Object.entries(extension)) {
        guarded[name] = typeof value === "function" ? within(value.bind(extension)) : value;
    }
    within(() => app.registerExtension(/** @type {Extension} */ (/** @type {unknown} */ (guarded))))();
}

/**
 * Functions that never throw: what fails once is off from then on, with all that has the same guard, and is named in one
 * warning.
 *
 * @param {string} title of the feature
 * @param {() => void} [tell] called then
 * @returns {<F extends (...given: any[]) => unknown>(work: F) => (...given: Parameters<F>) => unknown}
 */
export function makeGuard(title, tell = () => {}) {
    let off = false;
    /** @param {unknown} error */
    const fail = (error) => {
        if (off) return;
        off = true;
        console.warn(`UniPortrait: ${title} is off, as the front end has changed (${error})`, error);
        tell();
    };
    return (work) => {
        const guarded = guard(work, fail);
        return (...given) => (off ? undefined : guarded(...given));
    };
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
