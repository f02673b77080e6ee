"""UniPortraitPromptList: many pictures of the same people from a list of prompts."""

from comfy_api.latest import io

from ..host.inputs import checked
from ..uniportrait_core.errors import UniPortraitError
from . import sockets


class UniPortraitPromptList(io.ComfyNode):
    """Hand out prompts one by one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitPromptList",
            display_name="Prompt List",
            category=sockets.CATEGORY,
            description="One prompt per line; all that follows runs once for each, with the same seed. For a story, or "
            "one portrait in several styles.",
            inputs=[
                io.String.Input(
                    "prompts",
                    multiline=True,
                    placeholder="one prompt per line",
                    tooltip="One prompt per line; empty lines are left out.",
                    default="",
                ),
                io.String.Input(
                    "common",
                    multiline=True,
                    placeholder="put behind every prompt",
                    tooltip="Put behind every prompt, after a comma; may be empty. What all pictures share, such as a "
                    "style.",
                    default="",
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="prompt", is_output_list=True, tooltip="One after the other, for CLIP Text Encode."
                )
            ],
            **sockets.aliases("uniportrait", "story", "prompts from lines", "batch prompts"),
        )

    @classmethod
    @checked()
    def execute(cls, prompts: str, common: str) -> io.NodeOutput:
        lines = [line.strip() for line in prompts.splitlines() if line.strip()]
        if not lines:
            raise UniPortraitError("prompts at Prompt List is empty, needed is a prompt. Write one prompt per line.")
        return io.NodeOutput([f"{line}, {common.strip()}" if common.strip() else line for line in lines])
