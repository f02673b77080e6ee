"""A workflow in API format, with the places where photos, prompt and seed belong."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from uniportrait_core.errors import UniPortraitError

from ..settings import Table

Nodes = dict[str, dict[str, Any]]
PREFIX = "filename_prefix"


@dataclass(frozen=True)
class Place:
    """An input of a node."""

    node: str
    input: str


@dataclass(frozen=True)
class Workflow:
    """A workflow to run for many pictures.

    Attributes:
        nodes: in API format, by id; never changed.
        photos: one place for each person, an input of Load Image that takes a file name; none where the workflow draws
            from words alone.
        prompt: inputs that take the prompt.
        seed: inputs that take the seed.
        output: id of the node whose picture counts.
    """

    nodes: Nodes
    photos: tuple[Place, ...]
    prompt: tuple[Place, ...]
    seed: tuple[Place, ...]
    output: str

    def fill(self, photos: Sequence[Sequence[str]], prompt: str, seed: int) -> Nodes:
        """The workflow for one picture, a copy.

        Several photos of a person become a batch: a Load Image for each, put together by core's ImageBatch.

        Args:
            photos: for each place of `photos` the files, as the server knows them.
            prompt: in full.
            seed: of the noise.
        """
        nodes = copy.deepcopy(self.nodes)
        for place, files in zip(self.photos, photos, strict=True):
            _put_photos(nodes, place, files)
        for places, value in ((self.prompt, prompt), (self.seed, seed)):
            for place in places:
                nodes[place.node]["inputs"][place.input] = value
        return nodes

    def with_settings(self, values: Mapping[str, Any]) -> Workflow:
        """A copy with other inputs, by `NODE.INPUT`."""
        nodes = copy.deepcopy(self.nodes)
        for name, value in values.items():
            place = find_place(nodes, name, "workflow.set")
            nodes[place.node]["inputs"][place.input] = value
        return replace(self, nodes=nodes)


def name_files(nodes: Nodes, prefix: str) -> Nodes:
    """Let Save Image nodes give files names that nothing else has, not even a server with the same folder."""
    return {
        number: {**node, "inputs": {**node["inputs"], PREFIX: prefix}} if PREFIX in node["inputs"] else node
        for number, node in nodes.items()
    }


def read_workflow(table: Table, people: int) -> Workflow:
    """Read the `[workflow]` of a protocol file.

    Args:
        table: `file`; the places `photos`, `prompt` and `seed`, each `NODE.INPUT` or several of them, with the node's
            id or title; `output`, the node whose picture counts where several save one; `set`, values for other inputs.
        people: in a picture.

    Raises:
        UniPortraitError: the file is no workflow in API format, or a place is not in it.
    """
    table.only(("file", "photos", "prompt", "seed", "output", "set"))
    nodes = _read(Path(table.get("file", str)))
    places = {
        key: tuple(find_place(nodes, name, f"workflow.{key}") for name in table.texts(key))
        for key in ("photos", "prompt", "seed")
    }
    if len(places["photos"]) not in (0, people):
        raise UniPortraitError(
            f"workflow.photos in {table.file} names {len(places['photos'])} places, needed is one for each of the "
            f"{people} people in a picture. Name an input of Load Image for each, or none where photos are not used."
        )
    output = table.get("output", str, None)
    output = _find_node(nodes, output, "workflow.output") if output else _only_save_node(nodes)
    return Workflow(nodes, **places, output=output).with_settings(table.get("set", dict, {}))


def find_place(nodes: Nodes, name: str, key: str) -> Place:
    """The input that is meant by `NODE.INPUT`, the node by id or title. Raises UniPortraitError where it is missing."""
    node, _, field = name.rpartition(".")
    place = Place(_find_node(nodes, node, key), field)
    inputs = nodes[place.node]["inputs"]
    if field not in inputs:
        raise UniPortraitError(f"{key} is {name!r}, but that node's inputs are {', '.join(inputs)}. Name one of them.")
    return place


def _find_node(nodes: Nodes, name: str, key: str) -> str:
    titled = [number for number, node in nodes.items() if node.get("_meta", {}).get("title") == name]
    if name in nodes:
        return name
    if len(titled) != 1:
        known = ", ".join(f"{number} ({node.get('_meta', {}).get('title', '')})" for number, node in nodes.items())
        raise UniPortraitError(
            f"{key} means node {name!r}, which {'several nodes are called' if titled else 'is not in the workflow'}. "
            f"Use NODE.INPUT with an id or a title of: {known}."
        )
    return titled[0]


def _only_save_node(nodes: Nodes) -> str:
    saving = [number for number, node in nodes.items() if node["class_type"] == "SaveImage"]
    if len(saving) != 1:
        raise UniPortraitError(
            f"The workflow has {len(saving)} Save Image nodes ({', '.join(saving)}), needed is one. Name the node "
            "whose picture counts at workflow.output."
        )
    return saving[0]


def _read(file: Path) -> Nodes:
    try:
        nodes = json.loads(file.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UniPortraitError(f"{file} cannot be read as a workflow ({error}). Export it again.") from error
    if not isinstance(nodes, dict) or not all(isinstance(n, dict) and "class_type" in n for n in nodes.values()):
        raise UniPortraitError(
            f"{file} is not a workflow in API format. Open it in ComfyUI and choose Workflow, Export (API)."
        )
    return {number: {"inputs": {}, **node} for number, node in nodes.items()}


def _put_photos(nodes: Nodes, place: Place, files: Sequence[str]) -> None:
    first = nodes[place.node]
    first["inputs"][place.input] = files[0]
    batch = [place.node, 0]
    users = [
        (node, name)
        for node in nodes.values()
        for name, value in node["inputs"].items()
        if isinstance(value, list) and value == batch
    ]
    for number, file in enumerate(files[1:], start=2):
        loader, joined = f"{place.node}_photo{number}", f"{place.node}_batch{number}"
        nodes[loader] = {**first, "inputs": {**first["inputs"], place.input: file}}
        nodes[joined] = {"class_type": "ImageBatch", "inputs": {"image1": batch, "image2": [loader, 0]}}
        batch = [joined, 0]
    for node, name in users:
        node["inputs"][name] = batch
