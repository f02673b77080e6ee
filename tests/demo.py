"""Runs the pack's workflows in a real ComfyUI, unchanged, and lays out what they make.

    python tests/demo.py --host COMFYUI --models COMFYUI/models --output FOLDER [--standins]

`python dev.py demo` calls it with everything set up.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from time import monotonic

import torch
from PIL import Image

from comfy_server import PACK, ComfyClient, ExecutionFailedError, ServerError, comfy_server
from contact_sheet import Row, contact_sheet
from demo_progress import Progress, seconds
from workflow_prompts import Prompt, add_photos, load_prompt, of_class

WORKFLOWS = {
    "single_id": "One person",
    "routing_map": "Two people, and who is where",
    "group_photo": "Two people of a group photo",
}
Pictures = dict[str, list[bytes]]  # the files that output nodes show, by node id
STANDINS_NOTE = "Made with stand-in weights: the pictures show the plumbing, and not a likeness."


def run(server: ComfyClient, name: str, prompt: Prompt, progress: Progress, shown: Pictures) -> None:
    """Run a prompt and show how far it is; the UI workflow goes along, to be embedded in the picture.

    Args:
        server: where to run it.
        name: of the workflow.
        prompt: what to run.
        progress: is told what happens.
        shown: gets the pictures of each output node once it is done, so that they are there whatever happens next.

    Raises:
        ServerError: the prompt was rejected, or a node failed.
    """
    workflow = json.loads((PACK / "workflows" / f"{name}.json").read_text(encoding="utf-8"))
    for event in server.events(prompt, workflow):
        progress.update(event)
        if event.kind == "executed":
            shown[event.node] = [server.view(entry) for entry in event.output.get("images", [])]
        elif event.kind in ("execution_error", "execution_interrupted"):
            progress.end()
            raise ExecutionFailedError(event)
    progress.end()


def save(shown: Pictures, nodes: Sequence[str], stem: Path) -> list[Image.Image]:
    """Save what some nodes have shown, as `<stem>.png` if one node shows one picture, else `<stem>-1.png` and so on."""
    files = [file for node in nodes for file in shown.get(node, [])]
    alone = len(nodes) == len(files) == 1
    for number, file in enumerate(files, start=1):
        stem.with_name(f"{stem.name}.png" if alone else f"{stem.name}-{number}.png").write_bytes(file)
    return [Image.open(BytesIO(file)) for file in files]


def demonstrate(
    server: ComfyClient, name: str, prompt: Prompt, progress: Progress, output: Path, rows: list[Row]
) -> None:
    """Run a workflow, save its pictures and add its row of the contact sheet to `rows`.

    A workflow that is stopped leaves what it has made so far, and its row if that is anything.
    """
    progress.begin(f"{WORKFLOWS[name]} (workflows/{name}.json)")
    start = monotonic()
    shown: Pictures = {}
    finished = False
    try:
        run(server, name, prompt, progress, shown)
        print(f"  {'in all':45} {seconds(start):>8}")
        finished = True
    finally:
        row = lay_out(server, name, prompt, shown, output, finished)
        if any(row.pictures[1:]):  # photos alone are nothing that was made
            rows.append(row)


def lay_out(server: ComfyClient, name: str, prompt: Prompt, shown: Pictures, output: Path, finished: bool) -> Row:
    """Save the pictures of a workflow and return its row of the contact sheet."""
    files = [prompt[node]["inputs"]["image"] for node in of_class(prompt, "LoadImage")]
    photos = [Image.open(server.base / "input" / file) for file in files]
    crops = save(shown, of_class(prompt, "FaceIDEncode"), output / f"{name}-face")
    pictures = save(shown, of_class(prompt, "SaveImage"), output / name)
    maps = save(shown, of_class(prompt, "UniPortraitRoutingMap"), output / f"{name}-map")
    (positive,) = {prompt[node]["inputs"]["positive"][0] for node in of_class(prompt, "KSampler")}
    return Row(
        title=f"{WORKFLOWS[name]}: {name}.json{'' if finished else ' (stopped)'}",
        prompt=prompt[positive]["inputs"]["text"],
        pictures=(
            list(zip(files, photos, strict=True)),
            [(f"face {number}", crop) for number, crop in enumerate(crops, start=1)],
            [
                *((f"{picture.width} x {picture.height}", picture) for picture in pictures),
                *(("map", map_) for map_ in maps),
            ],
        ),
    )


def remarks(done: Sequence[str], standins: bool) -> list[str]:
    """What is to be said about the pictures, where `done` are the workflows that came to their end."""
    after = f", after {done[-1]}.json" if done else ""
    stopped = f"The demo was stopped in workflow {len(done) + 1} of {len(WORKFLOWS)}{after}."
    return [*([stopped] if len(done) < len(WORKFLOWS) else []), *([STANDINS_NOTE] if standins else [])]


def demo(options: argparse.Namespace) -> int:
    """Run all workflows and lay out what they make, be it all or what is there when the demo is stopped."""
    options.output.mkdir(parents=True, exist_ok=True)
    if not torch.cuda.is_available():
        print("There is no GPU that PyTorch can use here; the demo takes several minutes.")
    print("Starting ComfyUI ...", flush=True)
    start = monotonic()
    prompts = {name: load_prompt(name) for name in WORKFLOWS}
    progress, rows, done = Progress(list(prompts.values())), [], []
    try:
        with comfy_server(options.host, models=options.models) as server:
            print(f"  {'ready':45} {seconds(start):>8}")
            try:
                add_photos(server)
                for name, prompt in prompts.items():
                    demonstrate(server, name, prompt, progress, options.output, rows)
                    done.append(name)
            finally:
                # While the server is there: its folder, with the log and the photos, goes when it does.
                shutil.copy(server.log_file, options.output / "comfyui.log")
                write_sheet(rows, remarks(done, options.standins), options.output / "contact-sheet.jpg")
    except ServerError as problem:
        print(f"\nThe demo failed. {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    return 0


def write_sheet(rows: Sequence[Row], notes: Sequence[str], file: Path) -> None:
    """Save the contact sheet, if there is anything to lay out."""
    if rows:
        contact_sheet(rows, notes).save(file, quality=92)
        print("\n".join([f"\nAll pictures side by side: {file}", *notes]), flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the pack's workflows in a real ComfyUI.")
    parser.add_argument("--host", type=Path, required=True, help="folder of a ComfyUI checkout")
    parser.add_argument("--models", type=Path, required=True, help="folder laid out like ComfyUI's models")
    parser.add_argument("--output", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--standins", action="store_true", help="the models are stand-ins")
    return parser.parse_args()


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit that takes the server along
    return demo(parse())


if __name__ == "__main__":
    sys.exit(main())
