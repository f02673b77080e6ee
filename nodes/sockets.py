"""The pack's own socket types and what all node schemas share."""

from dataclasses import fields

from comfy_api.latest import io

CATEGORY = "UniPortrait"


@io.comfytype(io_type="UNIPORTRAIT")
class UniPortrait(io.ComfyTypeIO):
    """Loaded weights: `nodes.weights.Weights`."""


@io.comfytype(io_type="UNIPORTRAIT_FACE_ID")
class FaceID(io.ComfyTypeIO):
    """People in order: `uniportrait_core.identity.FaceID`."""


@io.comfytype(io_type="UNIPORTRAIT_DETECTOR")
class Detector(io.ComfyTypeIO):
    """A face detector: `uniportrait_core.faces.Detector`."""


def aliases(*names: str) -> dict[str, list[str]]:
    """Words by which the node search also finds a node, on hosts that know them."""
    known = any(field.name == "search_aliases" for field in fields(io.Schema))
    return {"search_aliases": list(names)} if known else {}
