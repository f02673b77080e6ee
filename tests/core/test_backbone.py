"""The IR backbone against the published implementation, and networks of other depths."""

import pytest
import recipe
import torch
from uniportrait_core.backbone import FaceBackbone

PUBLISHED = "glint360k_curricular_face_r101_backbone.bin"


def test_ir101_known_answers():
    backbone = FaceBackbone.from_tensors(recipe.weights("golden.face101", recipe.shapes("checkpoint")[PUBLISHED]))
    embedding, stages = backbone(recipe.noise("face112", (1, 3, 112, 112)).clamp(-1, 1))
    wanted = recipe.golden("backbone_ir101")
    assert recipe.relative_error(embedding, wanted["embedding"]) <= 1e-5
    for i, stage in enumerate(stages, start=1):
        assert recipe.relative_error(stage, wanted[f"stage{i}"]) <= 1e-5
    assert backbone.stage_channels == (64, 128, 256, 512)
