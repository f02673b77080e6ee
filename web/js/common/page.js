/** What the pack's features do to the page, in one way. */

/**
 * Has a style sheet in the page, once.
 *
 * @param {URL} url beside the script that needs it: `new URL("./own.css", import.meta.url)`
 */
export function addStyleSheet(url) {
    if (document.querySelector(`link[href="${url.href}"]`)) return;
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = url.href;
    document.head.append(link);
}

/** @param {number} share 0..1 */
export const percent = (share) => `${Math.round(share * 100)} %`;
