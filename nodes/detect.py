"""UniPortraitFaceDetector: finds faces in photos."""

from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..uniportrait_core.errors import UniPortraitError
from ..uniportrait_core.insightface_detector import CPU, PREFERRED, InsightFaceDetector
from .folders import INSIGHTFACE
from .sockets import CATEGORY, Detector, aliases

DEFAULT_PACK = "buffalo_l"


class UniPortraitFaceDetector(io.ComfyNode):
    """Load a face detector."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitFaceDetector",
            display_name="Face Detector",
            category=CATEGORY,
            description="Loads a face detector for Encode Face ID, which then takes any photo with a face in it.",
            inputs=[
                io.Combo.Input(
                    "backend",
                    options=["insightface"],
                    default="insightface",
                    tooltip="The library that detects. insightface's pretrained packs are for non-commercial use only.",
                ),
                io.Combo.Input(
                    "model",
                    options=sorted(_packs()) or [DEFAULT_PACK],
                    default=DEFAULT_PACK,
                    tooltip="An insightface pack: a folder in models/insightface/models, such as buffalo_l. Only its "
                    "detection model is used.",
                ),
                io.Combo.Input(
                    "provider",
                    options=["auto", *PREFERRED],
                    default="auto",
                    tooltip="Where onnxruntime runs the detector. auto takes the fastest that is installed; one that "
                    f"does not work is replaced by {CPU}, with a line in the log.",
                ),
            ],
            outputs=[Detector.Output(display_name="detector", tooltip="For Encode Face ID.")],
            **aliases("insightface", "uniportrait", "face analysis"),
        )

    @classmethod
    def execute(cls, backend: str, model: str, provider: str) -> io.NodeOutput:
        packs = _packs()
        if model not in packs:
            tried = ", ".join(str(folder) for folder in _pack_folders())
            raise UniPortraitError(
                f"The insightface pack {model!r} was not found in {tried}. Unpack {DEFAULT_PACK}.zip of insightface "
                f"there, so that {DEFAULT_PACK}/det_10g.onnx exists, then press R to refresh the node."
            )
        return io.NodeOutput(InsightFaceDetector(packs[model], provider))


def _pack_folders() -> list[Path]:
    return [Path(root) / "models" for root in folder_paths.get_folder_paths(INSIGHTFACE)]


def _packs() -> dict[str, Path]:
    """Packs by name; where two folders hold one of a name, the first folder wins."""
    found = (pack for folder in reversed(_pack_folders()) if folder.is_dir() for pack in folder.iterdir())
    return {pack.name: pack for pack in found if pack.is_dir()}
