// @ts-check
/**
 * What is seen under a node: the map, a legend, and a word when somebody is about to be missing.
 *
 * @typedef {import("./types.js").Person} Person
 * @typedef {import("./types.js").Step} Step
 */

import { percent } from "../common/page.js";
import { decoded, painted } from "./map.js";
import { aboutToBeMissing, described, nameOf, progress, WAITING } from "./words.js";

const MAP_HEIGHT = 150; // pixels, at least
const LEGEND_ROW = 40;
const PER_ROW = 3;
const WORD_HEIGHT = 38;

/** One person in the legend. @typedef {{ entry: HTMLElement, share: HTMLElement, bar: HTMLElement }} Entry */

export class Panel {
    constructor() {
        this.element = made("div", "uniportrait-live");
        this.canvas = made("canvas", "uniportrait-live-map");
        this.canvas.setAttribute("role", "img");
        this.step = made("span", "uniportrait-live-step");
        this.legend = made("div", "uniportrait-live-legend");
        this.legend.setAttribute("role", "list");
        this.word = made("div", "uniportrait-live-word");
        this.word.setAttribute("role", "status");
        const frame = made("div", "uniportrait-live-frame");
        frame.append(this.canvas, this.step);
        this.element.append(frame, this.legend, this.word);
        /** @type {Person[]} */
        this.people = [];
        /** @type {Entry[]} */
        this.entries = [];
    }

    /** Height that it needs, in pixels. */
    get height() {
        const rows = Math.ceil(Math.max(this.people.length, 1) / PER_ROW);
        return MAP_HEIGHT + rows * LEGEND_ROW + WORD_HEIGHT;
    }

    /**
     * A sampling begins: nobody is anywhere yet.
     *
     * @param {Person[]} people
     */
    begin(people) {
        this.people = people;
        this.entries = people.map(legendEntry);
        this.legend.replaceChildren(...this.entries.map(({ entry }) => entry));
        this.canvas.width = this.canvas.height = 1;
        this.canvas.setAttribute("aria-label", WAITING);
        this.step.textContent = WAITING;
        this.element.style.setProperty("--uniportrait-live-height", `${this.height}px`);
        this.warn([]);
    }

    /** @param {Step} step */
    show(step) {
        this.canvas.width = step.width;
        this.canvas.height = step.height;
        const pixels = painted(
            decoded(step.map),
            this.people.map(({ colour }) => colour),
        );
        this.canvas.getContext("2d")?.putImageData(new ImageData(pixels, step.width, step.height), 0, 0);
        this.canvas.setAttribute("aria-label", described(step.shares));
        this.step.textContent = progress(step.step, step.steps);
        for (const [person, { share, bar }] of this.entries.entries()) {
            share.textContent = percent(step.shares[person]);
            bar.style.width = `${100 * step.shares[person]}%`;
        }
        this.warn(step.missing);
    }

    /** @param {number[]} missing people who are about to be, counted from 0 */
    warn(missing) {
        for (const [person, { entry }] of this.entries.entries()) {
            entry.classList.toggle("uniportrait-live-missing", missing.includes(person));
        }
        const words = missing.length ? aboutToBeMissing(missing) : "";
        if (this.word.textContent !== words) this.word.textContent = words; // or it would be read out at every step
    }
}

/**
 * @param {Person} person
 * @param {number} number counted from 0
 * @returns {Entry}
 */
function legendEntry({ colour, face }, number) {
    const entry = made("div", "uniportrait-live-person");
    entry.setAttribute("role", "listitem");
    entry.title = nameOf(number);
    entry.style.setProperty("--uniportrait-person", colour);
    const badge = made("span", "uniportrait-live-badge");
    if (face) {
        const picture = made("img", "uniportrait-live-face");
        picture.src = face;
        picture.alt = nameOf(number);
        picture.draggable = false;
        badge.append(picture);
    } else {
        badge.textContent = String(number + 1);
    }
    const share = made("span", "uniportrait-live-share");
    share.textContent = "–";
    const track = made("span", "uniportrait-live-track");
    const bar = made("span", "uniportrait-live-bar");
    track.append(bar);
    const numbers = made("span", "uniportrait-live-numbers");
    numbers.append(share, track);
    entry.append(badge, numbers);
    return { entry, share, bar };
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} name of its class
 * @returns {HTMLElementTagNameMap[K]}
 */
function made(tag, name) {
    const element = document.createElement(tag);
    element.className = name;
    return element;
}
