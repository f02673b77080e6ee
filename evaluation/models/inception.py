"""Inception-v3 as in the original FID, by torch-fidelity: TensorFlow's weights and TensorFlow's way to resize."""

import io
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from .interfaces import Picture
from .weights import read_weights, unfit

SOURCE = "https://github.com/toshas/torch-fidelity/releases (weights-inception-2015-12-05-6726825d.pth)"
LAYER = "2048"


class Inception:
    """The last pooling layer, 2048 numbers."""

    def __init__(self, path: Path, device: torch.device):
        # torch-fidelity would run code in a file; so it is given one that is made of tensors.
        stream = io.BytesIO()
        torch.save(read_weights(path, SOURCE), stream)
        stream.seek(0)
        try:
            self._model = FeatureExtractorInceptionV3("inception", [LAYER], feature_extractor_weights_path=stream)
        except RuntimeError as error:
            raise unfit(path, str(error).splitlines()[-1].strip(), SOURCE) from error
        self._model.to(device)
        self._device = device

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[Picture]) -> Tensor:
        """See `interfaces.PictureFeatures`; pictures of one size go through together."""
        features: list[Tensor] = [torch.empty(0)] * len(pictures)
        for size in {picture.shape for picture in pictures}:
            places = [place for place, picture in enumerate(pictures) if picture.shape == size]
            batch = torch.stack([torch.from_numpy(pictures[place].copy()) for place in places]).movedim(-1, 1)
            for place, feature in zip(places, self._model(batch.to(self._device))[0].cpu(), strict=True):
                features[place] = feature
        return torch.stack(features)


def load_inception(path: Path, device: torch.device) -> Inception:
    """Inception-v3 from its file."""
    return Inception(path, device)
