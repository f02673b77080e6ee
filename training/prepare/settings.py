"""What `prepare` is told."""

from dataclasses import dataclass, field
from pathlib import Path

from uniportrait_core.faces.detection import MIN_CONFIDENCE

IDENTITIES = ("none", "folders", "column")


@dataclass(frozen=True)
class Labels:
    """Where captions and names of people come from.

    Attributes:
        file: JSON Lines with a row for each picture; None: a .txt beside each picture, or in its shard.
        file_column: holds the picture's path below the source.
        caption_column: of `file`, or of the .json beside a picture in a shard.
        identity: one of `IDENTITIES`: no names, the picture's folder, or a column.
        identity_column: a name for pictures of one person; or a list of them, from left to right.
    """

    file: Path | None = None
    file_column: str = "file_name"
    caption_column: str = "caption"
    identity: str = "none"
    identity_column: str = "identity"


@dataclass(frozen=True)
class Filters:
    """Which pictures and faces are good enough. Lengths are of the picture as it was found, in pixels.

    Attributes:
        min_size: of a picture's shorter side.
        min_face: of the shorter side of a face's box; smaller faces are background and count as nobody.
        max_people: in a picture.
        min_sharpness: of a face (`faces.sharpness`).
        min_confidence: of the detector, 0..1.
    """

    min_size: int = 512
    min_face: int = 64
    max_people: int = 6
    min_sharpness: float = 20.0
    min_confidence: float = MIN_CONFIDENCE


@dataclass(frozen=True)
class Settings:
    """All that decides what the shards hold.

    Attributes:
        source: a folder of pictures, a folder of shards, or one shard.
        detector: `yunet:FILE` or `insightface:FOLDER`.
        labels, filters: see there.
        max_size: pictures with a longer shorter side are made smaller; 0 leaves them as they are.
        shard_size: pictures of the source that go into one shard, as far as they are good.
    """

    source: Path
    detector: str
    labels: Labels = field(default_factory=Labels)
    filters: Filters = field(default_factory=Filters)
    max_size: int = 1024
    shard_size: int = 250


@dataclass(frozen=True)
class Caching:
    """What the features are made with, and at what size.

    Attributes:
        base: a base model in the layout of diffusers, of which the VAE and the text encoders are used.
        clip_vision: folder of a CLIP vision model in the layout of transformers.
        face_backbone: weight file.
        resolution, buckets: as in training (`data.portraits.View`).
        device: `auto` for every CUDA device or what there is; or devices of torch, with commas between.
    """

    base: Path
    clip_vision: Path
    face_backbone: Path
    resolution: int = 512
    buckets: bool = False
    device: str = "auto"
