"""UniPortraitLoadIPAdapter: the plain IP-Adapter."""

import folder_paths
from comfy_api.latest import io

from ..uniportrait_core.checkpoint import load_ip_adapter
from .folders import IP_ADAPTER, model_file
from .sockets import CATEGORY, IPAdapter, aliases


class UniPortraitLoadIPAdapter(io.ComfyNode):
    """Read the plain IP-Adapter from the model folder `ipadapter`."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        files = folder_paths.get_filename_list(IP_ADAPTER)
        return io.Schema(
            node_id="UniPortraitLoadIPAdapter",
            display_name="Load IP-Adapter",
            category=CATEGORY,
            description="Loads the plain IP-Adapter for Stable Diffusion 1.5 from models/ipadapter, for Style "
            "Reference.",
            inputs=[
                io.Combo.Input(
                    "ip_adapter",
                    options=files,
                    default=next((name for name in files if "ip-adapter_sd15." in name), None),
                    tooltip="ip-adapter_sd15 (4 tokens), .safetensors or .bin; the Plus, FaceID, full-face and SDXL "
                    "files do not fit.",
                )
            ],
            outputs=[IPAdapter.Output(display_name="ip_adapter", tooltip="For Style Reference.")],
            **aliases("uniportrait", "ip adapter", "ipadapter loader"),
        )

    @classmethod
    def execute(cls, ip_adapter: str) -> io.NodeOutput:
        return io.NodeOutput(load_ip_adapter(model_file(IP_ADAPTER, ip_adapter, "ip_adapter")))
