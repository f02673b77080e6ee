"""A sheet on which shapes are drawn one after the other; the result is SVG."""

from collections.abc import Iterator
from contextlib import contextmanager

from .colour import Colour, code
from .curves import oval
from .ink import Ink, shades


class Sheet:
    """Collects shapes as SVG elements, in one style."""

    def __init__(self, ink: Ink):
        self.ink = ink
        self._elements: list[str] = []
        self._definitions: dict[str, str] = {}

    def shape(self, path: str, colour: Colour, shade: float = 0.5, line: float = 1.0, opacity: float = 1.0) -> None:
        """A surface with light from the upper left.

        Args:
            path: its outline.
            colour: before the style changes it.
            shade: how much it is lit and shaded, 0..1.
            line: width of the outline in relation to the style's; 0 for none.
            opacity: 0..1; what is not opaque is no part of a mask.
        """
        if self.ink.flat and opacity < 1:
            return
        fill = self._gradient(*shades(self.ink, colour, shade)) if shade * self.ink.shading else self._plain(colour)
        stroke = f' stroke="{code(self.ink.line(colour))}" stroke-width="{self.ink.width * line:.2f}"' if line else ""
        see_through = f' opacity="{opacity:.2f}"' if opacity < 1 else ""
        self._elements.append(f'<path d="{path}" fill="{fill}"{stroke}{see_through}/>')

    def stroke(self, path: str, colour: Colour, width: float, opacity: float = 1.0) -> None:
        """A line of a colour, round at its ends."""
        if self.ink.flat and opacity < 1:
            return
        see_through = f' opacity="{opacity:.2f}"' if opacity < 1 else ""
        self._elements.append(
            f'<path d="{path}" fill="none" stroke="{self._plain(colour)}" stroke-width="{width:.2f}"{see_through}/>'
        )

    def glow(self, x: float, y: float, rx: float, ry: float, colour: Colour, opacity: float) -> None:
        """A soft spot, for blush and shade; none in a style without shades."""
        opacity *= min(1.0, 1.6 * self.ink.shading)
        if self.ink.flat or opacity < 0.01:
            return
        fill = code(self.ink.tone(colour))
        stops = f'<stop stop-color="{fill}"/><stop offset="1" stop-color="{fill}" stop-opacity="0"/>'
        name = self._define("radialGradient", "", stops)
        self._elements.append(f'<path d="{oval(x, y, rx, ry)}" fill="url(#{name})" opacity="{opacity:.2f}"/>')

    def fade(self, path: str, top: Colour, bottom: Colour) -> None:
        """A surface that goes from one colour to another downwards, as skies do."""
        stops = f'<stop stop-color="{self._plain(top)}"/><stop offset="1" stop-color="{self._plain(bottom)}"/>'
        name = self._define("linearGradient", ' x1="0" y1="0" x2="0" y2="1"', stops)
        self._elements.append(f'<path d="{path}" fill="url(#{name})"/>')

    @contextmanager
    def moved(self, x: float = 0, y: float = 0, scale: float = 1) -> Iterator[None]:
        """Draw in coordinates that are scaled, then moved."""
        self._elements.append(f'<g transform="translate({x:.2f} {y:.2f}) scale({scale:.4f})">')
        yield
        self._elements.append("</g>")

    @contextmanager
    def turned(self, angle: float, x: float, y: float) -> Iterator[None]:
        """Draw turned around a point; degrees, clockwise."""
        self._elements.append(f'<g transform="rotate({angle:.2f} {x:.2f} {y:.2f})">')
        yield
        self._elements.append("</g>")

    @contextmanager
    def inside(self, path: str) -> Iterator[None]:
        """Draw inside an outline only."""
        name = self._define("clipPath", "", f'<path d="{path}"/>')
        self._elements.append(f'<g clip-path="url(#{name})">')
        yield
        self._elements.append("</g>")

    def svg(self, width: float, height: float) -> str:
        """The sheet's upper left corner, as an SVG document."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.2f} {height:.2f}" '
            f'stroke-linecap="round" stroke-linejoin="round">'
            f"<defs>{''.join(self._definitions.values())}</defs>{''.join(self._elements)}</svg>"
        )

    def _plain(self, colour: Colour) -> str:
        return code(self.ink.tone(colour))

    def _gradient(self, lit: Colour, shaded: Colour) -> str:
        stops = f'<stop stop-color="{code(lit)}"/><stop offset="1" stop-color="{code(shaded)}"/>'
        name = self._define("linearGradient", ' x1=".25" y1="0" x2=".75" y2="1"', stops)
        return f"url(#{name})"

    def _define(self, element: str, attributes: str, content: str) -> str:
        """The name of a definition, made once."""
        key = element + attributes + content
        if key not in self._definitions:
            name = f"d{len(self._definitions)}"
            self._definitions[key] = f'<{element} id="{name}"{attributes}>{content}</{element}>'
            return name
        return self._definitions[key].split('id="', 1)[1].split('"', 1)[0]
