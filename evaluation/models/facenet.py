"""FaceNet and MTCNN as FastComposer's evaluation has them: facenet-pytorch's own networks.

MTCNN's weights come with that package. FaceNet's are a file; the classifier in it is not needed.
"""

from pathlib import Path

import numpy as np
import torch
from facenet_pytorch import MTCNN, InceptionResnetV1, extract_face, fixed_image_standardization
from PIL import Image
from torch import Tensor

from uniportrait_core.faces.detection import Face

from .interfaces import Picture
from .weights import fill, read_weights

SOURCE = "https://github.com/timesler/facenet-pytorch/releases (20180402-114759-vggface2.pt)"
SIZE = 160  # pixels
SMALLEST = 20  # pixels of a face; the package fails on pictures that are smaller
THRESHOLDS = (0.6, 0.7, 0.7)


class MTCNNDetector:
    """MTCNN on the whole picture, all faces; of pictures one by one, as the package mixes them up in batches."""

    def __init__(self, device: torch.device):
        self._model = MTCNN(keep_all=True, min_face_size=SMALLEST, thresholds=list(THRESHOLDS), device=device)

    def __call__(self, picture: Picture) -> list[Face]:
        """See `interfaces.Detector`; the largest face comes first."""
        if min(picture.shape[:2]) < SMALLEST:
            return []
        boxes, confidences, landmarks = self._model.detect(Image.fromarray(picture), landmarks=True)
        if boxes is None:
            return []
        boxes, landmarks = (np.asarray(places, np.float32) for places in (boxes, landmarks))  # they come as objects
        return [Face(*found) for found in zip(boxes, landmarks, map(float, confidences), strict=True)]


class FaceNet:
    """InceptionResnetV1: a face's box, 160×160 pixels, becomes 512 numbers."""

    def __init__(self, model: InceptionResnetV1, device: torch.device):
        self._model, self._device = model, device

    def crop(self, picture: Picture, face: Face) -> Picture:
        """See `interfaces.Recogniser`: the box without margin, not aligned."""
        height, width = picture.shape[:2]
        left, top, right, bottom = face.box
        # At least a pixel of the picture, wherever another detector may have put the box.
        left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
        box = np.array([left, top, max(right, left + 1), max(bottom, top + 1)])
        return extract_face(Image.fromarray(picture), box, SIZE).byte().movedim(0, -1).numpy()

    @torch.inference_mode()
    def embed(self, crops: np.ndarray) -> Tensor:
        """See `interfaces.Recogniser`."""
        faces = torch.from_numpy(crops).to(self._device).movedim(-1, 1).float()
        return self._model(fixed_image_standardization(faces)).cpu()


def load_mtcnn(path: Path | None, device: torch.device) -> MTCNNDetector:
    """MTCNN; it needs no file."""
    return MTCNNDetector(device)


def load_facenet(path: Path, device: torch.device) -> FaceNet:
    """FaceNet from its published file, or a safetensors copy."""
    weights = {key: value for key, value in read_weights(path, SOURCE).items() if not key.startswith("logits.")}
    return FaceNet(fill(InceptionResnetV1(), weights, path, SOURCE, device), device)
