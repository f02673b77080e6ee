/**
 * Renaming and deleting saved people, with the questions that come before.
 *
 * @typedef {import("../common/frontend").App} App
 * @typedef {import("./library").Library} Library
 * @typedef {import("./library").Person} Person
 */

import { askText, askToDelete, notify } from "../common/dialogs.js";
import { followRename } from "./load_node.js";

/**
 * Asks for a new name. What is on the canvas then loads the file by its new name; workflows that were saved before do not.
 *
 * @param {App} app
 * @param {Library} library
 * @param {Person} person
 */
export async function renamePerson(app, library, person) {
    const message = "New name. Saved workflows that load this file have to be told.";
    const name = await askText(app, "Rename", message, person.name);
    if (!name || name === person.name) return;
    const file = await library.rename(person.file, name);
    await library.load();
    followRename(app, person.file, file);
}

/**
 * Asks, and deletes. Says who could not be deleted.
 *
 * @param {App} app
 * @param {Library} library
 * @param {Person[]} people
 */
export async function deletePeople(app, library, people) {
    const names = people.map(({ name, folder }) => (folder ? `${folder}/${name}` : name));
    const who = people.length === 1 ? "this person" : `these ${people.length} people`;
    const message = `Delete ${who} from the disk? This cannot be undone.`;
    if (!(await askToDelete(app, "Delete people", message, names))) return;
    const failed = await library.remove(people.map(({ file }) => file));
    await library.load();
    if (failed.length) {
        const [{ error, cure }] = failed;
        notify(app, "error", `${failed.length} of ${people.length} not deleted`, `${error} ${cure}`);
    }
}
