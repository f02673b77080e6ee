// @ts-check
/**
 * Telling the server that somebody looks: without that it computes and sends nothing.
 *
 * @typedef {import("../common/frontend").Api} Api
 */

import { post } from "../common/requests.js";

const ROUTE = "/uniportrait/live_routing";

/**
 * @param {Api} api
 * @param {() => boolean} looks whether somebody does
 * @returns {() => Promise<void>} to be called whenever the server may not know; it asks no more often than it has to
 */
export function makeAsking(api, looks) {
    let connections = 0; // the server forgets with each
    let told = "";
    const ask = async () => {
        const wanted = looks();
        const news = `${connections} ${api.clientId} ${wanted}`;
        if (!api.clientId || news === told || (!wanted && !told)) return;
        told = news;
        await post(api, ROUTE, { client_id: api.clientId, looks: wanted }).catch(() => {
            if (told === news) told = "-"; // another time
        });
    };
    api.addEventListener("reconnected", () => {
        connections += 1;
        void ask();
    });
    // The first one of a connection brings the client's id; later ones come with every change of the queue.
    api.addEventListener("status", () => void ask());
    return ask;
}
