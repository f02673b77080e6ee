"""Where ComfyUI's classic canvas draws the nodes and wires of a workflow file, in its units.

Follows litegraph in ComfyUI's front end (1.49: `LGraphNode.measure`, `slotCalculations.ts`, `LGraphCanvas.ts`,
`Reroute.ts`), links drawn as splines, which is the default. Nodes are taken to be as large as the file says;
`tests/host/test_workflows.py` compares boxes and sockets with those on the front end's canvas.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

Node = dict[str, Any]
Workflow = dict[str, Any]

TITLE, ROW, WIDGET = 30, 20, 24  # heights: of a node's title, a socket's row, a widget with the gap below it
SOCKET = 10  # a socket's distance from the edge of its node
LONGEST = 20  # of the handle of a spline at a reroute, unless the user sets another
POINTS = 40  # that a piece of a wire is looked at in
# Of nodes that are folded in a workflow, by the length of their titles.
FOLDED = {
    "VAELoader": 115, "LoadUniPortrait": 152, "CLIPVisionLoader": 156, "UniPortraitFaceDetector": 140,
    "UniPortraitLoadIPAdapter": 152, "ControlNetLoader": 192, "VAEDecode": 130, "UniPortraitDropReference": 149,
    "MaskToImage": 191, "ImageToMask": 191, "VAEEncode": 129, "SetLatentNoiseMask": 187,
    "UniPortraitRecordRouting": 147,
}  # fmt: skip


class Point(NamedTuple):
    x: float
    y: float


class Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def grown(self, margin: float) -> Box:
        return Box(self.left - margin, self.top - margin, self.right + margin, self.bottom + margin)

    def holds(self, point: Point) -> bool:
        return self.left < point.x < self.right and self.top < point.y < self.bottom

    def meets(self, other: Box) -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def covers(self, other: Box) -> bool:
        across = self.left <= other.left and other.right <= self.right
        return across and self.top <= other.top and other.bottom <= self.bottom


def folded(node: Node) -> bool:
    return bool(node["flags"].get("collapsed"))


def node_box(node: Node) -> Box:
    """A node with its title."""
    (x, y), (width, height) = node["pos"], node["size"]
    if folded(node):
        width, height = min(width, FOLDED[node["type"]]), 0
    return Box(x, y - TITLE, x + width, y + height)


def group_box(group: dict[str, Any]) -> Box:
    x, y, width, height = group["bounding"]
    return Box(x, y, x + width, y + height)


def input_point(node: Node, index: int) -> Point:
    """Where the wire into an input ends; an input that is a widget has its socket beside it."""
    x, y = node["pos"]
    if folded(node):
        return Point(x, y - TITLE / 2)
    plain = [item for item in node["inputs"] if "widget" not in item]
    widgets = [item for item in node["inputs"] if "widget" in item]
    socket = node["inputs"][index]
    if "widget" not in socket:
        return Point(x + SOCKET, y + (plain.index(socket) + 0.7) * ROW)
    rows = max(len(plain), len(node["outputs"]))
    return Point(x + SOCKET, y + rows * ROW + 16 + widgets.index(socket) * WIDGET)


def output_point(node: Node, index: int) -> Point:
    """Where the wires out of an output begin."""
    x, y = node["pos"]
    if folded(node):
        return Point(node_box(node).right, y - TITLE / 2)
    return Point(x + node["size"][0] + 1 - SOCKET, y + (index + 0.7) * ROW)


class Wires:
    """The wires of a workflow, each by way of its reroutes."""

    def __init__(self, workflow: Workflow) -> None:
        extra = workflow.get("extra", {})
        self._nodes = {node["id"]: node for node in workflow["nodes"]}
        self._reroutes = {reroute["id"]: reroute for reroute in extra.get("reroutes", [])}
        self._last = {link["id"]: link["parentId"] for link in extra.get("linkExtensions", [])}
        self._links = {link[0]: link[1:5] for link in workflow["links"]}

    def __iter__(self) -> Iterator[int]:
        return iter(self._links)

    def ends(self, link: int) -> tuple[Node, Point, Node, Point]:
        """Where a wire comes from and goes to."""
        source, output, target, index = self._links[link]
        source, target = self._nodes[source], self._nodes[target]
        return source, output_point(source, output), target, input_point(target, index)

    def points(self, link: int) -> list[Point]:
        """Points along a wire, its ends included."""
        _, start, _, end = self.ends(link)
        stops = [Point(*self._reroutes[stop]["pos"]) for stop in self._stops(link)]
        if not stops:
            return _spline(start, _right(start, end), _left(start, end), end)
        handle, points, before = _right(start, stops[0]), [], start
        for stop, here, after in zip(self._stops(link), stops, [*stops[1:], end], strict=True):
            angle = self._angle(stop, before)
            length = min(LONGEST, math.dist(before, here) / 4)
            arriving = Point(here.x - length * math.cos(angle), here.y - length * math.sin(angle))
            points += _spline(before, handle, arriving, here)
            length = min(LONGEST, math.dist(here, after) / 4)
            handle = Point(here.x + length * math.cos(angle), here.y + length * math.sin(angle))
            before = here
        return points + _spline(before, handle, _left(before, end), end)

    def _stops(self, link: int) -> list[int]:
        """Ids of the reroutes on a wire, from its beginning."""
        stops, stop = [], self._last.get(link)
        while stop is not None:
            stops.insert(0, stop)
            stop = self._reroutes[stop].get("parentId")
        return stops

    def _angle(self, stop: int, before: Point) -> float:
        """The direction of the wires at a reroute: between that in which they come and the mean of those they take."""
        here = Point(*self._reroutes[stop]["pos"])
        leaving = []
        for link in self._reroutes[stop]["linkIds"]:
            stops = self._stops(link)
            later = stops[stops.index(stop) + 1 :]
            after = Point(*self._reroutes[later[0]]["pos"]) if later else self.ends(link)[3]
            leaving.append(math.atan2(after.y - here.y, after.x - here.x))
        coming = math.atan2(here.y - before.y, here.x - before.x)
        turn = (coming - sum(leaving) / len(leaving)) / 2
        return coming - turn - (math.pi if abs(turn) > math.pi / 2 else 0)


def _right(start: Point, end: Point) -> Point:
    return Point(start.x + math.dist(start, end) / 4, start.y)


def _left(start: Point, end: Point) -> Point:
    return Point(end.x - math.dist(start, end) / 4, end.y)


def _spline(*knots: Point) -> list[Point]:
    """A cubic Bézier curve of a start, two handles and an end."""
    points = []
    for step in range(POINTS + 1):
        t = step / POINTS
        weights = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3)
        points.append(Point(*(sum(w * knot[axis] for w, knot in zip(weights, knots, strict=True)) for axis in (0, 1))))
    return points
