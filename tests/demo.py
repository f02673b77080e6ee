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
import time
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from comfy_server import PACK, ComfyClient, Event, ExecutionFailedError, ServerError, comfy_server
from contact_sheet import Row, contact_sheet
from workflow_prompts import Prompt, add_photos, load_prompt, of_class

WORKFLOWS = {
    "single_id": "One person",
    "routing_map": "Two people, and who is where",
    "group_photo": "Two people of a group photo",
}
Outputs = dict[str, dict[str, Any]]  # what output nodes show, by node id
STANDINS_NOTE = "Made with stand-in weights: the pictures show the plumbing, and not a likeness."


class Stages:
    """One line per node on the terminal: its title, the step that it is at, the seconds that it took."""

    def __init__(self, prompt: Prompt) -> None:
        self._titles = {node: about["_meta"]["title"] for node, about in prompt.items()}
        self._node: str | None = None
        self._step = ""
        self._start = time.monotonic()

    def update(self, event: Event) -> None:
        """Show what an event of the server says."""
        if event.kind == "executing":
            self.end()
            self._node, self._step, self._start = event.node, "", time.monotonic()
        elif event.kind == "progress":
            self._step = f"step {event.value}/{event.maximum}"
        if sys.stdout.isatty() and self._node:
            print(f"\r{self._line()}", end="", flush=True)

    def end(self) -> None:
        """Finish the line of the node that ran."""
        if self._node:
            print(f"\r{self._line()}" if sys.stdout.isatty() else self._line(), flush=True)
        self._node = None

    def _line(self) -> str:
        return f"  {self._titles.get(self._node, self._node):32} {self._step:12} {seconds(self._start):>8}"


def seconds(start: float) -> str:
    return f"{time.monotonic() - start:.1f} s"


def run(server: ComfyClient, name: str, prompt: Prompt) -> Outputs:
    """Run a prompt and show how far it is; the UI workflow goes along, to be embedded in the picture.

    Raises:
        ServerError: the prompt was rejected, or a node failed.
    """
    workflow = json.loads((PACK / "workflows" / f"{name}.json").read_text(encoding="utf-8"))
    stages, outputs = Stages(prompt), {}
    for event in server.events(prompt, workflow):
        stages.update(event)
        if event.kind == "executed":
            outputs[event.node] = event.output
        elif event.kind in ("execution_error", "execution_interrupted"):
            stages.end()
            raise ExecutionFailedError(event)
    stages.end()
    return outputs


def save(server: ComfyClient, outputs: Outputs, nodes: Iterable[str], stem: Path) -> list[Image.Image]:
    """Save the pictures of some nodes as `<stem>.png`, or `<stem>-1.png` and so on; returns them."""
    entries = [image for node in nodes for image in outputs[node]["images"]]
    pictures = []
    for number, entry in enumerate(entries, start=1):
        file = server.view(entry)
        target = stem.with_name(f"{stem.name}-{number}.png" if len(entries) > 1 else f"{stem.name}.png")
        target.write_bytes(file)
        pictures.append(Image.open(BytesIO(file)))
    return pictures


def demonstrate(server: ComfyClient, name: str, output: Path) -> Row:
    """Run a workflow, save its pictures and return its row of the contact sheet."""
    print(f"\n{WORKFLOWS[name]} (workflows/{name}.json)", flush=True)
    start = time.monotonic()
    prompt = load_prompt(name)
    outputs = run(server, name, prompt)
    print(f"  {'in all':45} {seconds(start):>8}")
    files = [prompt[node]["inputs"]["image"] for node in of_class(prompt, "LoadImage")]
    photos = [Image.open(server.base / "input" / file) for file in files]
    crops = save(server, outputs, of_class(prompt, "FaceIDEncode"), output / f"{name}-face")
    pictures = save(server, outputs, of_class(prompt, "SaveImage"), output / name)
    maps = save(server, outputs, of_class(prompt, "UniPortraitRoutingMap"), output / f"{name}-map")
    (positive,) = {prompt[node]["inputs"]["positive"][0] for node in of_class(prompt, "KSampler")}
    return Row(
        title=f"{WORKFLOWS[name]}: {name}.json",
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


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the pack's workflows in a real ComfyUI.")
    parser.add_argument("--host", type=Path, required=True, help="folder of a ComfyUI checkout")
    parser.add_argument("--models", type=Path, required=True, help="folder laid out like ComfyUI's models")
    parser.add_argument("--output", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--standins", action="store_true", help="the models are stand-ins")
    return parser.parse_args()


def main() -> int:
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit that takes the server along
    options.output.mkdir(parents=True, exist_ok=True)
    if not torch.cuda.is_available():
        print("There is no GPU that PyTorch can use here; the demo takes several minutes.")
    print("Starting ComfyUI ...", flush=True)
    start = time.monotonic()
    try:
        with comfy_server(options.host, models=options.models) as server:
            print(f"  {'ready':45} {seconds(start):>8}")
            add_photos(server)
            rows = [demonstrate(server, name, options.output) for name in WORKFLOWS]
            sheet = contact_sheet(rows, STANDINS_NOTE if options.standins else "")
            shutil.copy(server.log_file, options.output / "comfyui.log")
    except ServerError as problem:
        print(f"\nThe demo failed. {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    file = options.output / "contact-sheet.jpg"
    sheet.save(file, quality=92)
    print(f"\nAll pictures side by side: {file}")
    if options.standins:
        print(STANDINS_NOTE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
