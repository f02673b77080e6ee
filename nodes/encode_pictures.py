"""UniPortraitEncodePictures: pictures become a face_id, each as if it were a person."""

import folder_paths
from comfy.clip_vision import ClipVisionModel
from comfy_api.latest import io, ui
from torch import Tensor

from ..host.inputs import checked
from ..host.models.folders import WEIGHTS, model_file
from ..host.models.weights import picture_weights
from ..host.people.photos import check_photos
from ..host.people.picture_tokens import encode_pictures
from ..uniportrait_core.embedding.face_features import to_crop_size
from ..uniportrait_core.style.ip_adapter import IPAdapter
from . import sockets


class UniPortraitEncodePictures(io.ComfyNode):
    """Encode pictures of people, things or looks with a plain IP-Adapter, and load the router between them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitEncodePictures",
            display_name="Encode Pictures",
            category=sockets.CATEGORY,
            description="Turns pictures of people, things or looks into a face_id, each as if it were a person, with a "
            "plain IP-Adapter in place of the UniPortrait weights. A router that was trained for it gives each its own "
            "place.",
            inputs=[
                sockets.IPAdapter.Input("ip_adapter", tooltip="From Load IP-Adapter, for the model that draws."),
                io.ClipVision.Input(
                    "clip_vision",
                    tooltip="The CLIP vision model that the IP-Adapter was made with: CLIP ViT-H/14 for "
                    "ip-adapter_sd15, CLIP ViT-bigG/14 for ip-adapter_sdxl.",
                ),
                io.Image.Input(
                    "image",
                    tooltip="One picture for each person, thing or look; several as a batch. CLIP sees the central "
                    "square.",
                ),
                io.Combo.Input(
                    "router",
                    options=[sockets.NO_ROUTER, *folder_paths.get_filename_list(WEIGHTS)],
                    default=sockets.NO_ROUTER,
                    tooltip="A router that was trained for pictures of this IP-Adapter, in models/uniportrait: decides "
                    "which picture each spot follows. Needed for two pictures or more; with one, the plain IP-Adapter.",
                ),
            ],
            outputs=[
                sockets.UniPortrait.Output(
                    display_name="uniportrait", tooltip="The IP-Adapter and its router as weights for Apply ID Router."
                ),
                sockets.FaceID.Output(
                    display_name="face_id",
                    tooltip="The pictures in their order, each as a person: for Apply ID Router, and for the nodes "
                    "that combine, mix, adjust or save people.",
                ),
            ],
            **sockets.keeps_pictures(),
            **sockets.aliases("uniportrait", "ip adapter", "image prompt", "reference images", "things"),
        )

    @classmethod
    @checked("router")
    def execute(cls, ip_adapter: IPAdapter, clip_vision: ClipVisionModel, image: Tensor, router: str) -> io.NodeOutput:
        check_photos(image)
        path = None if router == sockets.NO_ROUTER else model_file(WEIGHTS, router, "router")
        weights = picture_weights(ip_adapter, path)
        face_id = encode_pictures(ip_adapter, clip_vision, image)
        return io.NodeOutput(weights, face_id, ui=ui.PreviewImage(to_crop_size(image)))
