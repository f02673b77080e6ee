"""The demo of the mini world: drawn people are kept, and kept apart, in a minute and without a download.

    python tests/demo_world.py --output FOLDER [--host COMFYUI]

`python dev.py demo` calls it with everything set up. With a ComfyUI it runs the pack's nodes in it; without one, it
draws by the sampler of `training`, which has no style pictures.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import Protocol

import numpy as np
import torch
from PIL import Image

from comfy_client import ServerError
from comfy_server import PACK, ComfyClient, comfy_server
from contact_sheet import Row, contact_sheet

sys.path.insert(0, str(PACK))

from miniworld.cast import GROUP, PHOTOS, STYLE  # noqa: E402
from miniworld.files import SHIPPED, Files  # noqa: E402
from miniworld.numbers.artist import GUIDANCE, STEPS, STRUCTURE_SCALE, Artist  # noqa: E402
from miniworld.numbers.likeness import Judge, Scale  # noqa: E402
from miniworld.world.seeds import DEMO  # noqa: E402
from uniportrait_core.faces.alignment import align  # noqa: E402
from uniportrait_core.results.drawing import draw_routing  # noqa: E402

SIDE = 128
FOLDER = "mini-world/"  # of the photos, in ComfyUI's input folder
COLUMNS = ("Photos", "Pictures, and how much of the likeness is kept")
SCALE_PEOPLE = DEMO[100:124]  # on whom 0 % and 100 % are measured


@dataclass(frozen=True)
class Act:
    """One part of the demo.

    Attributes:
        name: of its files.
        title: on the contact sheet.
        people: names of photos, in the order of the face_id.
        prompts: one for each picture.
        seeds: pictures of each prompt.
        routed: whether the router keeps people apart; else everybody is added everywhere, by the weights of stage I.
        shares: a series between two people, the share of the second in each picture.
        styled: whether the pictures take the style of a picture.
        group: whether the people are those of a group photo, from left to right.
    """

    name: str
    title: str
    people: tuple[str, ...]
    prompts: tuple[str, ...]
    seeds: tuple[int, ...] = (1,)
    routed: bool = True
    shares: tuple[float, ...] = ()
    styled: bool = False
    group: bool = False


TWO = "two people in a garden, a smiling person wearing a blue shirt, a calm person wearing a green hoodie"
THREE = (
    "three people on a beach, a smiling person wearing a red t-shirt, a calm person wearing a blue hoodie, "
    "a smiling person wearing a white shirt"
)
ACTS = (
    Act(
        "one",
        "One person, four prompts",
        ("ida",),
        (
            "a laughing person wearing a red jacket on a beach",
            "a calm person wearing a blue hoodie in a library",
            "a surprised person wearing a green sweater and a straw hat in a garden",
            "a pencil sketch of a smiling person wearing a white shirt in the mountains",
        ),
    ),
    Act("two", "Two people", ("ida", "omar"), (TWO,), (1, 2)),
    Act("two-without", "The same without the router: everybody everywhere", ("ida", "omar"), (TWO,), (1, 2), False),
    Act("three", "Three people", ("ida", "omar", "finn"), (THREE,), (1, 2)),
    Act("three-without", "The same without the router", ("ida", "omar", "finn"), (THREE,), (1, 2), False),
    Act(
        "series",
        "From one person to another",
        ("ida", "omar"),
        ("a calm person wearing a yellow sweater in a studio",),
        shares=(0.0, 0.25, 0.5, 0.75, 1.0),
    ),
    Act("style", "In the style of a picture", ("finn",), ("a calm person wearing a blue shirt",), (1, 2), styled=True),
    Act("group", "The people of a group photo", ("ida", "omar", "finn"), (THREE,), (1, 2), group=True),
)


@dataclass(frozen=True)
class Drawn:
    """What an act has made: its pictures, and maps of who had which part."""

    pictures: list[Image.Image]
    maps: list[Image.Image] = field(default_factory=list)


class Painter(Protocol):
    """Draws acts."""

    def __call__(self, act: Act) -> Drawn | None:
        """What an act shows; None for one that cannot be drawn."""


class Nodes(dict):
    """A prompt in API format. The same ids in all acts, so that ComfyUI keeps what does not change."""

    def add(self, name: str, class_type: str, **inputs: object) -> list:
        """Add a node, once; returns its first output."""
        self[name] = {"class_type": class_type, "inputs": inputs, "_meta": {"title": name}}
        return [name, 0]


class ComfyPainter:
    """Draws with the pack's nodes, in a running ComfyUI."""

    def __init__(self, server: ComfyClient):
        self._server = server

    def __call__(self, act: Act) -> Drawn:
        outputs = self._server.run(prompt_of(act))
        shown = {
            node: [
                Image.open(BytesIO(self._server.view(image))).convert("RGB")
                for image in outputs.get(node, {}).get("images", [])
            ]
            for node in ("save", "map")
        }
        return Drawn(shown["save"], shown["map"])


def prompt_of(act: Act) -> Nodes:
    """The graph of an act."""
    nodes = Nodes()
    nodes.add("world", "UniPortraitLoadMiniWorld")
    model, clip, vae, vision = (["world", slot] for slot in range(4))
    face_id, weights = add_people(nodes, act, vision)
    model = add_id(nodes, act, model, weights, face_id)
    if routed := act.routed and len(act.people) > 1 and not act.shares:
        model = nodes.add("record", "UniPortraitRecordRouting", model=model)
    latent = nodes.add("latent", "EmptyLatentImage", width=SIDE, height=SIDE, batch_size=len(act.seeds))
    if act.styled:
        empty = nodes.add("negative", "CLIPTextEncode", clip=clip, text="")
        style = nodes.add("style picture", "LoadImage", image=f"{FOLDER}{STYLE}.png")
        nodes.add(
            "style", "UniPortraitStyleReference", model=["world", 0], vae=vae, image=style, latent=latent,
            method="inversion", steps=STEPS, guidance=1.0, fixed_noise=0, positive=empty,
        )  # fmt: skip
        model = nodes.add("styled", "UniPortraitApplyStyle", model=model, style=["style", 0], strength=1.0, ip_scale=0)
        latent = ["style", 1]
    lines = nodes.add("prompts", "UniPortraitPromptList", prompts="\n".join(act.prompts), common="")
    positive = nodes.add("positive", "CLIPTextEncode", clip=clip, text=lines)
    negative = nodes.add("negative", "CLIPTextEncode", clip=clip, text="")
    samples = nodes.add(
        "sampler", "KSampler", model=model, positive=positive, negative=negative, latent_image=latent,
        seed=act.seeds[0], steps=STEPS, cfg=GUIDANCE, sampler_name="ddim", scheduler="ddim_uniform", denoise=1.0,
    )  # fmt: skip
    if act.styled:
        samples = nodes.add("drop", "UniPortraitDropReference", latent=samples)
    image = nodes.add("decode", "VAEDecode", samples=samples, vae=vae)
    nodes.add("save", "SaveImage", images=image, filename_prefix=act.name)
    if routed:
        large = nodes.add("large", "ImageScaleBy", image=image, upscale_method="lanczos", scale_by=4.0)
        nodes.add(
            "map", "UniPortraitRoutingMap", routing=["record", 1], image=large, steps="average", opacity=0.6,
            min_share=0.05,
        )  # fmt: skip
    return nodes


def add_people(nodes: Nodes, act: Act, vision: list) -> tuple[list, list]:
    """The people of an act; returns their face_id and the weights."""
    router = "mini-world-router.safetensors" if act.routed else "none"
    weights = nodes.add(
        f"weights, router {router}", "LoadUniPortrait", faceid="mini-world-faceid.safetensors", router=router,
        face_backbone="mini-world-face_backbone.safetensors",
    )  # fmt: skip
    detector = nodes.add(
        "detector", "UniPortraitFaceDetector", backend="mini world", model="mini-world-face_detector", provider="auto"
    )

    def encode(name: str, image: list, **settings: object) -> list:
        return nodes.add(
            f"face of {name}", "FaceIDEncode", uniportrait=weights, clip_vision=vision, image=image,
            structure_scale=STRUCTURE_SCALE, face="left to right", **settings,
        )  # fmt: skip

    if act.group:
        photo = nodes.add("photo of group", "LoadImage", image=f"{FOLDER}{GROUP}.png")
        nodes.add(
            "found", "UniPortraitDetectFaces", detector=detector, image=photo, order="left to right",
            min_confidence=0.5, mask_grow=0.2,
        )  # fmt: skip
        return encode("group", ["found", 1], batch="one person per photo"), weights
    photos = {name: nodes.add(f"photo of {name}", "LoadImage", image=f"{FOLDER}{name}.png") for name in act.people}
    faces = [encode(name, photo, detector=detector) for name, photo in photos.items()]
    if act.shares:
        first, second = faces
        mixed = nodes.add(
            "series", "UniPortraitMixFaceID", face_id_a=first, face_id_b=second, weight_b=act.shares[-1],
            series=len(act.shares),
        )  # fmt: skip
        return mixed, weights
    if len(faces) == 1:
        return faces[0], weights
    if not act.routed:
        return faces, weights
    slots = {f"face_id_{number}": face for number, face in enumerate(faces, start=1)}
    return nodes.add("everybody", "MultiIDConditioning", **slots), weights


def add_id(nodes: Nodes, act: Act, model: list, weights: list, face_id: list) -> list:
    """The model with the people, each everywhere where there is no router."""
    settings = {"uniportrait": weights, "id_scale": 1.0, "start_percent": 0.0, "end_percent": 1.0}
    each = face_id if not act.routed else [face_id]
    for number, person in enumerate(each):
        # The LoRA is a change of the model's weights, and one for all.
        model = nodes.add(
            f"people {number}", "IDRouterApply", model=model, face_id=person, lora_scale=float(number == 0), **settings
        )
    return model


class TrainersPainter:
    """Draws with the sampler of `training`."""

    def __init__(self, judge: Judge):
        self._judge = judge
        files = Files(SHIPPED)
        self._artists = {True: Artist(files, router=files.router), False: Artist(files)}

    def __call__(self, act: Act) -> Drawn | None:
        if act.styled:
            return None
        artist = self._artists[act.routed and len(act.people) > 1 and not act.shares]
        if act.group:
            crops = self._crops(GROUP)
        else:
            crops = torch.cat([self._crops(name)[:1] for name in act.people])
        people = artist.encode(crops[None])
        if act.shares:
            people = torch.stack([(1 - w) * people[0, :1] + w * people[0, 1:] for w in act.shares])
            prompts, seeds = act.prompts * len(act.shares), act.seeds * len(act.shares)
        else:
            prompts = [prompt for prompt in act.prompts for _ in act.seeds]
            seeds = [seed for _ in act.prompts for seed in act.seeds]
        pictures, record = artist.draw(prompts, people.expand(len(prompts), -1, -1, -1), seeds)
        maps = record.maps()
        shown = []
        if maps:
            labels = [f"person {number + 1}" for number in range(people.shape[1])]
            mean = torch.stack(maps).mean(dim=0)
            shown = [
                Image.fromarray(draw_routing(np.asarray(large(picture)), map_.numpy(), labels, 0.6))
                for picture, map_ in zip(pictures, mean, strict=True)
            ]
        return Drawn([Image.fromarray(picture) for picture in pictures], shown)

    def _crops(self, name: str) -> torch.Tensor:
        photo = np.asarray(photo_named(name))
        return torch.from_numpy(np.stack([align(photo, face.landmarks, 224) for face in self._judge.faces(photo)]))


def large(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(picture).resize((4 * picture.shape[1], 4 * picture.shape[0]), Image.Resampling.LANCZOS)


def photo_named(name: str) -> Image.Image:
    return Image.open(PHOTOS / f"{name}.png").convert("RGB")


class Critic:
    """Says how much of the likeness is kept, by a recogniser that has no part in drawing."""

    def __init__(self) -> None:
        self.judge = Judge(Files(SHIPPED))
        self._scales: dict[int, Scale] = {}
        self._people: dict[str, torch.Tensor] = {}

    def caption(self, act: Act, number: int, picture: Image.Image) -> str:
        """Whose face is where, and how much it looks like them."""
        found = self.judge.judge(np.asarray(picture), torch.stack([self._person(name) for name in act.people]))
        shares = [self._share(score, len(act.people) - bool(act.shares)) for score in found.scores]
        if act.shares:
            return ", ".join(f"{name.title()} {share}" for name, share in zip(act.people, shares, strict=True))
        placed = sorted((face, person) for person, face in enumerate(found.faces) if face is not None)
        missing = [act.people[person].title() for person, face in enumerate(found.faces) if face is None]
        said = [f"{act.people[person].title()} {shares[person]}" for _, person in placed]
        return ", ".join([*said, *(f"no {name}" for name in missing)])

    def _person(self, name: str) -> torch.Tensor:
        if name not in self._people:
            self._people[name] = self.judge.person(np.asarray(photo_named(name)))
        return self._people[name]

    def _share(self, similarity: float, company: int) -> str:
        if company not in self._scales:
            self._scales[company] = self.judge.scale(SCALE_PEOPLE, SIDE, company)
        return f"{100 * self._scales[company].share(similarity):.0f} %"


def row_of(act: Act, drawn: Drawn, critic: Critic, output: Path) -> Row:
    """Save an act's pictures, and lay them out."""
    names = [GROUP] if act.group else [*act.people, *([STYLE] if act.styled else [])]
    shown = []
    for number, picture in enumerate(drawn.pictures):
        large(np.asarray(picture)).save(output / f"{act.name}-{number + 1}.png")
        shown.append((critic.caption(act, number, picture), picture))
        shown += [("who is where", map_) for map_ in drawn.maps[number : number + 1]]
    prompts = " | ".join(act.prompts)
    return Row(act.title, prompts, ([(name.title(), photo_named(name)) for name in names], shown))


NOTES = (
    "All people are made up, and drawn. Nobody here was met in training.",
    "100 %: as alike as two drawings of one person; 0 %: as two people, by a recogniser that has no part in drawing.",
    "Names stand in the order of the faces, from left to right; in the series both are compared with one face.",
)
WITHOUT_COMFYUI = "Drawn without ComfyUI, by the trainer's own sampler, which has no style pictures."


def demo(painter: Painter, critic: Critic, output: Path, notes: Sequence[str]) -> None:
    """Draw all acts; leaves what there is when it is stopped."""
    rows: list[Row] = []
    try:
        for act in ACTS:
            started = monotonic()
            if drawn := painter(act):
                rows.append(row_of(act, drawn, critic, output))
                print(f"  {act.title:50} {monotonic() - started:5.1f} s", flush=True)
                for caption, _ in rows[-1].pictures[1]:
                    if caption != "who is where":
                        print(f"    {caption}", flush=True)
    finally:
        if rows:
            file = output / "contact-sheet.jpg"
            contact_sheet(rows, notes, COLUMNS).save(file, quality=92)
            print("\n".join(("", *notes, f"All pictures side by side: {file}")), flush=True)


@contextmanager
def painter_for(host: Path | None, judge: Judge, output: Path) -> Iterator[Painter]:
    """ComfyUI's, where there is one."""
    if host is None:
        print(f"{WITHOUT_COMFYUI}", flush=True)
        yield TrainersPainter(judge)
        return
    started = monotonic()
    print("Starting ComfyUI ...", flush=True)
    with comfy_server(host) as server:
        print(f"  {'ready':50} {monotonic() - started:5.1f} s", flush=True)
        try:
            yield ComfyPainter(server)
        finally:
            (output / "comfyui.log").write_text(server.log(), encoding="utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Draw people of the mini world.")
    parser.add_argument("--host", type=Path, help="folder of a ComfyUI checkout")
    parser.add_argument("--output", type=Path, required=True, help="folder for the pictures")
    return parser.parse_args()


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit that takes the server along
    options = parse()
    options.output.mkdir(parents=True, exist_ok=True)
    critic = Critic()
    try:
        with painter_for(options.host, critic.judge, options.output) as painter:
            demo(painter, critic, options.output, NOTES if options.host else (*NOTES, WITHOUT_COMFYUI))
    except ServerError as problem:
        print(f"\nThe demo failed. {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
