"""LoadUniPortrait: the three weight files."""

import folder_paths
from comfy_api.latest import io

from .folders import WEIGHTS, model_file
from .sockets import CATEGORY, UniPortrait, aliases
from .weights import load_weights

NO_ROUTER = "none"


class LoadUniPortrait(io.ComfyNode):
    """Read face-ID weights, router and face backbone from the model folder `uniportrait`."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        files = folder_paths.get_filename_list(WEIGHTS)
        return io.Schema(
            node_id="LoadUniPortrait",
            display_name="Load UniPortrait",
            category=CATEGORY,
            description="Loads the UniPortrait weights (Stable Diffusion 1.5) from models/uniportrait.",
            inputs=[
                io.Combo.Input(
                    "faceid",
                    options=files,
                    default=_first(files, "faceid"),
                    tooltip="Face-ID weights (uniportrait-faceid_sd15): turn a face into tokens and the tokens into "
                    "attention, with the LoRA for one person. .bin or .safetensors.",
                ),
                io.Combo.Input(
                    "router",
                    options=[NO_ROUTER, *files],
                    default=_first(files, "router") or NO_ROUTER,
                    tooltip="Router weights (uniportrait-router_sd15): decide which person each spot of the picture "
                    "belongs to, with the LoRA for several people. Needed for two people or more; none saves memory.",
                ),
                io.Combo.Input(
                    "face_backbone",
                    options=files,
                    default=_first(files, "backbone"),
                    tooltip="Face recognition network (glint360k_curricular_face_r101_backbone): sees who it is.",
                ),
            ],
            outputs=[
                UniPortrait.Output(
                    display_name="uniportrait",
                    tooltip="The loaded weights, for Encode Face ID, Apply ID Router and Face Similarity. Kept in "
                    "system memory; the host moves what is needed to the GPU.",
                )
            ],
            **aliases("uniportrait loader", "face id", "identity"),
        )

    @classmethod
    def execute(cls, faceid: str, router: str, face_backbone: str) -> io.NodeOutput:
        router_path = None if router == NO_ROUTER else model_file(WEIGHTS, router, "router")
        return io.NodeOutput(
            load_weights(
                model_file(WEIGHTS, faceid, "faceid"), router_path, model_file(WEIGHTS, face_backbone, "face_backbone")
            )
        )


def _first(files: list[str], word: str) -> str | None:
    """The file that a new node starts with; what a file is, is still told by its tensors."""
    return next((name for name in files if word in name.lower()), None)
