"""Colours of clothes and hats."""

from .colour import Colour, rgb

COLOURS: dict[str, Colour] = {
    "red": rgb("#d23b3b"),
    "orange": rgb("#ee8a32"),
    "yellow": rgb("#f3cc45"),
    "green": rgb("#43a05a"),
    "blue": rgb("#3b74cf"),
    "purple": rgb("#8550b5"),
    "pink": rgb("#ef8fb4"),
    "white": rgb("#f4f3ef"),
    "black": rgb("#34343d"),
}
"""By the word for them in captions."""
