"""Captions as the UNet reads them: one text encoder (Stable Diffusion 1.5, 2), or two (SDXL)."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from .folders import load_part


class TextEncoder(nn.Module):
    """The text encoders of a base model, with their tokenizers."""

    def __init__(self, base: Path):
        """
        Args:
            base: folder in the layout of diffusers. Raises UniPortraitError where a part is missing.
        """
        super().__init__()
        pair = (base / "text_encoder_2").is_dir()
        kinds = {"": CLIPTextModel, "_2": CLIPTextModelWithProjection} if pair else {"": CLIPTextModel}
        self.tokenizers = [load_part(CLIPTokenizer, base, f"tokenizer{name}") for name in kinds]
        self.encoders = nn.ModuleList(load_part(kind, base, f"text_encoder{name}") for name, kind in kinds.items())

    @torch.no_grad()
    def forward(self, captions: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """Encode captions; what is longer than the tokenizer's 77 is cut off.

        Returns:
            The text, (captions, 77, dim), and for SDXL the pooled text, (captions, dim), else None.
        """
        device = next(self.parameters()).device
        outputs = [
            encoder(self._tokens(tokenizer, captions).to(device), output_hidden_states=True)
            for tokenizer, encoder in zip(self.tokenizers, self.encoders, strict=True)
        ]
        if len(outputs) == 1:
            return outputs[0].last_hidden_state, None
        return torch.cat([output.hidden_states[-2] for output in outputs], dim=-1), outputs[1].text_embeds

    @staticmethod
    def _tokens(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> Tensor:
        size = tokenizer.model_max_length
        found = tokenizer(list(captions), padding="max_length", max_length=size, truncation=True, return_tensors="pt")
        return found.input_ids
