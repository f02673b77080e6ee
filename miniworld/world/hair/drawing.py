"""Drawing hair."""

from collections.abc import Callable

from ..colour import darker, lighter, mix
from ..head import Head
from ..person import Person
from ..sheet import Sheet
from .cut import Cut, Hair
from .full import afro, bowl, curly
from .long import bob, locs, long_hair, wavy
from .short import bald, buzz, crop, mohawk, quiff, receding, side_part, spiky
from .tied import braids, bun, pigtails, ponytail

STYLES: dict[str, Callable[[Cut], Hair]] = {
    "bald": bald,
    "receding": receding,
    "buzz": buzz,
    "crop": crop,
    "side part": side_part,
    "quiff": quiff,
    "spiky": spiky,
    "bowl": bowl,
    "curly": curly,
    "afro": afro,
    "mohawk": mohawk,
    "locs": locs,
    "bob": bob,
    "long": long_hair,
    "wavy": wavy,
    "ponytail": ponytail,
    "bun": bun,
    "pigtails": pigtails,
    "braids": braids,
}


def draw_back_hair(sheet: Sheet, person: Person, hair: Hair) -> None:
    for path in hair.back:
        sheet.shape(path, darker(person.hair, 0.22), 0.6)


def draw_front_hair(sheet: Sheet, person: Person, hair: Hair, head: Head) -> None:
    colour = mix(person.hair, person.skin, hair.thin)
    with sheet.inside(head.path):
        for path in hair.front:  # its shadow on the forehead
            with sheet.moved(y=5):
                sheet.shape(path, darker(person.skin, 0.6), 0, 0, opacity=0.3 * (1 - hair.thin))
    for path in hair.front:
        sheet.shape(path, colour, 0.75)
    for path in hair.strands:
        sheet.stroke(path, lighter(colour, 0.4), 2.2, 0.45)
    for path in hair.ties:
        sheet.shape(path, (0.85, 0.25, 0.4), 0.4)


def hair_of(person: Person, head: Head, pressed: bool) -> Hair:
    """
    Args:
        pressed: under a hat: flat, and nothing on top.
    """
    return STYLES[person.hair_style](Cut(person, head, pressed))
