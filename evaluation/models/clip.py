"""CLIP by transformers: for CLIP-T and LAION-Aes it is ViT-L/14."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

from uniportrait_core.errors import UniPortraitError

from .interfaces import Picture

SOURCE = "https://huggingface.co/openai/clip-vit-large-patch14"


class Clip:
    """A CLIP model with its own preprocessing: shorter side to 224 pixels, bicubic, centre crop."""

    def __init__(self, folder: Path, device: torch.device):
        """
        Args:
            folder: in the layout of transformers.
            device: to run on.

        Raises:
            UniPortraitError: it holds something else.
        """
        try:
            self._model = CLIPModel.from_pretrained(folder, local_files_only=True)
            self._images = CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
            self._tokens = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # the loaders raise nearly anything
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise UniPortraitError(
                f"{folder} cannot be read as a CLIP model of transformers ({reason}). Download all files of {SOURCE}."
            ) from error
        self._model.float().eval().requires_grad_(False).to(device)
        self._device = device

    @torch.inference_mode()
    def embed_pictures(self, pictures: Sequence[Picture]) -> Tensor:
        """See `interfaces.TextImage`."""
        images = [Image.fromarray(picture) for picture in pictures]
        pixels = self._images(images=images, return_tensors="pt")["pixel_values"].to(self._device)
        seen = self._model.vision_model(pixel_values=pixels).pooler_output
        return F.normalize(self._model.visual_projection(seen), dim=-1).cpu()

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """See `interfaces.TextImage`; what is longer than 77 tokens is cut off."""
        longest = self._model.config.text_config.max_position_embeddings
        tokens = self._tokens(list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt")
        read = self._model.text_model(**tokens.to(self._device)).pooler_output
        return F.normalize(self._model.text_projection(read), dim=-1).cpu()


def load_clip(path: Path, device: torch.device) -> Clip:
    """CLIP from a folder."""
    return Clip(path, device)
