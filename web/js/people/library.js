/**
 * The saved people that the server has, for all who show them. Says `change` when the list is another, and `saved` when a
 * run has saved somebody.
 *
 * @typedef {import("../common/frontend").Api} Api
 *
 * @typedef {object} Person an identity file; `saved_people.py` says what each field is
 * @property {string} file
 * @property {string} name
 * @property {string} folder
 * @property {number} count
 * @property {number[]} faces
 * @property {string} version
 * @property {number} saved
 * @property {boolean} changeable
 * @property {string} problem
 */

import { get, post } from "../common/requests.js";
import { FILE, LOAD } from "./nodes.js";

const ROUTE = "/uniportrait/people";

export class Library extends EventTarget {
    /** @param {Api} api */
    constructor(api) {
        super();
        this.api = api;
        /** @type {Person[]} */
        this.people = [];
        /** @type {string[] | null} what Load Face ID offers; null before the list is there */
        this.choices = null;
        /** @type {Map<string, Person>} */
        this.byFile = new Map();
        /** @type {Promise<void> | null} */
        this.loading = null;
    }

    /** Resolves when the list has been loaded once. */
    ready() {
        return this.loading ?? this.load();
    }

    /** Loads the list anew, and what Load Face ID offers with it; says `change`. */
    load() {
        const loading = this.ask();
        this.loading = loading;
        loading.catch(() => {
            this.loading = null; // whoever needs it next asks again
        });
        return loading;
    }

    async ask() {
        const [{ people }, nodes] = await Promise.all([get(this.api, ROUTE), get(this.api, `/object_info/${LOAD}`)]);
        const [type, settings] = nodes[LOAD].input.required[FILE];
        this.choices = Array.isArray(type) ? type : settings.options;
        this.people = people;
        this.byFile = new Map(this.people.map((person) => [person.file, person]));
        this.dispatchEvent(new Event("change"));
    }

    /**
     * Address of a face. With the version in it, the browser need not ask twice.
     *
     * @param {Person} person
     * @param {number} face
     */
    address(person, face) {
        const query = new URLSearchParams({ file: person.file, person: String(face), version: person.version });
        return this.api.apiURL(`${ROUTE}/thumbnail?${query}`);
    }

    /**
     * Renames a person; resolves with the new file.
     *
     * @param {string} file
     * @param {string} name
     * @returns {Promise<string>}
     */
    async rename(file, name) {
        const renamed = await post(this.api, `${ROUTE}/rename`, { file, name });
        return renamed.file;
    }

    /**
     * Deletes people; resolves with those that could not be deleted.
     *
     * @param {string[]} files
     * @returns {Promise<{ file: string, error: string, cure: string }[]>}
     */
    async remove(files) {
        const { failed } = await post(this.api, `${ROUTE}/delete`, { files });
        return failed;
    }

    /** Has the list follow what Save Face ID saves. */
    followRuns() {
        this.api.addEventListener("executed", ({ detail }) => {
            /** @type {string[] | undefined} */
            const files = detail?.output?.saved_people;
            if (!files) return;
            const reloaded = this.load().catch((error) => console.warn(`UniPortrait: ${error}`));
            reloaded.then(() => this.dispatchEvent(new CustomEvent("saved", { detail: files })));
        });
    }
}
