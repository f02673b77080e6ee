"""Cutting on the device against cutting in the core."""

import numpy as np
import torch

from miniworld.data.crops import CROP_SIZE
from miniworld.data.pixels import face_weights, roughen, sample_boxes, to_unit
from miniworld.world.picture import faces, picture
from miniworld.world.scene import compose
from training.data.face_cuts import sample_faces
from uniportrait_core.embedding import face_features
from uniportrait_core.faces.alignment import align

SIZE = 128


def test_the_crop_size_is_the_cores():
    assert CROP_SIZE == face_features.CROP_SIZE


def test_faces_are_aligned_as_the_pack_aligns_them():
    scenes = [compose([number], f"align {number}") for number in range(6)]
    pixels = np.stack([picture(scene, SIZE) for scene in scenes])
    found = [faces(scene, SIZE)[0].landmarks for scene in scenes]
    wanted = np.stack([align(photo, points, 112) for photo, points in zip(pixels, found, strict=True)])
    # OpenCV counts from the middle of the first pixel.
    shares = torch.from_numpy(np.stack(found) + 0.5).float() / SIZE

    def off(by: float) -> float:
        """How much both differ, inside, when landmarks are moved by a part of a pixel."""
        cut = sample_faces(to_unit(torch.from_numpy(pixels)), shares + by / SIZE, 112)
        return (cut - to_unit(torch.from_numpy(wanted))).abs()[..., 20:90, 20:90].mean()

    # OpenCV rounds places to 1/32 of a pixel: 0.002 of the range −1..1 on these drawings.
    assert off(0) < 0.004 < 0.2 * min(off(0.5), off(-0.5))


def test_a_box_of_everything_is_the_picture():
    pictures = torch.rand(3, 3, 32, 32) * 2 - 1
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(3, 4)
    assert torch.allclose(sample_boxes(pictures, boxes, 32), pictures, atol=1e-5)
    right = sample_boxes(pictures, torch.tensor([[0.5, 0.0, 1.5, 1.0]]).expand(3, 4), 32)
    assert torch.allclose(right[..., :16], pictures[..., 16:], atol=1e-5) and (right[..., 17:] == -1).all()


def test_faces_weigh_more_but_all_together_the_same():
    boxes = torch.tensor([[[0.25, 0.25, 0.75, 0.75], [0.0, 0.0, 0.0, 0.0]]])
    weights = face_weights(boxes, 16, extra=3.0, grow=0)
    assert torch.isclose(weights.mean(), torch.tensor(1.0))
    assert torch.isclose(weights[0, 0, 8, 8] / weights[0, 0, 0, 0], torch.tensor(4.0))
    assert (weights[0, 0] == weights[0, 0].max()).sum() == 64


def test_roughened_pictures_stay_recognisable():
    torch.manual_seed(0)
    pictures = to_unit(torch.from_numpy(np.stack([picture(compose([n], n), SIZE) for n in range(4)])))
    rough = roughen(pictures)
    assert rough.shape == pictures.shape and rough.abs().max() <= 1
    assert 0.01 < (rough - pictures).abs().mean() < 0.4
