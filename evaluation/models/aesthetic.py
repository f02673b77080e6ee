"""LAION's aesthetic predictor: linear layers on the picture's CLIP embedding (improved-aesthetic-predictor).

The published `sac+logos+ava1-l14-linearMSE.pth` is five linear layers with nothing but dropout between them, so all in
all one linear map of the 768 numbers of ViT-L/14.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from .weights import read_weights, unfit

SOURCE = "https://github.com/christophschuhmann/improved-aesthetic-predictor (sac+logos+ava1-l14-linearMSE.pth)"


class LaionAesthetic:
    """The layers in their order."""

    def __init__(self, layers: list[tuple[Tensor, Tensor]]):
        """
        Args:
            layers: weight, (out, in), and bias, (out,), of each.
        """
        self._layers = layers

    def __call__(self, embeddings: Tensor) -> Tensor:
        """See `interfaces.Aesthetic`. Embeddings are of length 1, as in the published code."""
        for weight, bias in self._layers:
            embeddings = F.linear(embeddings, weight, bias)
        return embeddings[:, 0]


def load_laion(path: Path, device: torch.device) -> LaionAesthetic:
    """The predictor from its file, on the CPU: it is small. Its sizes are read from the tensors."""
    weights = read_weights(path, SOURCE)
    stems = sorted(
        (key.removesuffix(".weight") for key in weights if key.endswith(".weight")),
        key=lambda stem: [int(part) for part in stem.split(".") if part.isdigit()],
    )
    try:
        layers = [(weights[f"{stem}.weight"].float(), weights[f"{stem}.bias"].float()) for stem in stems]
    except KeyError as error:
        raise unfit(path, f"{error} is missing", SOURCE) from error
    widths = [weight.shape for weight, _ in layers]
    chained = all(len(shape) == 2 for shape in widths) and all(
        before[0] == after[1] for before, after in zip(widths, widths[1:], strict=False)
    )
    if not layers or not chained or widths[-1][0] != 1:
        raise unfit(path, f"layers of {[tuple(shape) for shape in widths]} do not end in one score", SOURCE)
    return LaionAesthetic(layers)
