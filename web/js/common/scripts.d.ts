/** The front end's own scripts, which it serves under these names. */
declare module "*/scripts/app.js" {
    export const app: import("./frontend").App;
}

declare module "*/scripts/api.js" {
    export const api: import("./frontend").Api;
}
