"""What a picture shows: who is in it, and everything that varies."""

from collections.abc import Sequence
from dataclasses import dataclass

from .clothes.drawing import CLOTHES
from .dice import Dice
from .dyes import COLOURS
from .expressions import EXPRESSIONS
from .hats import COLOURED, HATS
from .ink import STYLES
from .places.table import PLACES

NO_HAT = "none"
# Height of a face in relation to the picture's, smallest and largest, by the number of people across.
FACE_HEIGHTS = {1: (0.40, 0.62), 2: (0.34, 0.43), 3: (0.27, 0.31), 4: (0.21, 0.245)}


@dataclass(frozen=True)
class Look:
    """How a person appears in one picture.

    Attributes:
        person: seed of who it is.
        expression, clothes, clothes_colour, hat, hat_colour: words of captions; the hat "none", too.
        x, y: of the point between the eyes, in shares of the picture's height.
        size: of a face 128 units high, likewise.
        tilt: degrees clockwise.
        turn, nod, gaze: −1..1, as in `head.py`.
    """

    person: int
    expression: str
    clothes: str
    clothes_colour: str
    hat: str
    hat_colour: str
    x: float
    y: float
    size: float
    tilt: float
    turn: float
    nod: float
    gaze: float


@dataclass(frozen=True)
class Scene:
    """One picture.

    Attributes:
        looks: its people from left to right.
        place, style: words of captions.
        aspect: width in relation to height.
        seed: of what is left to chance in the place.
    """

    looks: tuple[Look, ...]
    place: str
    style: str
    aspect: float
    seed: str


def compose(people: Sequence[int], seed: str | int, style: str | None = None, aspect: float = 1.0) -> Scene:
    """Put people into a picture, all else by chance.

    Args:
        people: seeds of one to four people, from left to right.
        seed: of the picture.
        style: one of `STYLES`; None for any, the plain one most often.
        aspect: width in relation to height.
    """
    dice = Dice("scene", seed)
    style = style or dice.weighted({name: 3.0 if name == "illustration" else 1.0 for name in STYLES})
    low, high = FACE_HEIGHTS[len(people)]
    size = dice.between(low, high) * min(aspect, 1.0)
    looks = tuple(_look(dice, person, index, len(people), size, aspect) for index, person in enumerate(people))
    return Scene(looks, dice.one_of(tuple(PLACES)), style, aspect, f"{seed}")


def _look(dice: Dice, person: int, index: int, count: int, size: float, aspect: float) -> Look:
    size *= dice.between(0.92, 1.04) if count > 1 else 1.0
    room = aspect / count
    loose = (0.16 if count == 1 else 0.5 * max(room - 0.86 * size, 0.0)) * 0.9
    high = 0.60 - 0.18 * size if count == 1 else 0.56
    hat = dice.one_of(tuple(HATS)) if dice.chance(0.4) else NO_HAT
    return Look(
        person=person,
        expression=dice.one_of(tuple(EXPRESSIONS)),
        clothes=dice.one_of(tuple(CLOTHES)),
        clothes_colour=dice.one_of(tuple(COLOURS)),
        hat=hat,
        hat_colour=dice.one_of(tuple(COLOURS)) if hat in COLOURED else "",
        x=room * (index + 0.5) + dice.between(-loose, loose),
        y=high + dice.between(-0.05, 0.05) - 0.06 * (index % 2) * (count > 2),
        size=size,
        tilt=dice.bell(-14, 14),
        turn=dice.bell(-1, 1),
        nod=dice.bell(-1, 1),
        gaze=dice.bell(-1, 1),
    )
