"""Frozen networks read from a folder in the layout of diffusers."""

from pathlib import Path
from typing import Any

from uniportrait_core.errors import UniPortraitError

LAYOUT = "unet, vae, text_encoder, tokenizer and scheduler, and for SDXL text_encoder_2 and tokenizer_2"


def load_part(loader: type, base: Path, part: str, **options: Any) -> Any:
    """A part of a base model, float32 on the CPU; networks in evaluation mode, without gradients.

    Args:
        loader: the class whose `from_pretrained` reads it.
        base: the base model's folder.
        part: the part's folder in it; "" for the folder itself.

    Raises:
        UniPortraitError: it is not there, or holds something else.
    """
    folder = base / part if part else base
    if not folder.is_dir():
        raise UniPortraitError(
            f"{folder} was not found; needed is a folder in the layout of diffusers, with {LAYOUT}. Give its path at "
            "base.model, and make it from a single file with diffusers' convert_original_stable_diffusion_to_diffusers."
        )
    try:
        loaded = loader.from_pretrained(folder, local_files_only=True, **options)
    except Exception as error:  # the loaders raise nearly anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UniPortraitError(
            f"{folder} cannot be read as {loader.__name__} ({reason}). Download this part of the base model again."
        ) from error
    return loaded.float().eval().requires_grad_(False) if hasattr(loaded, "requires_grad_") else loaded
