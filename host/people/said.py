"""Words that are to belong to one person, as tokens."""

from collections.abc import Sequence
from typing import Any

from comfy.sd import CLIP
from torch import Tensor

from ...uniportrait_core.errors import UniPortraitError, named

NODE = "Own Words"
PLAIN = {"pooled_output", "guidance"}  # what may stand beside a prompt's tokens; the first is for the whole picture


def tokens_said(
    text: str, clip: CLIP | None, conditioning: Sequence[tuple[Tensor, dict[str, Any]]] | None
) -> Tensor | None:
    """Tokens, (tokens, dim), float32, on the CPU, of a text or of words that are encoded already; None for none.

    Args:
        text: may be empty.
        clip: the text encoder; needed for a text.
        conditioning: in place of the text.

    Raises:
        UniPortraitError: there are both, or a text and no encoder; or the words are more than a prompt.
    """
    if conditioning is None and not text.strip():
        return None
    if conditioning is not None and text.strip():
        raise UniPortraitError(
            f"{NODE} has a text and a conditioning, needed is one of them. Empty the text, or take the wire to "
            "conditioning away."
        )
    if conditioning is None:
        if clip is None:
            raise UniPortraitError(
                f"{NODE} has a text and nothing that encodes it. Connect clip of the model's loader, or words that are "
                "encoded already to conditioning."
            )
        conditioning = clip.encode_from_tokens_scheduled(clip.tokenize(text))
    return _tokens(conditioning)


def _tokens(conditioning: Sequence[tuple[Tensor, dict[str, Any]]]) -> Tensor | None:
    rows = sum(len(tokens) for tokens, _ in conditioning)
    if rows != 1:
        raise UniPortraitError(
            f"conditioning at {NODE} holds {rows} prompts, needed is one. Join them with Conditioning (Concat), or use "
            "one CLIP Text Encode."
        )
    tokens, more = conditioning[0]
    if further := sorted(key for key, value in more.items() if key not in PLAIN and value is not None):
        raise UniPortraitError(
            f"conditioning at {NODE} comes with {', '.join(named(key, 40) for key in further)}, needed are words "
            "alone: where and when they count is for this node and the person to say. Connect CLIP Text Encode itself."
        )
    if not tokens.isfinite().all():
        raise UniPortraitError(
            f"conditioning at {NODE} is not all numbers: it holds NaN or infinity. Encode the words again, with "
            "another CLIP if it is this one's doing."
        )
    return tokens[0].detach().float().cpu() if tokens.any() else None
