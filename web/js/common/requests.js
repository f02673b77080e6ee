/**
 * Requests to the pack's own routes, whose answers and errors are JSON.
 *
 * @typedef {import("./frontend").Api} Api
 */

/**
 * What the server answers to GET.
 *
 * @param {Api} api
 * @param {string} route
 * @returns {Promise<any>}
 */
export async function get(api, route) {
    return answer(await api.fetchApi(route, { cache: "no-cache" }));
}

/**
 * What the server answers to a change.
 *
 * @param {Api} api
 * @param {string} route
 * @param {object} body
 * @returns {Promise<any>}
 */
export async function post(api, route, body) {
    const headers = { "Content-Type": "application/json" };
    return answer(await api.fetchApi(route, { method: "POST", headers, body: JSON.stringify(body) }));
}

/** @param {Response} response */
async function answer(response) {
    const content = await response.json().catch(() => ({}));
    if (response.ok) return content;
    throw new Error(`${content.error ?? `The server answered ${response.status}.`} ${content.cure ?? ""}`.trim());
}
