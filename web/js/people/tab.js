/**
 * The sidebar tab with everybody saved: search, choose, rename, delete, put on the canvas.
 *
 * @typedef {import("../common/frontend").App} App
 * @typedef {import("../common/frontend").SidebarTab} SidebarTab
 * @typedef {import("./library").Library} Library
 * @typedef {import("./library").Person} Person
 */

import { telling } from "../common/dialogs.js";
import { deletePeople, renamePerson } from "./changes.js";
import { startDrag } from "./drag.js";
import { addStyle, element, faces, loadPictures } from "./faces.js";
import { keyAction } from "./keys.js";
import { placeInTheMiddle } from "./place.js";
import { choose, keep, NOBODY } from "./selection.js";

const SEEN_EARLY = "200px"; // pictures are loaded when they are as near to be seen
const HINT = "Drag onto the canvas. Ctrl or Shift chooses several.";
const NOBODY_SAVED = "Nobody is saved yet. Save Face ID saves people; they are listed here then.";
const NOBODY_FOUND = "Nobody has such a name.";

/**
 * @param {App} app
 * @param {Library} library
 * @returns {SidebarTab}
 */
export function sidebarTab(app, library) {
    /** @type {Tab | null} */
    let shown = null;
    return {
        id: "uniportrait-people",
        icon: "pi pi-users",
        title: "People",
        tooltip: "People saved with Save Face ID",
        type: "custom",
        render(place) {
            // The front end calls this whenever it draws the sidebar anew, also into the same place.
            if (shown && place.contains(shown.root)) return;
            shown?.close();
            shown = new Tab(app, library);
            place.style.height = "100%";
            place.replaceChildren(shown.root);
        },
        destroy() {
            shown?.close();
            shown = null;
        },
    };
}

class Tab {
    /**
     * @param {App} app
     * @param {Library} library
     */
    constructor(app, library) {
        addStyle();
        this.app = app;
        this.library = library;
        this.selection = NOBODY;
        this.focused = "";
        /** @type {Map<string, HTMLElement>} */
        this.cards = new Map();
        this.root = element("div", "uniportrait-people");
        this.search = /** @type {HTMLInputElement} */ (element("input", "uniportrait-search"));
        this.list = element("div", "uniportrait-list");
        this.status = element("div", "uniportrait-status");
        this.buttons = this.makeButtons();
        this.build();
        this.observer = new IntersectionObserver((seen) => this.see(seen), {
            root: this.list,
            rootMargin: SEEN_EARLY,
        });
        this.fill = () => this.fillList();
        library.addEventListener("change", this.fill);
        if (library.people.length) this.fillList();
        telling(app, "People", () => library.load())();
    }

    close() {
        this.library.removeEventListener("change", this.fill);
        this.observer.disconnect();
    }

    build() {
        Object.assign(this.search, { type: "search", placeholder: "Search people" });
        this.search.setAttribute("aria-label", "Search people");
        this.search.oninput = () => this.filter();
        Object.assign(this.list, { tabIndex: -1, role: "listbox", ariaLabel: "People", ariaMultiSelectable: "true" });
        this.status.setAttribute("role", "status");
        const head = element("div", "uniportrait-head");
        const tools = element("div", "uniportrait-tools");
        tools.append(...Object.values(this.buttons));
        head.append(this.search, tools);
        this.root.append(head, this.list, this.status);
        this.list.onclick = (event) => this.click(event);
        this.list.ondblclick = (event) => this.fileAt(event) && this.act("add");
        this.list.ondragstart = (event) => this.drag(event);
        this.root.onkeydown = (event) => this.key(event);
    }

    makeButtons() {
        /**
         * @param {string} action
         * @param {string} icon
         * @param {string} label
         */
        const button = (action, icon, label) => {
            const made = /** @type {HTMLButtonElement} */ (element("button", `uniportrait-button pi ${icon}`));
            Object.assign(made, { type: "button", title: label, ariaLabel: label });
            made.onclick = () => this.act(action);
            return made;
        };
        return {
            add: button("add", "pi-plus", "Add to the canvas (Enter)"),
            rename: button("rename", "pi-pencil", "Rename (F2)"),
            delete: button("delete", "pi-trash", "Delete (Del)"),
            refresh: button("refresh", "pi-refresh", "Refresh"),
        };
    }

    /** Makes the cards anew; those of files that are the same stay. */
    fillList() {
        const { people } = this.library;
        const before = this.cards;
        this.cards = new Map();
        for (const person of people) {
            const same = before.get(person.file);
            const fits = same && same.dataset.version === person.version;
            this.cards.set(person.file, fits ? same : this.card(person));
        }
        this.observer.disconnect();
        this.list.replaceChildren(...this.cards.values());
        for (const card of this.cards.values()) {
            if (card.dataset.waiting) this.observer.observe(card);
        }
        this.selection = keep(this.selection, new Set(this.cards.keys()));
        this.filter();
    }

    /** @param {Person} person */
    card(person) {
        const card = element("div", "uniportrait-card");
        const place = person.folder ? `${person.folder}/` : "";
        const note = person.problem || (person.changeable ? "" : "Not in the output folder: not changed from here.");
        Object.assign(card.dataset, { file: person.file, version: person.version, waiting: "true" });
        Object.assign(card, { draggable: true, tabIndex: -1, role: "option", ariaSelected: "false" });
        card.title = [`${place}${person.name}`, `${person.count} in ${person.file}`, note].filter(Boolean).join("\n");
        card.classList.toggle("uniportrait-damaged", person.problem !== "");
        const pictures = element("div", "uniportrait-pictures");
        pictures.dataset.count = String(Math.min(Math.max(person.count, 1), 4));
        pictures.append(...faces(this.library, person));
        if (person.count > 1) pictures.append(element("span", "uniportrait-count", String(person.count)));
        card.append(pictures, element("div", "uniportrait-name", person.name));
        return card;
    }

    /** @param {IntersectionObserverEntry[]} entries */
    see(entries) {
        for (const { target, isIntersecting } of entries) {
            if (!isIntersecting) continue;
            loadPictures(target);
            delete (/** @type {HTMLElement} */ (target).dataset.waiting);
            this.observer.unobserve(target);
        }
    }

    /** Shows those whose name or folder has all words of the search in it. */
    filter() {
        const words = this.search.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
        for (const { file, folder, name } of this.library.people) {
            const text = `${folder} ${name}`.toLocaleLowerCase();
            const card = this.cards.get(file);
            if (card) card.hidden = !words.every((word) => text.includes(word));
        }
        // Nobody is deleted who is not seen.
        this.selection = keep(this.selection, new Set(this.files()));
        this.showSelection();
    }

    /** Files of the cards that are shown, in their order. */
    files() {
        return [...this.cards].filter(([, card]) => !card.hidden).map(([file]) => file);
    }

    /** Files that are chosen, in their order. */
    chosen() {
        return this.files().filter((file) => this.selection.chosen.has(file));
    }

    showSelection() {
        const files = this.files();
        const { chosen } = this.selection;
        if (!files.includes(this.focused)) this.focused = files[0] ?? "";
        for (const [file, card] of this.cards) {
            card.ariaSelected = String(chosen.has(file));
            card.tabIndex = file === this.focused ? 0 : -1;
        }
        const fixed = [...chosen].some((file) => !this.library.byFile.get(file)?.changeable);
        this.buttons.add.disabled = chosen.size === 0;
        this.buttons.rename.disabled = chosen.size !== 1 || fixed;
        this.buttons.delete.disabled = chosen.size === 0 || fixed;
        this.status.textContent = this.statusText(files.length, chosen.size);
    }

    /**
     * @param {number} shown
     * @param {number} chosen
     */
    statusText(shown, chosen) {
        if (!this.cards.size) return NOBODY_SAVED;
        if (!shown) return NOBODY_FOUND;
        return chosen ? `${chosen} of ${shown} chosen` : `${shown} saved. ${HINT}`;
    }

    /** @param {Event} event */
    fileAt({ target }) {
        const card = target instanceof Element ? target.closest(".uniportrait-card") : null;
        return card instanceof HTMLElement ? card.dataset.file : undefined;
    }

    /** @param {MouseEvent} event */
    click(event) {
        const file = this.fileAt(event);
        this.selection = file ? choose(this.selection, this.files(), file, event) : NOBODY;
        if (file) this.focus(file);
        this.showSelection();
    }

    /** @param {string} file */
    focus(file) {
        this.focused = file;
        this.cards.get(file)?.focus();
    }

    /** @param {DragEvent} event */
    drag(event) {
        const file = this.fileAt(event);
        if (!file) return;
        if (!this.selection.chosen.has(file)) {
            this.selection = { chosen: new Set([file]), anchor: file };
            this.showSelection();
        }
        startDrag(event, this.chosen());
    }

    /** @param {KeyboardEvent} event */
    key(event) {
        if (event.target === this.search) {
            if (event.key !== "ArrowDown") return;
            this.focus(this.focused);
        } else if (event.target instanceof HTMLButtonElement) {
            return;
        } else {
            const files = this.files();
            const columns = getComputedStyle(this.list).gridTemplateColumns.split(" ").length;
            const action = keyAction(event, this.selection, files, this.focused, columns);
            if (!action) return;
            if (action.selection) this.selection = action.selection;
            if (action.focused) this.focus(action.focused);
            this.showSelection();
            if (action.act) this.act(action.act);
        }
        // The front end's own shortcuts would delete nodes of the canvas as well.
        event.preventDefault();
        event.stopPropagation();
    }

    /** @param {string} action */
    act(action) {
        const files = this.chosen();
        const people = files.flatMap((file) => this.library.byFile.get(file) ?? []);
        const work = async () => {
            if (action === "refresh") await this.library.load();
            else if (action === "add" && files.length) placeInTheMiddle(this.app, files);
            else if (action === "rename" && people.length === 1) await renamePerson(this.app, this.library, people[0]);
            else if (action === "delete" && people.length) await deletePeople(this.app, this.library, people);
        };
        telling(this.app, "People", work)();
    }
}
