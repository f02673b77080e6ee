"""How large the world's pictures and networks are, and how long each is trained."""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Budget:
    """How long a network is trained: until one of both is reached.

    Attributes:
        steps: of the optimizer.
        seconds: on the machine at hand.
        batch: pictures per step.
        rate: highest learning rate.
    """

    steps: int
    seconds: float
    batch: int
    rate: float


@dataclass(frozen=True)
class Preset:
    """Everything that differs between a trial on a CPU and the weights that ship.

    Attributes:
        size: of pictures, in pixels; a multiple of 8.
        scenes: pictures for training.
        people, photos: people, and face photos of each, for the backbone; as many other people for the recogniser
            that measures.
        checks: pictures, and people, on which quality is measured.
        portraits, groups: photos of one person, for stage I, and of several, for stage II.
        vae: channels of the autoencoder's four levels, multiples of 32, as the host cannot make others.
        latents: channels of the autoencoder's latents. SD1.5 has 4, for pictures of 512 pixels; of small pictures 8×8
            pixels hold so much more that a face does not pass through 4 numbers.
        unet: channels of the UNet's four levels, likewise.
        heads: attention heads of the UNet.
        text, text_layers, text_heads: of the text encoder; `text` is the UNet's context.
        vision, vision_layers, vision_heads: of the vision encoder.
        joint: length of embeddings that texts and pictures share.
        backbone: channels of the face backbone's stem and of its four stages; units of each stage beside.
        measure: channels of the four stages of the recogniser that measures.
        embedding: length of face embeddings.
        budgets: by the network's name.
    """

    size: int
    scenes: int
    people: int
    photos: int
    checks: int
    portraits: int
    groups: int
    vae: tuple[int, ...]
    latents: int
    unet: tuple[int, ...]
    heads: int
    text: int
    text_layers: int
    text_heads: int
    vision: int
    vision_layers: int
    vision_heads: int
    joint: int
    backbone: tuple[int, ...]
    units: tuple[int, ...]
    measure: tuple[int, ...]
    embedding: int
    budgets: dict[str, Budget] = field(hash=False)


TINY = Preset(
    size=64,
    scenes=256,
    people=24,
    photos=4,
    checks=16,
    portraits=12,
    groups=12,
    vae=(32, 32, 32, 32),
    latents=12,
    unet=(32, 32, 32, 32),
    heads=2,
    text=128,
    text_layers=1,
    text_heads=2,
    vision=64,
    vision_layers=2,
    vision_heads=2,
    joint=32,
    backbone=(8, 8, 12, 16, 24),
    units=(1, 1, 1, 1),
    measure=(8, 12, 16, 24),
    embedding=32,
    budgets={
        "backbone": Budget(6, 60, 8, 2e-3),
        "measure": Budget(6, 60, 8, 2e-3),
        "vae": Budget(6, 60, 4, 1e-3),
        "decoder": Budget(6, 60, 4, 1e-3),
        "clip": Budget(6, 60, 4, 1e-3),
        "unet": Budget(6, 60, 8, 1e-3),
        "sketch": Budget(6, 60, 4, 1e-3),
        "detector": Budget(6, 60, 4, 2e-3),
        "classifiers": Budget(6, 60, 8, 2e-3),
        "single": Budget(6, 60, 4, 2e-3),
        "multi": Budget(6, 60, 4, 2e-3),
    },
)
"""The smallest that works from end to end, in a minute on a CPU; what it draws means nothing."""

SMALL = Preset(
    size=64,
    scenes=40_000,
    people=3_000,
    photos=5,
    checks=512,
    portraits=8_000,
    groups=4_000,
    vae=(32, 32, 64, 96),
    latents=12,
    unet=(64, 64, 64, 64),
    heads=4,
    text=128,
    text_layers=2,
    text_heads=2,
    vision=96,
    vision_layers=3,
    vision_heads=3,
    joint=64,
    backbone=(8, 16, 32, 56, 80),
    units=(1, 2, 2, 2),
    measure=(32, 56, 96, 128),
    embedding=128,
    budgets={
        "backbone": Budget(20_000, 720, 64, 2e-3),
        "detector": Budget(20_000, 300, 32, 2e-3),
        "clip": Budget(20_000, 600, 96, 1e-3),
        "classifiers": Budget(20_000, 600, 64, 2e-3),
        "measure": Budget(20_000, 900, 64, 2e-3),
        "vae": Budget(20_000, 1800, 16, 1e-3),
        "decoder": Budget(20_000, 1800, 16, 1e-3),
        "unet": Budget(100_000, 3600, 32, 3e-3),
        "sketch": Budget(150, 300, 32, 2e-3),
        "single": Budget(8_000, 3600, 16, 4e-4),
        "multi": Budget(4_000, 2400, 16, 1e-3),
    },
)
"""For two cores of a CPU."""

FULL = replace(
    SMALL,
    size=128,
    scenes=60_000,
    people=4_500,
    portraits=24_000,
    groups=10_000,
    budgets={
        # Side by side, while pictures are drawn (`recipes/lanes.py`): 90 s of an H200.
        "backbone": Budget(4_000, 35, 512, 3e-3),
        "detector": Budget(4_000, 25, 256, 2e-3),
        "clip": Budget(3_000, 40, 384, 1.5e-3),
        "classifiers": Budget(4_000, 35, 384, 2e-3),
        "measure": Budget(4_000, 65, 512, 3e-3),
        # Alone.
        "vae": Budget(20_000, 60, 32, 7e-4),
        "decoder": Budget(20_000, 15, 32, 7e-4),
        "unet": Budget(100_000, 360, 256, 1.5e-3),
        "sketch": Budget(300, 20, 64, 2e-3),
        "single": Budget(100_000, 240, 128, 1e-3),
        "multi": Budget(100_000, 200, 128, 2e-3),
    },
)
"""For a GPU."""

PRESETS = {"tiny": TINY, "small": SMALL, "full": FULL}
