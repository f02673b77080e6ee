"""Styles of drawing: what becomes of colours, lines and shades."""

from collections.abc import Callable
from dataclasses import dataclass

from .colour import Colour, darker, lighter, luma, mix

PAPER: Colour = (0.97, 0.95, 0.91)


@dataclass(frozen=True)
class Ink:
    """How things are drawn.

    Attributes:
        tone: what a surface's colour becomes.
        line: the colour of its outline.
        width: of outlines, in units of which a head has about 128.
        shading: how strong light and shade are, 0..1.
        flat: nothing but surfaces, for masks.
    """

    tone: Callable[[Colour], Colour]
    line: Callable[[Colour], Colour]
    width: float
    shading: float
    flat: bool = False


def _pencil(colour: Colour) -> Colour:
    grey = 0.16 + 0.82 * luma(colour) ** 0.85
    return mix((grey, grey, grey), PAPER, 0.28)


def _wash(colour: Colour) -> Colour:
    return mix(colour, PAPER, 0.16)


def _bold(colour: Colour) -> Colour:
    grey = luma(colour)
    return tuple(min(max(grey + 1.2 * (part - grey), 0), 1) for part in colour)


STYLES = {
    "illustration": Ink(lambda c: c, lambda c: darker(c, 0.5), 1.7, 1.0),
    "pencil sketch": Ink(_pencil, lambda _: (0.2, 0.2, 0.23), 2.1, 0.6),
    "watercolour": Ink(_wash, lambda c: mix(_wash(c), darker(c, 0.35), 0.45), 1.3, 0.8),
    "comic": Ink(_bold, lambda _: (0.07, 0.06, 0.1), 3.4, 0.0),
}
"""Styles by the word for them in captions."""


def silhouette(colour: Colour) -> Ink:
    """Everything in one colour, for masks."""
    return Ink(lambda _: colour, lambda _: colour, 1.7, 0.0, flat=True)


def shades(ink: Ink, colour: Colour, strength: float) -> tuple[Colour, Colour]:
    """The lit and the shaded end of a surface."""
    amount = strength * ink.shading
    return ink.tone(lighter(colour, 0.22 * amount)), ink.tone(darker(colour, 0.3 * amount))
