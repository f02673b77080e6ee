"""The loaders: UniPortrait's weights, the plain IP-Adapter, a face detector, and the mini world."""

import folder_paths
from comfy_api.latest import io
from nodes import NODE_DISPLAY_NAME_MAPPINGS

from ..host.inputs import checked
from ..host.models.detector_files import (
    DEFAULT_PACK,
    DEFAULT_YUNET,
    DRAWN,
    DRAWN_MODEL,
    INSIGHT,
    YUNET,
    insightface_packs,
    load_detector,
)
from ..host.models.folders import FACE_DETECTION, IP_ADAPTER, OF_MINI_WORLD, WEIGHTS, model_file, not_found
from ..host.models.mini_world import load_mini_world
from ..host.models.weights import load_weights
from ..uniportrait_core.faces.insightface_detector import AUTO, CPU, available_providers
from ..uniportrait_core.files.checkpoint import load_ip_adapter
from . import sockets


class LoadUniPortrait(io.ComfyNode):
    """Read face-ID weights, router and face backbone from the model folder `uniportrait`."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        files = folder_paths.get_filename_list(WEIGHTS)
        return io.Schema(
            node_id="LoadUniPortrait",
            display_name="Load UniPortrait",
            category=sockets.CATEGORY,
            description="Loads UniPortrait weights from models/uniportrait: the published ones for Stable Diffusion "
            "1.5, or trained ones, also for Stable Diffusion 2 and SDXL.",
            inputs=[
                io.Combo.Input(
                    "faceid",
                    options=files,
                    default=_first(files, "faceid"),
                    tooltip="Face-ID weights (uniportrait-faceid_sd15, or trained ones): turn a face into tokens and "
                    "the tokens into attention, with the LoRA for one person. .bin or .safetensors.",
                ),
                io.Combo.Input(
                    "router",
                    options=[sockets.NO_ROUTER, *files],
                    default=_first(files, "router") or sockets.NO_ROUTER,
                    tooltip="Router weights (uniportrait-router_sd15, or those trained with faceid): decide which "
                    "person each spot of the picture belongs to, with the LoRA for several people. Needed for two "
                    "people or more; none saves memory.",
                ),
                io.Combo.Input(
                    "face_backbone",
                    options=files,
                    default=_first(files, "backbone"),
                    tooltip="Face recognition network (glint360k_curricular_face_r101_backbone): sees who it is.",
                ),
            ],
            outputs=[
                sockets.UniPortrait.Output(
                    display_name="uniportrait",
                    tooltip="The loaded weights, for Encode Face ID, Apply ID Router and Face Similarity. Kept in "
                    "system memory; the host moves what is needed to the GPU.",
                )
            ],
            **sockets.aliases("uniportrait loader", "face id", "identity"),
        )

    @classmethod
    def validate_inputs(cls, faceid: object = None, router: object = None, face_backbone: object = None) -> bool | str:
        """Say before anything runs which files are missing, and how to get them."""
        chosen = {"faceid": faceid, "router": router, "face_backbone": face_backbone}
        return not_found(WEIGHTS, {at: name for at, name in chosen.items() if name != sockets.NO_ROUTER}) or True

    @classmethod
    @checked("faceid", "router", "face_backbone")
    def execute(cls, faceid: str, router: str, face_backbone: str) -> io.NodeOutput:
        router_path = None if router == sockets.NO_ROUTER else model_file(WEIGHTS, router, "router")
        faceid_path = model_file(WEIGHTS, faceid, "faceid")
        backbone_path = model_file(WEIGHTS, face_backbone, "face_backbone")
        return io.NodeOutput(load_weights(faceid_path, router_path, backbone_path))


class UniPortraitLoadIPAdapter(io.ComfyNode):
    """Read the plain IP-Adapter from the model folder `ipadapter`."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        files = folder_paths.get_filename_list(IP_ADAPTER)
        return io.Schema(
            node_id="UniPortraitLoadIPAdapter",
            display_name="Load IP-Adapter",
            category=sockets.CATEGORY,
            description="Loads a plain IP-Adapter from models/ipadapter, for Style Reference and Encode Pictures.",
            inputs=[
                io.Combo.Input(
                    "ip_adapter",
                    options=files,
                    default=next((name for name in files if "ip-adapter_sd15." in name), None),
                    tooltip="ip-adapter_sd15 (4 tokens), .safetensors or .bin; for Encode Pictures also "
                    "ip-adapter_sdxl and its like. The Plus, FaceID and full-face files do not fit.",
                )
            ],
            outputs=[
                sockets.IPAdapter.Output(display_name="ip_adapter", tooltip="For Style Reference or Encode Pictures.")
            ],
            **sockets.aliases("uniportrait", "ip adapter", "ipadapter loader"),
        )

    @classmethod
    def validate_inputs(cls, ip_adapter: object = None) -> bool | str:
        """Say before anything runs that the file is missing, and how to get it."""
        return not_found(IP_ADAPTER, {"ip_adapter": ip_adapter}) or True

    @classmethod
    @checked("ip_adapter")
    def execute(cls, ip_adapter: str) -> io.NodeOutput:
        return io.NodeOutput(load_ip_adapter(model_file(IP_ADAPTER, ip_adapter, "ip_adapter")))


class UniPortraitFaceDetector(io.ComfyNode):
    """Load a face detector."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        names, files = sorted(insightface_packs()), folder_paths.get_filename_list(FACE_DETECTION)
        only_yunet = bool(files) and not names
        return io.Schema(
            node_id="UniPortraitFaceDetector",
            display_name="Face Detector",
            category=sockets.CATEGORY,
            description="Loads a face detector, so that Encode Face ID takes any photo with a face in it.",
            inputs=[
                io.Combo.Input(
                    "backend",
                    options=[INSIGHT, YUNET, DRAWN],
                    default=YUNET if only_yunet else INSIGHT,
                    tooltip="The library that detects. insightface: the published detector; its pretrained packs are "
                    "for non-commercial research only. yunet: OpenCV's YuNet, whose model is under the MIT licence. "
                    "mini world: finds the drawn faces of the mini world, and comes along.",
                ),
                io.Combo.Input(
                    "model",
                    options=[*([*names, *files] or [DEFAULT_PACK, DEFAULT_YUNET]), DRAWN_MODEL],
                    default=DEFAULT_PACK if DEFAULT_PACK in names or not names + files else (names + files)[0],
                    tooltip="For insightface a pack, which is a folder in models/insightface/models such as buffalo_l "
                    "(non-commercial research only); only its detection model is used. For yunet a file in "
                    "models/face_detection such as face_detection_yunet_2023mar.onnx (MIT licence). For mini world "
                    f"{DRAWN_MODEL}.",
                ),
                io.Combo.Input(
                    "provider",
                    options=_providers(),
                    default=AUTO,
                    tooltip="For insightface, where onnxruntime runs the detector: what is installed. auto takes the "
                    f"fastest; one that does not work is replaced by {CPU}, with a line in the log. The others run "
                    "on the CPU.",
                ),
            ],
            outputs=[
                sockets.Detector.Output(display_name="detector", tooltip="For Encode Face ID and the other face nodes.")
            ],
            **sockets.aliases("insightface", "yunet", "uniportrait", "face analysis"),
        )

    @classmethod
    def validate_inputs(cls, model: object = None, provider: object = None) -> bool | str:
        """Keep the host from refusing values of another machine: `execute` says more of a model that is missing, and a
        provider that is missing is replaced."""
        named = all(isinstance(name, str | None) for name in (model, provider))
        return named or "model and provider have to be names. Choose them again."

    @classmethod
    @checked("model", "provider")
    def execute(cls, backend: str, model: str, provider: str) -> io.NodeOutput:
        return io.NodeOutput(load_detector(backend, model, provider))


class UniPortraitLoadMiniWorld(io.ComfyNode):
    """Load the models of the drawn world, which come with the pack."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitLoadMiniWorld",
            display_name="Load Mini World",
            category=sockets.CATEGORY,
            description="Loads the mini world: small models of Stable Diffusion 1.5's layout that draw made-up people. "
            "They come with the pack, go with Face Detector's backend mini world, and not with models of photos.",
            outputs=[
                io.Model.Output(display_name="model", tooltip="Draws pictures of the mini world, 128×128 pixels."),
                io.Clip.Output(display_name="clip", tooltip="Reads prompts; it knows the words of the mini world."),
                io.Vae.Output(display_name="vae", tooltip="Between latents and pictures, 8-fold."),
                io.ClipVision.Output(display_name="clip_vision", tooltip="For Encode Face ID."),
            ],
            **sockets.aliases("uniportrait", "try it", "demo", "drawn people", "example"),
        )

    @classmethod
    @checked()
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(*load_mini_world())


def _first(files: list[str], word: str) -> str | None:
    """The file that a new node starts with, one for photos before the mini world's; what a file is, is still told by
    its tensors."""
    fitting = [name for name in files if word in name.lower()]
    return min(fitting, key=lambda name: name.startswith(OF_MINI_WORLD), default=None)


def _providers() -> list[str]:
    # While the host loads the pack nobody chooses yet, and importing onnxruntime would slow its start.
    known = available_providers() if "UniPortraitFaceDetector" in NODE_DISPLAY_NAME_MAPPINGS else [CPU]
    return [AUTO, *known]
