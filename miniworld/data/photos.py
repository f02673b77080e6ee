"""Photos of drawn people in the shards that `training/` reads, with all that its `prepare` finds out."""

import json
import tarfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from training.data.index import FILE
from training.files import whole_file
from training.prepare.journal import Journal, write_json
from training.prepare.pictures import encode
from training.prepare.piece import SHARD, add_sample
from training.prepare.report import SHEET
from training.prepare.run import adding_features, index_of
from training.prepare.settings import Caching
from training.prepare.sheet import contact_sheet
from training.prepare.workers import work

from ..world.captions import caption
from ..world.dice import Dice
from ..world.picture import faces, picture
from ..world.scene import Scene, compose
from ..world.seeds import BASE
from .crops import crops_of

SHARD_SIZE = 250


@dataclass(frozen=True)
class Album:
    """Which photos there are.

    Attributes:
        count: of photos.
        people: fewest and most people in a photo.
        photos: of each person, on average.
        size: of a photo, in pixels.
    """

    count: int
    people: tuple[int, int] = (1, 1)
    photos: int = 6
    size: int = 128

    def scene(self, number: int) -> Scene:
        """A photo's scene; the same people are met again."""
        fewest, most = self.people
        dice = Dice("photos", fewest, most, number)
        known = max(self.count * (fewest + most) // (2 * self.photos), most)
        company = dice.one_of(range(fewest, most + 1))
        seeds: list[int] = []
        while len(seeds) < company:
            seed = BASE[int(dice.between(0, known))]
            seeds += [seed] * (seed not in seeds)
        return compose(seeds, f"photos {fewest} {most} {number}")


def save_album(album: Album, output: Path, workers: int, caching: Caching | None = None) -> None:
    """Draw photos into shards with their index; goes on where it was stopped.

    Args:
        output: folder of the shards.
        workers: processes that draw.
        caching: write features into the shards as well, as `prepare --cache` does.
    """
    journal = Journal(output)
    journal.begin({"drawn": json.loads(json.dumps(asdict(album)))})
    (output / FILE).unlink(missing_ok=True)  # no training on what is being changed
    starts = range(0, album.count, SHARD_SIZE)
    pieces = [range(start, min(start + SHARD_SIZE, album.count)) for start in starts]
    entries = [journal.entry(number) for number in range(len(pieces))]
    waiting = [(number, pieces[number]) for number, entry in enumerate(entries) if entry is None]
    setups = [partial(_PhotoWriter, album, output)] * min(workers, len(waiting))
    with tqdm(total=album.count, desc="drawing", unit="photo", smoothing=0.05) as bar:
        for entry in work(waiting, setups, bar.update):
            journal.write(entry)
    entries = [journal.entry(number) for number in range(len(pieces))]
    if caching is not None:
        entries = adding_features(caching, output)(entries, journal)
    write_json(output / FILE, index_of(entries))
    with whole_file(output / SHEET) as file:
        contact_sheet(output, entries).save(file, "JPEG", quality=88)


class _PhotoWriter:
    """Draws the photos of a shard."""

    def __init__(self, album: Album, output: Path):
        self._album, self._output = album, output

    def __call__(self, piece: tuple[int, range], advance: Callable[[], None]) -> dict[str, Any]:
        """Write a shard, whole or not at all. Returns its entry in the journal."""
        number, photos = piece
        path, pictures = self._output / SHARD.format(number), []
        with whole_file(path) as file, tarfile.open(fileobj=file, mode="w") as tar:
            for photo in photos:
                key = f"{photo:07d}"
                members, facts = sample_of(self._album.scene(photo), self._album.size, key)
                pictures.append({"key": key, "place": add_sample(tar, key, members), **facts})
                advance()
        return {"number": number, "bytes": path.stat().st_size, "cache": None, "pictures": pictures}


def sample_of(scene: Scene, size: int, key: str) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Members of a photo in its shard, and what the index says of it."""
    pixels = picture(scene, size)
    height, width = pixels.shape[:2]
    found = faces(scene, height)
    boxes = np.stack([face.box.clip(0, (width, height, width, height)) for face in found])
    names = [f"{look.person}" for look in scene.looks]
    facts = {
        "caption": caption(scene, Dice("caption", scene.seed)),
        "identity": names,
        "size": (height, width),
        "original_size": (height, width),
        "source": f"drawing {key}",
        "faces": [
            {"box": box.round(2).tolist(), "landmarks": face.landmarks.round(2).tolist(), "confidence": 1.0}
            for box, face in zip(boxes, found, strict=True)
        ],
    }
    members = {"json": json.dumps(facts).encode(), "png": encode(Image.fromarray(pixels), "png")}
    for index, crop in enumerate(crops_of(scene, Dice("crop", scene.seed))):
        members[f"face{index}.png"] = encode(Image.fromarray(crop), "png")
    around = [*np.floor(boxes[:, :2].min(0)), *np.ceil(boxes[:, 2:].max(0))]
    return members, {"size": (height, width), "around": [int(side) for side in around], "identity": names}
