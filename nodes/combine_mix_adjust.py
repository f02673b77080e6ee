"""Working with people: putting them together, mixing two, giving one a strength and a region."""

from comfy_api.latest import io
from torch import Tensor

from ..host.inputs import checked
from ..host.people.photos import region_masks
from ..uniportrait_core.embedding.identity import FaceID, adjust, mix
from ..uniportrait_core.errors import UniPortraitError
from . import sockets

SLOTS = tuple(f"face_id_{number}" for number in range(1, 5))


class MultiIDConditioning(io.ComfyNode):
    """Put people together in order."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MultiIDConditioning",
            display_name="Combine Face IDs",
            category=sockets.CATEGORY,
            description="Puts several people into one face_id. For more than four, chain a second node.",
            inputs=[
                sockets.FaceID.Input(
                    name,
                    optional=name != SLOTS[0],
                    tooltip="A person from Encode Face ID, or several from another Combine Face IDs. Order does not "
                    "decide where a person appears: the router does, following the prompt.",
                )
                for name in SLOTS
            ],
            outputs=[sockets.FaceID.Output(display_name="face_id", tooltip="All people, in the order of the inputs.")],
            **sockets.aliases("multi id", "uniportrait", "combine faces"),
        )

    @classmethod
    @checked()
    def execute(cls, face_id_1: FaceID, **others: FaceID) -> io.NodeOutput:
        people = [others.pop(name, ()) for name in SLOTS[1:]]
        if others:
            raise UniPortraitError(
                f"Combine Face IDs has {len(SLOTS)} inputs and was given {', '.join(others)} as well. "
                "Connect its output to face_id_1 of a second Combine Face IDs for more people."
            )
        return io.NodeOutput(sum(people, face_id_1))


class UniPortraitMixFaceID(io.ComfyNode):
    """Blend people, once or in steps."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitMixFaceID",
            display_name="Mix Face IDs",
            category=sockets.CATEGORY,
            description="Blends two people into one who looks like both. Chain it to mix more, or let it make a series "
            "from one to the other.",
            inputs=[
                sockets.FaceID.Input("face_id_a", tooltip="The person at weight 0, whose other settings are kept."),
                sockets.FaceID.Input("face_id_b", tooltip="The person at weight 1. As many people as in face_id_a."),
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
                sockets.FaceID.Output(
                    display_name="face_id", is_output_list=True, tooltip="The mixed person, or a list of them."
                )
            ],
            **sockets.aliases("uniportrait", "blend faces", "interpolate", "morph"),
        )

    @classmethod
    @checked()
    def execute(cls, face_id_a: FaceID, face_id_b: FaceID, weight_b: float, series: int = 1) -> io.NodeOutput:
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
            category=sockets.CATEGORY,
            description="Sets how strong a person is, and, with a mask, where in the picture they are.",
            inputs=[
                sockets.FaceID.Input("face_id", tooltip="One person, or several."),
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
                    "router's place. For several people a batch with one mask each. Nodes that sample each crop by "
                    "itself (Ultimate SD Upscale, FaceDetailer) lay it over every crop: give these people without "
                    "masks.",
                ),
            ],
            outputs=[sockets.FaceID.Output(display_name="face_id", tooltip="The same people with these settings.")],
            **sockets.aliases("uniportrait", "face weight", "region", "face mask"),
        )

    @classmethod
    @checked()
    def execute(cls, face_id: FaceID, weight: float, mask: Tensor | None = None) -> io.NodeOutput:
        return io.NodeOutput(adjust(face_id, weight, None if mask is None else region_masks(mask)))
