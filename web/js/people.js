/** Saved people in the front end: the sidebar tab, faces at Load Face ID, saving from the canvas. */

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { addFeature } from "./common/feature.js";
import { acceptDrops } from "./people/drag.js";
import { Library } from "./people/library.js";
import { followChanges, showFaces } from "./people/load_node.js";
import { addSaveButton, addSaveToMenu } from "./people/save_node.js";
import { sidebarTab } from "./people/tab.js";

const library = new Library(api);

addFeature(app, "the tab People", {
    name: "uniportrait.people.tab",
    setup() {
        app.extensionManager.registerSidebarTab(sidebarTab(app, library));
        acceptDrops(app);
    },
});

addFeature(app, "the faces at Load Face ID", {
    name: "uniportrait.people.load",
    setup: () => followChanges(app, library),
    nodeCreated: (node) => showFaces(node, library),
});

addFeature(app, "saving people from the canvas", {
    name: "uniportrait.people.save",
    beforeRegisterNodeDef: (node, definition) => addSaveToMenu(app, node, definition),
    nodeCreated: (node) => addSaveButton(app, node),
});

addFeature(app, "the list of people after a run", {
    name: "uniportrait.people.saved",
    setup: () => library.followRuns(),
});
