"""Drawing neck, shoulders and clothes, in units of the head."""

from collections.abc import Callable

from ..colour import Colour, darker
from ..curves import smooth
from ..person import Person
from ..sheet import Sheet
from .layers import jacket, overalls, suit
from .tops import hoodie, shirt, striped, sweater, t_shirt

CLOTHES: dict[str, Callable[[Sheet, Colour, float, float], None]] = {
    "t-shirt": t_shirt,
    "striped shirt": striped,
    "shirt": shirt,
    "sweater": sweater,
    "hoodie": hoodie,
    "jacket": jacket,
    "suit": suit,
    "overalls": overalls,
}
"""By the word for them in captions; drawn in a colour, given half the width of neck and shoulders."""


def draw_body(sheet: Sheet, person: Person, clothes: str, colour: Colour) -> None:
    """Neck and what covers the shoulders.

    Args:
        clothes: one of `CLOTHES`.
        colour: its own.
    """
    neck = 21 * person.neck
    skin = darker(person.skin, 0.08)
    throat = smooth(
        [
            (-neck, 40),
            (neck, 40),
            (neck * 0.96, 74),
            (neck * 1.7, 100),
            (0, 128),
            (-neck * 1.7, 100),
            (-neck * 0.96, 74),
        ]
    )
    sheet.shape(throat, skin, 0.3)
    with sheet.inside(throat):
        sheet.glow(0, 66, neck * 1.5, 20, darker(skin, 0.6), 0.75)
    width = 84 + 26 * (person.neck - 1)
    CLOTHES[clothes](sheet, colour, neck, width)
