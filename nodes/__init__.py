"""The ComfyUI side of UniPortrait: nodes, sockets, folders, and the glue to the host's model management."""

from comfy_api.latest import ComfyExtension, io

from .apply import IDRouterApply
from .apply_style import UniPortraitApplyStyle
from .detect import UniPortraitFaceDetector
from .encode import FaceIDEncode
from .faces import UniPortraitDetectFaces
from .folders import register_folders
from .identity import MultiIDConditioning, UniPortraitLoadFaceID, UniPortraitSaveFaceID
from .ip_adapter import UniPortraitLoadIPAdapter
from .load import LoadUniPortrait
from .mix import UniPortraitAdjustFaceID, UniPortraitMixFaceID
from .prompt_list import UniPortraitPromptList
from .record import UniPortraitRecordRouting
from .routing_map import UniPortraitRoutingMap
from .similarity import UniPortraitFaceSimilarity
from .style_reference import UniPortraitDropReference, UniPortraitStyleReference


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
        ]


async def comfy_entrypoint() -> UniPortraitExtension:
    register_folders()
    return UniPortraitExtension()
