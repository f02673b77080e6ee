/**
 * Faces of saved people as elements. Who was saved without a picture has a silhouette with initials.
 *
 * @typedef {import("./library").Library} Library
 * @typedef {import("./library").Person} Person
 */

import { addStyleSheet } from "../common/page.js";

const MOST_FACES = 4; // of a file of several people, in one card

/**
 * @param {string} tag
 * @param {string} className
 * @param {string} [text]
 */
export function element(tag, className, text) {
    const made = document.createElement(tag);
    made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
}

/** Has the style sheet in the page. */
export const addStyle = () => addStyleSheet(new URL("./people.css", import.meta.url));

/** @param {string} name */
export function initials(name) {
    const words = name.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
    return words
        .slice(0, 2)
        .map((word) => [...word][0].toLocaleUpperCase())
        .join("");
}

/** @param {string} name */
export function silhouette(name) {
    const face = element("div", "uniportrait-face uniportrait-silhouette");
    face.append(element("span", "uniportrait-initials", initials(name)));
    return face;
}

/**
 * The faces of a file, up to `most`. Pictures have their address in `data-src` until they are to be loaded.
 *
 * @param {Library} library
 * @param {Person} person
 * @param {number} [most]
 */
export function faces(library, person, most = MOST_FACES) {
    const kept = new Set(person.faces);
    const numbers = Array.from({ length: Math.max(1, Math.min(person.count, most)) }, (_, number) => number);
    return numbers.map((number) => (kept.has(number) ? picture(library, person, number) : silhouette(person.name)));
}

/**
 * @param {Library} library
 * @param {Person} person
 * @param {number} number
 */
function picture(library, person, number) {
    const image = /** @type {HTMLImageElement} */ (element("img", "uniportrait-face"));
    image.alt = "";
    image.draggable = false;
    image.dataset.src = library.address(person, number);
    image.onerror = () => image.replaceWith(silhouette(person.name));
    return image;
}

/** @param {ParentNode} parent */
export function loadPictures(parent) {
    for (const image of parent.querySelectorAll("img[data-src]")) {
        const { dataset } = /** @type {HTMLImageElement} */ (image);
        image.setAttribute("src", dataset.src ?? "");
        delete dataset.src;
    }
}
