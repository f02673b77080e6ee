"""Face networks on aligned faces: the pack's own backbone, as Face Similarity has it, and AdaFace."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from uniportrait_core.embedding.backbone import FaceBackbone
from uniportrait_core.embedding.face_features import CROP_SIZE, look_at_faces
from uniportrait_core.faces.alignment import align
from uniportrait_core.faces.detection import Face
from uniportrait_core.files.checkpoint import load_backbone

from .interfaces import Picture
from .weights import read_weights, unfit

ADAFACE_SOURCE = "https://github.com/mk-minchul/AdaFace (adaface_ir101_webface12m.ckpt)"
STEM = "input_layer.0.weight"  # a key of every IR backbone


class ArcFace:
    """An IR backbone that sees faces as the pack does: aligned at 224 pixels, then brought to 112, RGB."""

    def __init__(self, backbone: FaceBackbone, device: torch.device):
        self._backbone, self._device = backbone.to(device), device

    def crop(self, picture: Picture, face: Face) -> Picture:
        """See `interfaces.Recogniser`."""
        return align(picture, face.landmarks, CROP_SIZE)

    @torch.inference_mode()
    def embed(self, crops: np.ndarray) -> Tensor:
        """See `interfaces.Recogniser`."""
        return F.normalize(look_at_faces(self._backbone, self._pixels(crops))[0], dim=-1).cpu()

    def _pixels(self, crops: np.ndarray) -> Tensor:
        return torch.from_numpy(crops).to(self._device).float() / 255


class AdaFace(ArcFace):
    """An IR backbone that was trained on aligned faces of 112 pixels in BGR (`inference.py` of AdaFace)."""

    def crop(self, picture: Picture, face: Face) -> Picture:
        """See `interfaces.Recogniser`."""
        return align(picture, face.landmarks, self._backbone.IMAGE_SIZE)

    def _pixels(self, crops: np.ndarray) -> Tensor:
        return super()._pixels(crops).flip(-1)


def load_arcface(path: Path, device: torch.device) -> ArcFace:
    """The pack's backbone."""
    return ArcFace(load_backbone(path), device)


def load_adaface(path: Path, device: torch.device) -> AdaFace:
    """AdaFace, from a file whose keys may have a prefix, such as `model.`."""
    weights = read_weights(path, ADAFACE_SOURCE)
    stem = next((key for key in weights if key.endswith(STEM)), None)
    if stem is None:
        raise unfit(path, f"{STEM} is missing", ADAFACE_SOURCE)
    prefix = stem.removesuffix(STEM)
    own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    try:
        return AdaFace(FaceBackbone.from_tensors(own), device)
    except (KeyError, ValueError, RuntimeError) as error:
        raise unfit(path, str(error).splitlines()[-1].strip(), ADAFACE_SOURCE) from error
