"""Drawing the data for training into files, shard by shard, on all processors."""

import logging
import os
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from ..config import Preset
from ..nets.tokens import tokens
from ..world.captions import caption, portrait_caption
from ..world.clothes.drawing import CLOTHES
from ..world.dice import Dice
from ..world.dyes import COLOURS
from ..world.expressions import EXPRESSIONS
from ..world.hats import HATS
from ..world.ink import STYLES
from ..world.person import BEARDS, GLASSES, HAIR_STYLES, draw_person
from ..world.picture import faces, picture
from ..world.places.table import PLACES
from ..world.scene import NO_HAT, Scene, compose
from ..world.seeds import BASE, MEASURING, TEST
from .crops import crops_of

SHARD = 512  # pictures of a scenes' shard
PEOPLE_PER_SHARD = 32
MOST_PEOPLE = 4
NUMBERS = {1: 0.46, 2: 0.28, 3: 0.15, 4: 0.11}  # how often a picture shows so many people
EXPRESSION_NAMES, CLOTHES_NAMES, COLOUR_NAMES = tuple(EXPRESSIONS), tuple(CLOTHES), tuple(COLOURS)
HAT_NAMES, PLACE_NAMES, STYLE_NAMES = (NO_HAT, *HATS), tuple(PLACES), tuple(STYLES)

logger = logging.getLogger("miniworld")

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Task:
    """One shard to draw: its file, and the function of the tokenizer's folder that draws it."""

    file: Path
    draw: Callable[[Path], Arrays]


def tasks(preset: Preset, folder: Path) -> list[Task]:
    """All shards of a preset, those first that are needed first."""
    crops = partial(_crop_tasks, preset, folder)
    checks = [
        *_scene_tasks(preset, folder, "checks", preset.checks, "check"),
        *crops("check_faces", TEST, preset.checks),
    ]
    kinds = [
        list(_scene_tasks(preset, folder, "scenes", preset.scenes, "scene")),
        list(crops("faces", BASE, preset.people)),
        list(crops("other_faces", MEASURING, preset.people)),
    ]
    shares = [
        (soon * (index + 0.5) / len(kind), order, task)
        for order, (kind, soon) in enumerate(
            zip(kinds, (1, 0.3, 0.5), strict=True)
        )  # in the order in which they are trained on
        for index, task in enumerate(kind)
    ]
    first, *rest = (task for *_, task in sorted(shares, key=lambda share: share[:2]))
    return [first, *checks, *rest]


def shard_counts(preset: Preset, folder: Path) -> dict[str, int]:
    """How many shards there will be, by kind."""
    kinds = [task.file.parent.name for task in tasks(preset, folder)]
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def draw_all(preset: Preset, folder: Path, tokenizer: Path, workers: int, kinds: Collection[str]) -> None:
    """Draw what is not there yet.

    Args:
        kinds: of data, those that are wanted.
    """
    wanted = [task for task in tasks(preset, folder) if task.file.parent.name in kinds]
    missing = [task for task in wanted if not task.file.is_file()]
    for task in missing:
        task.file.parent.mkdir(parents=True, exist_ok=True)
    started = said = time.monotonic()
    with get_context("spawn").Pool(workers) as pool:
        for done, _ in enumerate(pool.imap_unordered(partial(_draw, tokenizer), missing), 1):
            if time.monotonic() - said > 5:
                said = time.monotonic()
                logger.info("%-12s %d of %d shards, %.0f s", "drawing", done, len(missing), said - started)
    logger.info("%-12s done in %.0f s", "drawing", time.monotonic() - started)


def _draw(tokenizer: Path, task: Task) -> None:
    unfinished = task.file.with_suffix(f".{os.getpid()}.tmp")
    save_file({name: np.ascontiguousarray(array) for name, array in task.draw(tokenizer).items()}, unfinished)
    unfinished.replace(task.file)


def _scene_tasks(preset: Preset, folder: Path, kind: str, count: int, seed: str) -> Iterator[Task]:
    for index, start in enumerate(range(0, count, SHARD)):
        numbers = range(start, min(start + SHARD, count))
        yield Task(folder / kind / f"{index:05d}.safetensors", partial(draw_scenes, preset.size, numbers, seed))


def _crop_tasks(preset: Preset, folder: Path, kind: str, people: range, count: int) -> Iterator[Task]:
    for index, start in enumerate(range(0, count, PEOPLE_PER_SHARD)):
        numbers = range(start, min(start + PEOPLE_PER_SHARD, count))
        yield Task(folder / kind / f"{index:05d}.safetensors", partial(draw_crops, people, numbers, preset.photos))


def scene_of(number: int, seed: str) -> Scene:
    """A scene for training ("scene") or for checking ("check"), with people that no other has."""
    dice = Dice(seed, number)
    people = BASE if seed == "scene" else TEST
    seeds = [int(dice.between(people.start, people.stop)) for _ in range(dice.weighted(NUMBERS))]
    return compose(seeds, f"{seed} {number}")


def draw_scenes(size: int, numbers: range, seed: str, tokenizer: Path) -> Arrays:
    """Whole pictures, two captions of each (all told, and some left out), and what they show, as numbers of answers."""
    scenes = [scene_of(number, seed) for number in numbers]
    count = len(scenes)
    boxes = np.zeros((count, MOST_PEOPLE, 4), np.float32)
    landmarks = np.zeros((count, MOST_PEOPLE, 5, 2), np.float32)
    looks = np.full((count, MOST_PEOPLE, 4), -1, np.int64)
    for i, scene in enumerate(scenes):
        for k, (face, look) in enumerate(zip(faces(scene, 1), scene.looks, strict=True)):
            boxes[i, k], landmarks[i, k] = face.box, face.landmarks
            looks[i, k] = (
                EXPRESSION_NAMES.index(look.expression),
                CLOTHES_NAMES.index(look.clothes),
                COLOUR_NAMES.index(look.clothes_colour),
                HAT_NAMES.index(look.hat),
            )
    told = tokens(tokenizer, [caption(scene) for scene in scenes])
    partly = tokens(tokenizer, [caption(scene, Dice("caption", scene.seed)) for scene in scenes])
    return {
        "pixels": np.stack([picture(scene, size) for scene in scenes]),
        "tokens": np.stack((told, partly), axis=1),
        "count": np.array([len(scene.looks) for scene in scenes]),
        "shown": np.array([(PLACE_NAMES.index(s.place), STYLE_NAMES.index(s.style), len(s.looks) - 1) for s in scenes]),
        "looks": looks,
        "boxes": boxes,
        "landmarks": landmarks,
    }


def draw_crops(people: range, numbers: range, photos: int, tokenizer: Path) -> Arrays:
    """Aligned faces of people, several photos each, and who they are."""
    pixels, owners, captions, traits = [], [], [], []
    for number in numbers:
        seed = people[number]
        person = draw_person(seed)
        trait = (list(HAIR_STYLES).index(person.hair_style), GLASSES.index(person.glasses), BEARDS.index(person.beard))
        for photo in range(photos):
            scene = compose([seed], f"photo {seed} {photo}")
            pixels.append(crops_of(scene, Dice("crop", seed, photo))[0])
            captions.append(portrait_caption(scene.looks[0], scene.style))
            owners.append(number)
            traits.append((*trait, *person.hair, *person.skin))
    return {
        "pixels": np.stack(pixels),
        "tokens": tokens(tokenizer, captions),
        "person": np.array(owners),
        "traits": np.array(traits, np.float32),
    }
