"""Captions: what a picture shows, but never who somebody is."""

from collections.abc import Sequence

from .clothes.drawing import CLOTHES
from .dice import Dice
from .dyes import COLOURS
from .expressions import EXPRESSIONS
from .hats import COLOURED, HATS
from .ink import STYLES
from .places.table import PLACES
from .scene import NO_HAT, Look, Scene

NUMBERS = ("a person", "two people", "three people", "four people")
PLURALS = ("overalls", "headphones")
LEFT_OUT = 0.12  # how often a fact is not told, where captions of training vary


def caption(scene: Scene, dice: Dice | None = None) -> str:
    """Everything about a scene in words of `vocabulary()`, its people from left to right.

    Args:
        dice: leaves out facts by chance, as people do who write prompts; None tells all.
    """

    def told(share: float = LEFT_OUT) -> bool:
        return dice is None or not dice.chance(share)

    place = f" {PLACES[scene.place][0]}" if told() else ""
    style = f"{_with_article(scene.style)} of " if told(0.4 if scene.style == "illustration" else 0.05) else ""
    if len(scene.looks) == 1:
        return f"{style}{_described(scene.looks[0], told)}{place}"
    people = [_described(look, told) for look in scene.looks] if told(0.08) else []
    return ", ".join((f"{style}{NUMBERS[len(scene.looks) - 1]}{place}", *people))


def portrait_caption(look: Look, style: str) -> str:
    """What can be seen of a person in an aligned crop of the face."""
    hat = f" wearing {_hat(look)}" if look.hat != NO_HAT else ""
    return f"{_with_article(style)} of {_with_article(f'{look.expression} person')}{hat}"


def vocabulary() -> list[str]:
    """All words and signs of captions."""
    texts: Sequence[str] = (
        *STYLES,
        *EXPRESSIONS,
        *CLOTHES,
        *COLOURS,
        *HATS,
        *NUMBERS,
        *(words for words, _ in PLACES.values()),
        "a an of and wearing ,",
    )
    return sorted({word for text in texts for word in text.split()})


def _described(look: Look, told) -> str:  # noqa: ANN001 - a function without arguments or with a share
    person = _with_article(f"{look.expression} person" if told() else "person")
    worn = [_thing(look.clothes, look.clothes_colour)] if told(0.08) else []
    worn += [_hat(look)] if look.hat != NO_HAT and told(0.08) else []
    return f"{person} wearing {' and '.join(worn)}" if worn else person


def _hat(look: Look) -> str:
    return _thing(look.hat, look.hat_colour if look.hat in COLOURED else "")


def _thing(name: str, colour: str) -> str:
    words = f"{colour} {name}".strip()
    return words if name in PLURALS else _with_article(words)


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
