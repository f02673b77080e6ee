"""UniPortraitFaceDetector: finds faces in photos."""

from pathlib import Path

import folder_paths
from comfy_api.latest import io
from nodes import NODE_DISPLAY_NAME_MAPPINGS

from ..uniportrait_core.errors import UniPortraitError
from ..uniportrait_core.faces import Detector as FindFaces
from ..uniportrait_core.insightface_detector import AUTO, CPU, InsightFaceDetector, available_providers
from ..uniportrait_core.insightface_packs import find_packs, places
from ..uniportrait_core.yunet_detector import YuNetDetector
from .folders import FACE_DETECTION, INSIGHTFACE
from .sockets import CATEGORY, Detector, aliases

INSIGHT, YUNET = "insightface", "yunet"
DEFAULT_PACK, DEFAULT_YUNET = "buffalo_l", "face_detection_yunet_2023mar.onnx"


class UniPortraitFaceDetector(io.ComfyNode):
    """Load a face detector."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        packs, files = sorted(_packs()), folder_paths.get_filename_list(FACE_DETECTION)
        only_yunet = bool(files) and not packs
        return io.Schema(
            node_id="UniPortraitFaceDetector",
            display_name="Face Detector",
            category=CATEGORY,
            description="Loads a face detector, so that Encode Face ID takes any photo with a face in it.",
            inputs=[
                io.Combo.Input(
                    "backend",
                    options=[INSIGHT, YUNET],
                    default=YUNET if only_yunet else INSIGHT,
                    tooltip="The library that detects. insightface: the published detector; its pretrained packs are "
                    "for non-commercial research only. yunet: OpenCV's YuNet, whose model is under the MIT licence.",
                ),
                io.Combo.Input(
                    "model",
                    options=[*packs, *files] or [DEFAULT_PACK, DEFAULT_YUNET],
                    default=DEFAULT_PACK if DEFAULT_PACK in packs or not packs + files else (packs + files)[0],
                    tooltip="For insightface a pack, which is a folder in models/insightface/models such as buffalo_l "
                    "(non-commercial research only); only its detection model is used. For yunet a file in "
                    "models/face_detection such as face_detection_yunet_2023mar.onnx (MIT licence).",
                ),
                io.Combo.Input(
                    "provider",
                    options=_providers(),
                    default=AUTO,
                    tooltip="For insightface, where onnxruntime runs the detector: what is installed. auto takes the "
                    f"fastest; one that does not work is replaced by {CPU}, with a line in the log. YuNet runs on "
                    "the CPU.",
                ),
            ],
            outputs=[Detector.Output(display_name="detector", tooltip="For Encode Face ID and the other face nodes.")],
            **aliases("insightface", "yunet", "uniportrait", "face analysis"),
        )

    @classmethod
    def validate_inputs(cls, model: str, provider: str) -> bool | str:
        """Keep the host from refusing values of another machine: `execute` says more of a model that is missing, and a
        provider that is missing is replaced."""
        named = isinstance(model, str) and isinstance(provider, str)
        return named or f"model {model!r} and provider {provider!r} have to be names."

    @classmethod
    def execute(cls, backend: str, model: str, provider: str) -> io.NodeOutput:
        return io.NodeOutput(_yunet(model) if backend == YUNET else _insightface(model, provider))


def _insightface(model: str, provider: str) -> FindFaces:
    source = _packs().get(model)
    if source is None:
        roots = _roots()
        tried = ", ".join(str(place) for place in places(roots, model))
        raise UniPortraitError(
            f"No detection model of an insightface pack named {model!r} is in {tried}. Unpack {DEFAULT_PACK}.zip of "
            f"insightface to {roots[0] / 'models' / DEFAULT_PACK} and press R to refresh the node, or set backend to "
            f"{YUNET}."
        )
    return InsightFaceDetector(source, provider)


def _yunet(model: str) -> FindFaces:
    folders = folder_paths.get_folder_paths(FACE_DETECTION)
    path = folder_paths.get_full_path(FACE_DETECTION, model) if model.endswith(".onnx") else None
    if path is None:
        tried = ", ".join(str(Path(folder) / model) for folder in folders)
        raise UniPortraitError(
            f"No YuNet model {model!r} was found; tried {tried}. Put {DEFAULT_YUNET} there and choose it at model on "
            f"Face Detector, or set backend to {INSIGHT} for one of its packs."
        )
    return YuNetDetector(Path(path))


def _roots() -> list[Path]:
    return [Path(root) for root in folder_paths.get_folder_paths(INSIGHTFACE)]


def _packs() -> dict[str, Path]:
    return find_packs(_roots())


def _providers() -> list[str]:
    # While the host loads the pack nobody chooses yet, and importing onnxruntime would slow its start.
    known = available_providers() if "UniPortraitFaceDetector" in NODE_DISPLAY_NAME_MAPPINGS else [CPU]
    return [AUTO, *known]
