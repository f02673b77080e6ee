"""Colours as red, green, blue, 0..1."""

Colour = tuple[float, float, float]

WHITE: Colour = (1.0, 1.0, 1.0)
BLACK: Colour = (0.0, 0.0, 0.0)
LUMA = (0.299, 0.587, 0.114)


def rgb(code: str) -> Colour:
    """The colour of a code such as `#f3d2b8`."""
    return tuple(int(code[i : i + 2], 16) / 255 for i in (1, 3, 5))


def code(colour: Colour) -> str:
    """The code of a colour, for SVG."""
    return "#" + "".join(f"{round(min(max(part, 0), 1) * 255):02x}" for part in colour)


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`a`, with a share of `b` in it."""
    return tuple(x + (y - x) * share for x, y in zip(a, b, strict=True))


def darker(colour: Colour, share: float) -> Colour:
    """Towards a warm black."""
    return mix(colour, (0.12, 0.06, 0.10), share)


def lighter(colour: Colour, share: float) -> Colour:
    """Towards a warm white."""
    return mix(colour, (1.0, 0.98, 0.94), share)


def luma(colour: Colour) -> float:
    return sum(weight * part for weight, part in zip(LUMA, colour, strict=True))


def ramp(stops: list[Colour], share: float) -> Colour:
    """The colour at a share, 0..1, of a row of colours that blend into each other."""
    place = min(max(share, 0), 1) * (len(stops) - 1)
    index = min(int(place), len(stops) - 2)
    return mix(stops[index], stops[index + 1], place - index)
