"""Working with people: mixing two, and giving one a weight and a region."""

import logging

from comfy_api.latest import io
from torch import Tensor

from ..uniportrait_core.errors import UniPortraitError
from ..uniportrait_core.identity import FaceID as People
from ..uniportrait_core.identity import adjust, mix
from .sockets import CATEGORY, FaceID, aliases

logger = logging.getLogger("uniportrait")


class UniPortraitMixFaceID(io.ComfyNode):
    """Blend people, once or in steps."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitMixFaceID",
            display_name="Mix Face IDs",
            category=CATEGORY,
            description="Blends two people into one who looks like both. Chain it to mix more, or let it make a series "
            "from one to the other.",
            inputs=[
                FaceID.Input("face_id_a", tooltip="The person at weight 0, whose other settings are kept."),
                FaceID.Input("face_id_b", tooltip="The person at weight 1. As many people as in face_id_a."),
                io.Float.Input(
                    "weight_b",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of face_id_b, 0 to 1. In a series, the share of the last.",
                ),
                io.Int.Input(
                    "series",
                    default=1,
                    min=1,
                    max=64,
                    optional=True,
                    tooltip="1: one mix. More: that many, from face_id_a to weight_b in even steps, as a list; all "
                    "that follows runs once for each, with the same seed.",
                ),
            ],
            outputs=[
                FaceID.Output(
                    display_name="face_id", is_output_list=True, tooltip="The mixed person, or a list of them."
                )
            ],
            **aliases("uniportrait", "blend faces", "interpolate", "morph"),
        )

    @classmethod
    def execute(cls, face_id_a: People, face_id_b: People, weight_b: float, series: int = 1) -> io.NodeOutput:
        if len(face_id_a) != len(face_id_b):
            raise UniPortraitError(
                f"face_id_a holds {len(face_id_a)} people and face_id_b {len(face_id_b)}, needed are as many in both. "
                "Mix people before Combine Face IDs."
            )
        weights = [weight_b] if series == 1 else [weight_b * step / (series - 1) for step in range(series)]
        return io.NodeOutput(
            [tuple(mix(a, b, weight) for a, b in zip(face_id_a, face_id_b, strict=True)) for weight in weights]
        )


class UniPortraitAdjustFaceID(io.ComfyNode):
    """Give people a strength and a place of their own."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitAdjustFaceID",
            display_name="Adjust Face ID",
            category=CATEGORY,
            description="Sets how strong a person is, and, with a mask, where in the picture they are.",
            inputs=[
                FaceID.Input("face_id", tooltip="One person, or several."),
                io.Float.Input(
                    "weight",
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="Strength of this person, 0 to 2: multiplies id_scale of Apply ID Router, in place of the "
                    "weight that the person has.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where the person is, white on black, over the whole picture in any size; takes the "
                    "router's place. For several people a batch with one mask each.",
                ),
            ],
            outputs=[FaceID.Output(display_name="face_id", tooltip="The same people with these settings.")],
            **aliases("uniportrait", "face weight", "region", "face mask"),
        )

    @classmethod
    def execute(cls, face_id: People, weight: float, mask: Tensor | None = None) -> io.NodeOutput:
        return io.NodeOutput(adjust(face_id, weight, None if mask is None else _regions(mask)))


def _regions(mask: Tensor) -> list[Tensor]:
    """The masks of a MASK, each (height, width), 0..1."""
    if mask.ndim == 2:
        mask = mask[None]
    elif mask.ndim == 4 and mask.shape[1] == 1:  # as some packs give it
        mask = mask[:, 0]
    if mask.ndim != 3 or mask.numel() == 0 or not mask.isfinite().all():
        raise UniPortraitError(
            f"mask at Adjust Face ID is of shape {tuple(mask.shape)}, needed is (masks, height, width) of finite "
            "numbers. Connect a mask, for example of Load Image (as Mask)."
        )
    for number, region in enumerate(mask, start=1):
        if not region.any():
            logger.warning("Mask %d at Adjust Face ID is black: the person will be nowhere in the picture.", number)
    return list(mask.float().cpu().clamp(0, 1))
