"""IDRouterApply: a diffusion model that draws these people."""

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..host.inputs import checked
from ..host.models.weights import Weights
from ..host.unet.layers import PRESETS
from ..host.unet.patching import with_people
from ..host.web.live_viewer import viewer_at
from ..uniportrait_core.embedding.identity import FaceID
from . import sockets


class IDRouterApply(io.ComfyNode):
    """Patch a copy of a Stable Diffusion model with ID attention, ID routing and the UniPortrait LoRA."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IDRouterApply",
            display_name="Apply ID Router",
            category=sockets.CATEGORY,
            description="Makes a model draw the people in face_id, each in their own place: Stable Diffusion 1.5 with "
            "the published weights, Stable Diffusion 2 or SDXL with trained ones. Combines with LoRA, ControlNet and "
            "patches that replace attention, in any order.",
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="A model of the kind that the weights are for: Stable Diffusion 1.5 for the published "
                    "ones. It stays as it is.",
                ),
                sockets.UniPortrait.Input("uniportrait", tooltip="From Load UniPortrait."),
                sockets.FaceID.Input(
                    "face_id",
                    tooltip="One person from Encode Face ID, or several from Combine Face IDs; mixed or adjusted too.",
                ),
                io.Float.Input(
                    "id_scale",
                    default=0.7,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="Strength of the faces, 0 to 2; 0.7 is the published value. Lower follows the prompt more, "
                    "0 switches ID attention off.",
                ),
                io.Float.Input(
                    "lora_scale",
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="Strength of the UniPortrait LoRA, 0 to 2; 1 is the published value, 0 leaves the model's "
                    "weights as they are. It is merged into the weights, so it works at every step.",
                ),
                sockets.share_of_sampling(
                    "start_percent",
                    0.0,
                    "Share of the sampling, 0 to 1, after which ID attention begins. Later leaves the layout "
                    "to the prompt.",
                ),
                sockets.share_of_sampling(
                    "end_percent",
                    1.0,
                    "Share of the sampling, 0 to 1, after which ID attention ends. Steps outside cost nothing.",
                ),
                io.Combo.Input(
                    "layers",
                    options=list(PRESETS),
                    default="all",
                    optional=True,
                    tooltip="Cross-attention layers that get ID attention. all is published; the decoder decides more "
                    "about looks, encoder and middle more about the layout. The LoRA works in all of them.",
                ),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="The patched copy, for a sampler.")],
            hidden=[io.Hidden.unique_id],
            **sockets.aliases("uniportrait", "face id", "id router", "identity"),
        )

    @classmethod
    @checked()
    def execute(
        cls,
        model: ModelPatcher,
        uniportrait: Weights,
        face_id: FaceID,
        id_scale: float,
        lora_scale: float,
        start_percent: float,
        end_percent: float,
        layers: str = "all",
    ) -> io.NodeOutput:
        window, viewer = (start_percent, end_percent), viewer_at(cls.hidden)
        return io.NodeOutput(with_people(model, uniportrait, face_id, id_scale, lora_scale, window, layers, viewer))
