"""The pack's own socket types and what all node schemas share."""

from dataclasses import fields

from comfy_api.latest import io

from ..uniportrait_core.faces.detection import MIN_CONFIDENCE

CATEGORY = "UniPortrait"
NO_ROUTER = "none"  # a choice of router


@io.comfytype(io_type="UNIPORTRAIT")
class UniPortrait(io.ComfyTypeIO):
    """Loaded weights, of UniPortrait or of a plain IP-Adapter: `host.models.weights.Weights`."""


@io.comfytype(io_type="UNIPORTRAIT_FACE_ID")
class FaceID(io.ComfyTypeIO):
    """People in order: `uniportrait_core.embedding.identity.FaceID`."""


@io.comfytype(io_type="UNIPORTRAIT_DETECTOR")
class Detector(io.ComfyTypeIO):
    """A face detector: `uniportrait_core.faces.detection.Detector`."""


@io.comfytype(io_type="UNIPORTRAIT_ROUTING")
class Routing(io.ComfyTypeIO):
    """A record of who had which spot while pictures were sampled: `uniportrait_core.routing.record.RoutingRecord`."""


@io.comfytype(io_type="UNIPORTRAIT_IP_ADAPTER")
class IPAdapter(io.ComfyTypeIO):
    """A plain IP-Adapter: `uniportrait_core.style.ip_adapter.IPAdapter`."""


@io.comfytype(io_type="UNIPORTRAIT_STYLE")
class Style(io.ComfyTypeIO):
    """A style picture, ready to be sampled beside others: `host.style.picture.Style`."""


def min_confidence(**settings: object) -> io.Float.Input:
    """The input of all nodes that look for faces."""
    return io.Float.Input(
        "min_confidence",
        default=MIN_CONFIDENCE,
        min=0.05,
        max=1.0,
        step=0.05,
        tooltip="How sure the detector has to be of a face, 0 to 1; published: 0.5. Lower finds more, also what is no "
        "face.",
        **settings,
    )


def share_of_sampling(name: str, default: float, tooltip: str) -> io.Float.Input:
    """An input that says when something begins or ends, 0 to 1."""
    return io.Float.Input(name, default=default, min=0.0, max=1.0, step=0.01, tooltip=tooltip)


def aliases(*names: str) -> dict[str, list[str]]:
    """Words by which the node search also finds a node, on hosts that know them."""
    return _if_known(search_aliases=list(names))


def keeps_pictures() -> dict[str, bool]:
    """For a node that shows pictures and is no output: hosts that know it show them again when the result is reused."""
    return _if_known(has_intermediate_output=True)


def _if_known(**settings: object) -> dict:
    known = {field.name for field in fields(io.Schema)}
    return {name: value for name, value in settings.items() if name in known}
