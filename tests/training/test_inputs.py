"""What becomes of a batch: which conditions are dropped, and what takes their place."""

import dataclasses

import pytest
import torch

from toy import SPOTS, features
from trainers import batches, trainer
from training.data.sample import Faces
from training.data.tensors import changed
from training.frozen.text import TextEncoder
from training.run.dice import no_dice


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return trainer("single", tmp_path_factory.mktemp("single"))


@pytest.fixture
def batch(made):
    return batches(made)[0][0]


def dice(batch, **changes):
    """Nothing dropped, but for what is said."""
    kept = no_dice(len(batch.keys), batch.present.shape[1], SPOTS, 1.0, False, torch.device("cpu"))
    return dataclasses.replace(kept, **changes)


def rows(*values) -> torch.Tensor:
    return torch.tensor(values)


def test_nothing_dropped(made, batch):
    found = made.frozen.conditions(batch, dice(batch))
    assert torch.equal(found.text, batch.text)
    assert torch.equal(found.faces.intrinsic, batch.faces.intrinsic)
    assert torch.equal(found.faces.structure, torch.cat((batch.faces.shallow, batch.faces.clip), dim=-1))


def test_dropped_text_is_the_empty_text(made, batch):
    found = made.frozen.conditions(batch, dice(batch, no_text=rows(True, False, False, True)))
    empty, _ = TextEncoder(made.config.base.model)([""])
    assert torch.equal(found.text[0], empty[0]) and torch.equal(found.text[3], empty[0])
    assert torch.equal(found.text[1:3], batch.text[1:3])


def test_dropped_faces_are_nobody(made, batch):
    """Their tokens are the unconditional ones that the nodes make."""
    found = made.frozen.conditions(batch, dice(batch, no_faces=rows(False, True, False, False)))
    nobody = made.frozen.nobody
    assert not found.faces.intrinsic[1].any()
    assert torch.equal(found.faces.structure[1, 0], torch.cat((nobody.shallow, nobody.clip), dim=-1)[0])
    assert not nobody.shallow.any() and nobody.clip.any()  # the mean colour, as CLIP sees it
    tokens = made.bare.tokens(found.faces)
    kept = made.bare.tokens(made.frozen.conditions(batch, dice(batch)).faces)
    assert not torch.allclose(tokens[1], kept[1])
    assert torch.equal(tokens[0], kept[0]) and torch.equal(tokens[2:], kept[2:])


def test_another_photo_feeds_the_intrinsic_branch_alone(made, batch):
    other = Faces(
        *(None if t is None else t[0][None].repeat(4, *[1] * (t.ndim - 1)) for t in vars(features([3])).values())
    )
    given = dataclasses.replace(batch, other=other, has_other=rows(True, False, False, True))
    found, before = (made.frozen.conditions(some, dice(some)).faces for some in (given, batch))
    assert torch.equal(found.structure, before.structure)
    assert torch.equal(found.intrinsic[1:3], before.intrinsic[1:3])
    for row in (0, 3):
        assert torch.equal(found.intrinsic[row, 0], other.intrinsic[row])


def test_another_photo_is_not_of_candidates_who_are_not_in_the_picture(tmp_path):
    made = trainer("multi", tmp_path)
    batch = batches(made)[0][0]
    other = changed(batch.faces, lambda t: t[:, 1])
    given = dataclasses.replace(batch, other=other, has_other=rows(True, True, True, True))
    found, before = (made.frozen.conditions(some, dice(some)).faces.intrinsic for some in (given, batch))
    assert torch.equal(found[:, 0], before[:, 1]) and torch.equal(found[:, 1:], before[:, 1:])


def test_drop_path_is_a_structure_scale_of_zero(made, batch):
    """The structure features count for nothing then, and tokens that are dropped are not looked at."""
    faces = made.frozen.conditions(batch, dice(batch)).faces
    changed = dataclasses.replace(faces, structure=faces.structure + 1)
    without = {"scale": torch.zeros_like(faces.scale)}
    dropped = [made.bare.tokens(dataclasses.replace(one, **without)) for one in (faces, changed)]
    assert torch.equal(*dropped)
    assert not torch.allclose(made.bare.tokens(faces), made.bare.tokens(changed))
    assert not torch.allclose(made.bare.tokens(faces), dropped[0])


def test_dropped_tokens_are_not_looked_at(made, batch):
    faces = made.frozen.conditions(batch, dice(batch)).faces
    kept = torch.ones_like(faces.kept)
    kept[..., ::2] = 0
    other = faces.structure.clone()
    other[..., ::2, :] += 1
    found = [made.bare.tokens(dataclasses.replace(faces, structure=t, kept=kept)) for t in (faces.structure, other)]
    torch.testing.assert_close(*found)
    assert not torch.allclose(found[0], made.bare.tokens(faces))


def test_latents_are_scaled_as_the_model_wants_them(made, batch):
    noise = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    moments = torch.cat((batch.moments[:, :4], torch.full_like(batch.moments[:, :4], 0.5)), dim=1)
    found = made.frozen.latents(dataclasses.replace(batch, moments=moments), noise)
    torch.testing.assert_close(found, 0.18215 * (batch.moments[:, :4] + 0.5 * noise))
