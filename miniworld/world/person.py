"""Who somebody is: what stays the same in all pictures of a person."""

from dataclasses import dataclass

from .colour import Colour, mix, ramp, rgb
from .dice import Dice

SKIN = [rgb(c) for c in ("#fbe3d3", "#f3cdb0", "#e4ae86", "#c68a5e", "#9a6340", "#6b412b", "#4a2c20")]
HAIR_COLOURS = {
    "black": rgb("#26202a"),
    "dark brown": rgb("#4a2f24"),
    "brown": rgb("#7a4a2b"),
    "chestnut": rgb("#8e3f24"),
    "ginger": rgb("#c9622a"),
    "dark blond": rgb("#b08247"),
    "blond": rgb("#e3bc6a"),
    "platinum": rgb("#f0e2bd"),
    "grey": rgb("#9a9aa2"),
    "white": rgb("#e6e6ea"),
    "blue": rgb("#3f6fc4"),
    "teal": rgb("#2f9c94"),
    "pink": rgb("#e0709f"),
    "purple": rgb("#7d4fae"),
}
NATURAL = tuple(HAIR_COLOURS)[:8]
EYE_COLOURS = tuple(rgb(c) for c in ("#3b2418", "#6b4423", "#8a6a2f", "#4f7a44", "#3f78b5", "#6d8ea0", "#7e6bb0"))
LIP_COLOURS = tuple(rgb(c) for c in ("#c8645f", "#b5483f", "#d9798a", "#a83a5c", "#8d4a3d"))
FRAME_COLOURS = tuple(rgb(c) for c in ("#2b2b33", "#8a3b2e", "#b8923a", "#2f6f9a", "#c0392b", "#5b8c5a", "#e8e4da"))
GLASSES = ("none", "round", "square", "wide", "half")
BEARDS = ("none", "stubble", "moustache", "goatee", "full", "long")
EARRINGS = ("none", "stud", "hoop")
NOSES = ("button", "straight", "pointed", "broad")
# How likely a hair style is for a person of one leaning and of the other; in between it is mixed.
HAIR_STYLES = {
    "bald": (1.0, 0.02),
    "receding": (0.8, 0.0),
    "buzz": (1.0, 0.15),
    "crop": (1.2, 0.25),
    "side part": (1.3, 0.3),
    "quiff": (1.2, 0.15),
    "spiky": (0.9, 0.15),
    "bowl": (0.5, 0.5),
    "curly": (0.8, 0.8),
    "afro": (0.5, 0.7),
    "mohawk": (0.4, 0.15),
    "locs": (0.5, 0.6),
    "bob": (0.1, 1.2),
    "long": (0.2, 1.2),
    "wavy": (0.15, 1.3),
    "ponytail": (0.1, 1.0),
    "bun": (0.2, 1.0),
    "pigtails": (0.0, 0.7),
    "braids": (0.02, 0.7),
}


@dataclass(frozen=True)
class Person:
    """The traits of one person. Lengths are shares of the usual one, slants and places −1..1, amounts 0..1."""

    skin: Colour
    head_width: float
    face_length: float
    cheeks: float
    jaw: float
    chin: float
    hair_style: str
    hair: Colour
    hair_volume: float
    hair_length: float
    parting: float
    hairline: float
    eye_colour: Colour
    eye_distance: float
    eye_size: float
    eye_roundness: float
    eye_slant: float
    lashes: float
    brow_thickness: float
    brow_slant: float
    brow_arch: float
    brow_height: float
    nose: str
    nose_length: float
    nose_width: float
    mouth_width: float
    mouth_height: float
    lip_fullness: float
    lip_colour: Colour
    ear_size: float
    beard: str
    glasses: str
    frame: Colour
    earrings: str
    freckles: float
    mole: tuple[float, float] | None
    blush: float
    lines: float
    neck: float


def draw_person(seed: int) -> Person:
    """The person of a seed, always the same; nobody is met under two seeds."""
    dice = Dice("person", seed)
    # Two things that nobody is told, but which make people look of one piece: a leaning, and an age.
    leaning, age = dice.between(0, 1), dice.between(0, 1)
    tone = dice.between(0, 1)
    skin = mix(ramp(SKIN, tone), (dice.between(0.6, 1), dice.between(0.4, 0.7), dice.between(0.2, 0.5)), 0.06)
    hair_style = dice.weighted({name: a + (b - a) * leaning for name, (a, b) in HAIR_STYLES.items()})
    hair = _hair_colour(dice, tone, age)
    lips = mix(dice.one_of(LIP_COLOURS), skin, dice.between(0.15, 0.75 - 0.5 * leaning))
    bearded = dice.chance(0.62 * (1 - leaning) ** 1.2)
    return Person(
        skin=skin,
        head_width=dice.bell(0.82, 1.18) - 0.03 * leaning,
        face_length=dice.bell(0.86, 1.14),
        cheeks=dice.bell(0.84, 1.03),
        jaw=dice.bell(0.58, 0.92) - 0.07 * leaning,
        chin=dice.bell(0.16, 0.5) - 0.04 * leaning,
        hair_style=hair_style,
        hair=hair,
        hair_volume=dice.between(0.6, 1.4),
        hair_length=dice.between(0, 1),
        parting=dice.between(-1, 1),
        hairline=dice.bell(-1, 1),
        eye_colour=mix(dice.one_of(EYE_COLOURS), (0.25, 0.15, 0.1), dice.between(0, 0.3)),
        eye_distance=dice.bell(0.84, 1.16),
        eye_size=dice.bell(0.78, 1.2) + 0.06 * leaning,
        eye_roundness=dice.bell(0.72, 1.2),
        eye_slant=dice.bell(-1, 1),
        lashes=max(0.0, leaning + dice.between(-0.5, 0.4)),
        brow_thickness=dice.between(0.55, 1.7) - 0.35 * leaning,
        brow_slant=dice.bell(-1, 1),
        brow_arch=dice.between(0, 1),
        brow_height=dice.bell(-1, 1),
        nose=dice.one_of(NOSES),
        nose_length=dice.bell(0.76, 1.22),
        nose_width=dice.bell(0.7, 1.4),
        mouth_width=dice.bell(0.74, 1.26),
        mouth_height=dice.bell(-1, 1),
        lip_fullness=dice.between(0.45, 1.2) + 0.35 * leaning,
        lip_colour=lips,
        ear_size=dice.bell(0.7, 1.35),
        beard=dice.one_of(BEARDS[1:]) if bearded else "none",
        glasses=dice.one_of(GLASSES[1:]) if dice.chance(0.3) else "none",
        frame=dice.one_of(FRAME_COLOURS),
        earrings=dice.one_of(EARRINGS[1:]) if dice.chance(0.5 * leaning) else "none",
        freckles=dice.between(0.4, 1) if dice.chance(0.22) else 0.0,
        mole=(dice.between(-0.75, 0.75), dice.between(0, 1)) if dice.chance(0.2) else None,
        blush=dice.between(0, 1),
        lines=max(0.0, age - 0.45) * dice.between(0.6, 1.8),
        neck=dice.bell(0.8, 1.2) - 0.1 * leaning,
    )


def _hair_colour(dice: Dice, tone: float, age: float) -> Colour:
    if dice.chance(0.12):
        name = dice.one_of(tuple(HAIR_COLOURS)[-4:])
    elif dice.chance(max(0, age - 0.55) * 1.6):
        name = dice.one_of(("grey", "white"))
    else:  # dark hair is the more likely, the darker the skin
        reach = len(NATURAL) - 4.5 * tone
        name = NATURAL[int(dice.between(0, max(reach, 2)))]
    colour = HAIR_COLOURS[name]
    return tuple(min(max(part * dice.between(0.88, 1.12), 0), 1) for part in colour)
