"""All places."""

from collections.abc import Callable

from ..dice import Dice
from ..sheet import Sheet
from .outdoors import beach, city, desert, forest, garden, mountains, night, park, snow
from .rooms import kitchen, library, studio

PLACES: dict[str, tuple[str, Callable[[Sheet, Dice, float], None]]] = {
    "beach": ("on a beach", beach),
    "park": ("in a park", park),
    "mountains": ("in the mountains", mountains),
    "city": ("in a city", city),
    "forest": ("in a forest", forest),
    "desert": ("in a desert", desert),
    "snow": ("in the snow", snow),
    "library": ("in a library", library),
    "kitchen": ("in a kitchen", kitchen),
    "garden": ("in a flower garden", garden),
    "night": ("under the stars", night),
    "studio": ("in a studio", studio),
}
"""Places: the words for them in captions, and how they are drawn, given the width of the picture."""
