"""What a user sees: the nodes, each a schema and a short `execute`."""

from comfy_api.latest import ComfyExtension, io
from server import PromptServer

from ..host.models.folders import register_folders
from ..host.web.all_requests import add_routes
from .apply_id_router import IDRouterApply
from .combine_mix_adjust import MultiIDConditioning, UniPortraitAdjustFaceID, UniPortraitMixFaceID
from .detect_faces import UniPortraitDetectFaces
from .encode_face_id import FaceIDEncode
from .encode_pictures import UniPortraitEncodePictures
from .face_similarity import UniPortraitFaceSimilarity
from .loaders import (
    LoadUniPortrait,
    UniPortraitFaceDetector,
    UniPortraitLoadIPAdapter,
    UniPortraitLoadMiniWorld,
)
from .own_words import UniPortraitOwnWords
from .prompt_list import UniPortraitPromptList
from .routing_map import UniPortraitRecordRouting, UniPortraitRoutingMap
from .saved_faces import UniPortraitLoadFaceID, UniPortraitSaveFaceID
from .style_reference import UniPortraitApplyStyle, UniPortraitDropReference, UniPortraitStyleReference


class UniPortraitExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            LoadUniPortrait,
            FaceIDEncode,
            MultiIDConditioning,
            IDRouterApply,
            UniPortraitFaceDetector,
            UniPortraitDetectFaces,
            UniPortraitMixFaceID,
            UniPortraitAdjustFaceID,
            UniPortraitOwnWords,
            UniPortraitFaceSimilarity,
            UniPortraitRecordRouting,
            UniPortraitRoutingMap,
            UniPortraitSaveFaceID,
            UniPortraitLoadFaceID,
            UniPortraitLoadIPAdapter,
            UniPortraitStyleReference,
            UniPortraitApplyStyle,
            UniPortraitDropReference,
            UniPortraitPromptList,
            UniPortraitEncodePictures,
            UniPortraitLoadMiniWorld,
        ]


async def comfy_entrypoint() -> UniPortraitExtension:
    register_folders()
    if server := getattr(PromptServer, "instance", None):  # none where the host is used as a library
        add_routes(server)
    return UniPortraitExtension()
