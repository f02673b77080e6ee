// @ts-check
// The photo under a node, with its faces as buttons: made of plain elements, it knows neither nodes nor widgets.

import { percent } from "../common/page.js";
import { frameOf } from "./numbering.js";
import { WORDS } from "./words.js";

/** @typedef {import("./types.js").Choice} Choice */
/** @typedef {import("./types.js").Face} Face */
/** @typedef {import("./types.js").Frame} Frame */
/** @typedef {import("./types.js").Panel} Panel */
/** @typedef {import("./types.js").ShownPhoto} ShownPhoto */

const STRIP = 58; // pixels, with the gap
const LINE = 24;
const LEAST = 120;
const SQUARE = 1; // the room for a photo is at most so high as wide
const OWN_KEYS = [" ", "Enter", "Escape", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Delete", "Backspace"];

/**
 * @param {(photo: number, frame: Frame) => void} choose is called with the place of the photo and a face that was clicked
 * @returns {Panel}
 */
export function makePanel(choose) {
    const element = make("div", "up-faces");
    const room = make("div", "up-faces__room", element);
    const photo = make("div", "up-faces__photo", room);
    const image = make("img", "", photo);
    const light = make("div", "up-faces__light", photo);
    const gone = make("div", "up-faces__gone", photo);
    const strip = make("div", "up-faces__strip", element);
    const line = make("div", "up-faces__line", element);
    const note = make("span", "up-faces__note", line);
    const place = make("span", "up-faces__place", line);
    const offered = make("div", "up-faces__offer", element);
    image.alt = "";
    gone.textContent = WORDS.gone;
    gone.hidden = true;
    image.addEventListener("error", () => showGone(true));
    image.addEventListener("load", () => showGone(false));
    strip.setAttribute("aria-label", WORDS.strip);
    strip.setAttribute("role", "group");
    note.setAttribute("role", "status");
    offered.setAttribute("role", "menu");
    offered.hidden = true;

    /** @type {ShownPhoto[]} */
    let photos = [];
    let locked = "";
    let current = 0;
    let said = "";
    /** @type {Map<Face, HTMLButtonElement>} */
    const buttons = new Map();

    element.addEventListener("keydown", (event) => {
        if (!OWN_KEYS.includes(event.key)) return;
        event.stopPropagation(); // the canvas would delete or move the node
        if (event.key === "Escape") closeOffer();
        const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
        const group = step && event.target instanceof Element ? event.target.parentElement : null;
        if (!step || !group) return;
        const siblings = [...group.querySelectorAll(":scope > button")];
        const next = siblings[siblings.indexOf(/** @type {Element} */ (event.target)) + step];
        if (next instanceof HTMLElement) next.focus();
        event.preventDefault();
    });

    /** @param {boolean} missing */
    function showGone(missing) {
        gone.hidden = !missing;
        image.hidden = missing;
    }

    function draw() {
        const shown = photos[current];
        element.style.setProperty("--up-ratio", `${shown.width / shown.height}`);
        if (image.getAttribute("src") !== shown.url) image.src = shown.url;
        drawFrames(shown);
        drawStrip();
        note.textContent = said || locked || shown.note;
        note.title = note.textContent;
        note.classList.toggle("is-lacking", shown.lacking && !said);
        place.textContent = photos.length > 1 ? `${current + 1} / ${photos.length}` : "";
    }

    /** @param {ShownPhoto} shown */
    function drawFrames(shown) {
        for (const [face, button] of buttons) {
            if (shown.frames.some((frame) => frame.face === face)) continue;
            button.remove();
            buttons.delete(face);
        }
        const sizes = shown.frames.map(({ face }) => frameOf(face, shown)).map(({ width, height }) => width * height);
        shown.frames.forEach((frame, index) => {
            const button = buttons.get(frame.face) ?? make("button", "up-faces__face", photo);
            const behind = sizes.filter((size) => size > sizes[index]).length;
            if (photo.children[index + 3] !== button)
                keepFocus(button, () => photo.insertBefore(button, photo.children[index + 3]));
            buttons.set(frame.face, button);
            button.style.zIndex = `${1 + behind}`; // a small face before a large one can be clicked
            drawFrame(button, frame, shown);
            button.onclick = () => {
                closeOffer();
                if (locked) say(locked);
                else if (frame.number !== null) choose(current, frame);
            };
        });
        const chosen = shown.frames.filter((frame) => frame.chosen);
        light.hidden = chosen.length !== 1; // one that is chosen stands in the light
        if (chosen.length === 1) setPlace(light, frameOf(chosen[0].face, shown));
    }

    /**
     * @param {HTMLButtonElement} button
     * @param {Frame} frame
     * @param {ShownPhoto} shown
     */
    function drawFrame(button, frame, shown) {
        const at = frameOf(frame.face, shown);
        setPlace(button, at);
        button.type = "button";
        button.title = frame.label;
        button.setAttribute("aria-label", frame.label);
        button.setAttribute("aria-pressed", `${frame.chosen}`);
        button.setAttribute("aria-disabled", `${Boolean(locked) || frame.number === null}`);
        button.classList.toggle("is-unsure", frame.number === null);
        button.dataset.number = frame.number === null ? "" : `${frame.number}`;
        const plate = make("span", "up-faces__plate");
        make("span", "", plate).textContent = frame.number === null ? "–" : `${frame.number}`;
        if (frame.users.length) make("span", "more", plate).textContent = frame.users.join(", ");
        make("span", "sure", plate).textContent = percent(frame.face.confidence);
        plate.classList.toggle("is-inside", at.top < 0.1);
        plate.classList.toggle("is-right", at.left > 0.66);
        button.replaceChildren(plate);
    }

    function drawStrip() {
        strip.hidden = photos.length < 2;
        if (strip.hidden) return strip.replaceChildren();
        while (strip.children.length > photos.length) strip.lastElementChild?.remove();
        photos.forEach((shown, index) => {
            const thumb = strip.children[index] ?? make("button", "up-faces__thumb", strip);
            if (!(thumb instanceof HTMLButtonElement)) return;
            const picture = thumb.querySelector("img") ?? make("img", "", thumb);
            picture.loading = "lazy";
            picture.alt = "";
            if (picture.getAttribute("src") !== shown.url) picture.src = shown.url;
            const count = shown.frames.filter((frame) => frame.number !== null).length;
            thumb.type = "button";
            thumb.title = WORDS.photo(index + 1, photos.length, count);
            thumb.setAttribute("aria-label", thumb.title);
            thumb.setAttribute("aria-current", `${index === current}`);
            thumb.classList.toggle("is-lacking", shown.lacking);
            thumb.onclick = () => {
                current = index;
                said = "";
                closeOffer();
                draw();
            };
        });
    }

    /** @param {string} text */
    function say(text) {
        said = text;
        draw();
    }

    function closeOffer() {
        if (offered.hidden) return;
        const inside = offered.contains(document.activeElement);
        offered.hidden = true;
        if (inside) buttons.values().next().value?.focus();
    }

    return {
        element,
        height(width) {
            const shown = photos[current];
            const photo = shown ? width / Math.max(shown.width / shown.height, SQUARE) : 0;
            return Math.max(photo, LEAST) + LINE + (photos.length > 1 ? STRIP : 0);
        },
        show(now, why) {
            const others = now.length !== photos.length || now.some((shown, index) => shown.url !== photos[index].url);
            photos = now;
            locked = why;
            said = "";
            if (others) {
                current = Math.min(current, photos.length - 1);
                closeOffer();
            }
            draw();
        },
        say,
        offer(question, choices) {
            const heading = make("span", "");
            heading.textContent = question;
            offered.replaceChildren(
                heading,
                ...choices.map(({ label, run }) => {
                    const button = make("button", "");
                    button.type = "button";
                    button.textContent = label;
                    button.setAttribute("role", "menuitem");
                    button.onclick = () => {
                        closeOffer();
                        run();
                    };
                    return button;
                }),
            );
            offered.hidden = false;
            offered.querySelector("button")?.focus();
        },
    };
}

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {string} name of a class
 * @param {HTMLElement} [parent]
 * @returns {HTMLElementTagNameMap[T]}
 */
function make(tag, name, parent) {
    const made = document.createElement(tag);
    if (name) made.className = name;
    parent?.append(made);
    return made;
}

/**
 * @param {HTMLElement} element
 * @param {{ left: number, top: number, width: number, height: number }} shares
 */
function setPlace(element, shares) {
    for (const [name, share] of Object.entries(shares)) element.style.setProperty(name, `${share * 100}%`);
}

/**
 * Moving an element takes the focus from it.
 * @param {HTMLElement} element
 * @param {() => void} move
 */
function keepFocus(element, move) {
    const focused = document.activeElement === element;
    move();
    if (focused) element.focus();
}
