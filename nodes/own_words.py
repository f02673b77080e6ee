"""UniPortraitOwnWords: what is said of one person alone."""

from typing import Any

from comfy_api.latest import io

from ..host.inputs import checked
from ..host.people.said import tokens_said
from ..uniportrait_core.embedding.identity import FaceID, say
from . import sockets


class UniPortraitOwnWords(io.ComfyNode):
    """Give people words of their own."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitOwnWords",
            display_name="Own Words",
            category=sockets.CATEGORY,
            description="Says of a person what is true of nobody else in the picture: clothes, a hat, an expression. "
            "Put it between Encode Face ID and Combine Face IDs, one for each person; the scene and the style stay in "
            "the prompt of the sampler.",
            inputs=[
                sockets.FaceID.Input("face_id", tooltip="The person; with several, each of them gets the words."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    default="",
                    placeholder="a smiling woman in a red coat",
                    tooltip="What is to be seen of this person. The words count where the person is, beside the "
                    "sampler's prompt. Empty: no words of their own.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How far this person's part of the picture follows the words, 0 to 1; 0 is as without.",
                ),
                sockets.share_of_sampling(
                    "start_percent",
                    0.0,
                    "Share of the sampling, 0 to 1, after which the words begin to count.",
                ),
                sockets.share_of_sampling(
                    "end_percent",
                    1.0,
                    "Share of the sampling, 0 to 1, after which they count no more.",
                ),
                io.Clip.Input(
                    "clip", optional=True, tooltip="Encodes the text: the CLIP of the model that draws the picture."
                ),
                io.Conditioning.Input(
                    "conditioning",
                    optional=True,
                    tooltip="Words that are encoded already, in place of the text: one prompt, as CLIP Text Encode and "
                    "nodes for weighted prompts give it.",
                ),
            ],
            outputs=[sockets.FaceID.Output(display_name="face_id", tooltip="The same person, with these words.")],
            **sockets.aliases("uniportrait", "attribute binding", "regional prompt", "prompt per person", "clothes"),
        )

    @classmethod
    @checked()
    def execute(
        cls,
        face_id: FaceID,
        text: str,
        strength: float,
        start_percent: float,
        end_percent: float,
        clip: Any = None,
        conditioning: list | None = None,
    ) -> io.NodeOutput:
        tokens = tokens_said(text, clip, conditioning)
        return io.NodeOutput(say(face_id, tokens, strength, (start_percent, end_percent)))
