// @ts-check
// How the photo under a node looks: the front end's own colours, light and dark.

const ID = "uniportrait-faces-style";

const CSS = `
.up-faces {
  --up-accent: var(--p-primary-color, #2f9bff);
  --up-ink: var(--input-text, #ddd);
  --up-quiet: var(--descrip-text, #999);
  --up-ground: var(--comfy-input-bg, #222);
  --up-line: var(--border-color, #4e4e4e);
  position: relative; display: flex; flex-direction: column; gap: 6px; box-sizing: border-box; min-width: 0;
  color: var(--up-ink); font: 12px/1.35 Inter, Arial, sans-serif; user-select: none;
}
.up-faces button { font: inherit; color: inherit; cursor: pointer; margin: 0; }
.up-faces[hidden], .up-faces [hidden] { display: none !important; }
.up-faces :focus-visible { outline: 2px solid var(--up-accent); outline-offset: 2px; }

.up-faces__room {
  flex: 1 1 auto; min-height: 120px; aspect-ratio: max(var(--up-ratio, 1.5), 1);
  container-type: size; display: grid; place-items: center;
}
.up-faces__photo {
  position: relative; overflow: hidden; border-radius: 6px; background: var(--up-ground);
  aspect-ratio: var(--up-ratio, 1.5); width: min(100cqw, calc(100cqh * var(--up-ratio, 1.5)));
}
.up-faces__photo > img { display: block; width: 100%; height: 100%; pointer-events: none; }
.up-faces__light {
  position: absolute; border-radius: 10px; pointer-events: none; box-shadow: 0 0 0 9999px rgb(0 0 0 / 38%);
  transition: left .16s, top .16s, width .16s, height .16s;
}

.up-faces__face {
  position: absolute; padding: 0; background: none; border: 1.5px solid rgb(255 255 255 / 90%); border-radius: 8px;
  box-shadow: 0 0 0 1px rgb(0 0 0 / 45%), inset 0 0 0 1px rgb(0 0 0 / 30%); min-width: 14px; min-height: 14px;
  transition: border-color .12s, box-shadow .12s, background-color .12s;
}
.up-faces__face:hover { background: rgb(255 255 255 / 14%); border-color: #fff; }
.up-faces__face:active { background: rgb(255 255 255 / 24%); }
.up-faces__face[aria-pressed="true"] {
  border: 3px solid var(--up-accent);
  box-shadow: 0 0 0 1.5px rgb(255 255 255 / 85%), 0 2px 10px rgb(0 0 0 / 45%);
}
.up-faces__face[aria-disabled="true"] { cursor: not-allowed; }
.up-faces__face.is-unsure { border-style: dashed; border-color: rgb(255 255 255 / 45%); cursor: default; }
.up-faces__face:focus-visible { outline: 2px solid #fff; outline-offset: 3px; }

.up-faces__plate {
  position: absolute; left: -2px; bottom: calc(100% + 3px); display: flex; gap: 5px; padding: 1px 7px;
  border-radius: 9px; background: rgb(20 20 20 / 82%); color: #fff; font-weight: 600; font-size: 12px;
  line-height: 16px; white-space: nowrap; pointer-events: none; font-variant-numeric: tabular-nums;
}
.up-faces__plate.is-inside { bottom: auto; top: 3px; left: 3px; }
.up-faces__plate.is-right { left: auto; right: -2px; }
.up-faces__plate.is-inside.is-right { right: 3px; }
.up-faces__plate > .more { font-weight: 400; opacity: .85; max-width: 88px; overflow: hidden; text-overflow: ellipsis; }
.up-faces__face:hover, .up-faces__face:focus-visible { z-index: 99 !important; }
.up-faces__face:hover > .up-faces__plate > .more { max-width: none; }
.up-faces__plate > .sure { display: none; }
.up-faces__face:hover > .up-faces__plate > .sure, .up-faces__face:focus-visible > .up-faces__plate > .sure { display: inline; }
.up-faces__face[aria-pressed="true"] > .up-faces__plate { background: var(--up-accent); color: var(--p-primary-contrast-color, #fff); }

.up-faces__gone { position: absolute; inset: 0; display: grid; place-items: center; padding: 12px; text-align: center; color: var(--up-quiet); }

.up-faces__strip { flex: 0 0 auto; display: flex; gap: 6px; overflow-x: auto; padding: 3px; scrollbar-width: thin; }
.up-faces__thumb {
  position: relative; flex: 0 0 auto; height: 44px; padding: 0; border: 1.5px solid transparent; border-radius: 5px;
  overflow: hidden; background: var(--up-ground); opacity: .6; transition: opacity .12s;
}
.up-faces__thumb > img { display: block; height: 100%; min-width: 30px; max-width: 80px; object-fit: cover; }
.up-faces__thumb:hover { opacity: .9; }
.up-faces__thumb[aria-current="true"] { opacity: 1; border-color: var(--up-accent); }
.up-faces__thumb.is-lacking::after {
  content: "!"; position: absolute; right: 2px; top: 2px; width: 14px; height: 14px; border-radius: 7px;
  background: var(--error-text, #ff4444); color: #fff; font: 700 10px/14px Arial, sans-serif; text-align: center;
}

.up-faces__line { flex: 0 0 auto; display: flex; align-items: center; gap: 8px; min-height: 18px; color: var(--up-quiet); }
.up-faces__note { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.up-faces__note.is-lacking { color: var(--error-text, #ff4444); white-space: normal; }
.up-faces__place { flex: 0 0 auto; font-variant-numeric: tabular-nums; }

.up-faces__offer {
  position: absolute; z-index: 3; left: 50%; bottom: 34px; transform: translateX(-50%); max-width: calc(100% - 24px);
  box-sizing: border-box; display: flex; flex-direction: column; gap: 2px; padding: 6px; border-radius: 8px;
  background: var(--comfy-menu-bg, #353535); border: 1px solid var(--up-line); box-shadow: 0 6px 24px rgb(0 0 0 / 45%);
}
.up-faces__offer > span { padding: 2px 8px 4px; color: var(--up-quiet); }
.up-faces__offer > button {
  border: 0; border-radius: 5px; background: none; padding: 5px 10px; text-align: left; white-space: nowrap;
  overflow: hidden; text-overflow: ellipsis;
}
.up-faces__offer > button:hover, .up-faces__offer > button:focus-visible { background: var(--up-ground); }
@media (prefers-reduced-motion: reduce) { .up-faces * { transition: none !important; } }
`;

/** Adds the style to the page, once. */
export function addStyle() {
    if (document.getElementById(ID)) return;
    const style = document.createElement("style");
    style.id = ID;
    style.textContent = CSS;
    document.head.append(style);
}
