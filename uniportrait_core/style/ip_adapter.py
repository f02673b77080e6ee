"""The plain IP-Adapter (arXiv 2308.06721): a picture as four tokens, seen by attention of its own beside the text's."""

import re
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from ..attention.adapter import IDLayer, keys_and_values
from ..tensor_checks import check_shapes

AXES = {
    "image_proj.proj.weight": "all embedding",
    "image_proj.proj.bias": "all",
    "image_proj.norm.weight": "dim",
    "image_proj.norm.bias": "dim",
}


@dataclass(frozen=True)
class IPAdapter:
    """The published `ip-adapter_sd15`, or its like for another model.

    Attributes:
        project: linear layer from an image embedding to all tokens, weight (tokens · dim, embedding) and bias.
        norm: of each token, weight and bias (dim,).
        layers: keys and values of the cross-attention layers, in the order of the UniPortrait weights.
    """

    project: tuple[Tensor, Tensor]
    norm: tuple[Tensor, Tensor]
    layers: tuple[IDLayer, ...]

    @property
    def embedding_dim(self) -> int:
        """Width of the image embedding that it was trained with (1024: CLIP ViT-H/14)."""
        return self.project[0].shape[1]

    @property
    def token_shape(self) -> tuple[int, int]:
        """Tokens of a picture, and their width: (4, 768) for Stable Diffusion 1.5, (4, 2048) for SDXL."""
        dim = len(self.norm[0])
        return len(self.project[0]) // dim, dim

    def tokens(self, embedding: Tensor) -> Tensor:
        """Tokens of pictures (`ImageProjModel` of the published code), float32.

        Args:
            embedding: CLIP's projected image embeddings, (pictures, embedding); zeros for the unconditional tokens.

        Returns:
            (pictures, tokens, dim).
        """
        tokens = F.linear(embedding.float(), *self.project).unflatten(-1, self.token_shape)
        return F.layer_norm(tokens, self.token_shape[1:], *self.norm)


def ip_adapter(tensors: dict[str, Tensor]) -> IPAdapter:
    """The adapter of a file's tensors, float32.

    Raises KeyError where one is missing, ValueError where they do not fit each other.
    """
    numbers = {match[1] for key in tensors if (match := re.match(r"ip_adapter\.(\d+)\.", key))}
    names = [f"ip_adapter.{2 * i + 1}.to_{{}}_ip.weight" for i in range(max(len(numbers), 1))]
    layers = keys_and_values(tensors, names)
    sizes = check_shapes(tensors, AXES, {"dim": layers[0].to_k.shape[1]})
    if sizes["all"] % sizes["dim"]:
        raise ValueError(f"image_proj.proj gives {sizes['all']} numbers, needed are tokens of {sizes['dim']}")
    project, norm = (
        tuple(tensors[f"image_proj.{part}.{leaf}"].float() for leaf in ("weight", "bias")) for part in ("proj", "norm")
    )
    return IPAdapter(project, norm, layers)
