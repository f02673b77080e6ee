"""Encode Face ID in the host: crops, what is shown, progress, memory and model management."""

import weakref

import comfy.model_management
import comfy.utils
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import recipe
import small
from graph import Graph


@pytest.fixture(scope="module")
def clip(pack):
    return small.clip_vision(recipe.clip_config())


def encode(uniportrait, clip, image, structure_scale=0.1):
    graph = Graph()
    encoded = graph.add(
        "FaceIDEncode",
        uniportrait=graph.give(uniportrait),
        clip_vision=graph.give(clip),
        image=graph.give(image),
        structure_scale=structure_scale,
    )
    graph.take(encoded, "face_id")
    graph.take([encoded[0], 1], "crops")
    result = graph.run()
    (person,) = result["face_id"]
    return person, result["crops"]


def crops(*numbers):
    return recipe.golden("encode_small")["crops"][list(numbers)].float() / 255


def test_many_photos_show_progress(uniportrait, clip, monkeypatch):
    shown = []
    monkeypatch.setattr(
        comfy.utils, "PROGRESS_BAR_HOOK", lambda value, total, *_args, **_kwargs: shown.append((value, total))
    )
    encode(uniportrait, small.clip_vision(recipe.clip_config()), crops(0, 1, 2).repeat(7, 1, 1, 1))
    # The unconditional half, once for a CLIP model, and photos by the eight. Newer hosts leave out some steps.
    assert shown[0] == (1, 22) and shown[-1] == (22, 22) and set(shown) <= {(1, 22), (9, 22), (17, 22), (22, 22)}
    encode(uniportrait, clip, crops(0), structure_scale=0.2)
    shown.clear()
    encode(uniportrait, clip, crops(0, 1, 2), structure_scale=0.2)
    assert shown == [(3, 3)]


def test_an_interrupted_run_stops_between_chunks(uniportrait, clip, monkeypatch):
    seen = []

    def stop(value, *_args, **_kwargs):
        seen.append(value)
        raise comfy.model_management.InterruptProcessingException

    before, _ = encode(uniportrait, clip, crops(0))
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", stop)
    with pytest.raises(Exception, match="interrupted"):
        encode(uniportrait, clip, crops(0, 1, 2).repeat(7, 1, 1, 1))
    monkeypatch.undo()
    assert seen == [8]
    assert torch.equal(encode(uniportrait, clip, crops(0))[0].cond, before.cond)


def test_the_networks_are_under_the_hosts_management(uniportrait, clip):
    first, _ = encode(uniportrait, clip, crops(0))
    loaded, encoder = [model.model for model in comfy.model_management.current_loaded_models], uniportrait.encoder
    assert encoder.backbone in loaded and encoder.resampler in loaded and clip.patcher in loaded
    comfy.model_management.unload_all_models()
    again, _ = encode(uniportrait, clip, crops(0))
    assert torch.equal(again.cond, first.cond)


def test_every_photo_counts_and_their_order_does_not(uniportrait, clip):
    one, _ = encode(uniportrait, clip, crops(0))
    both, _ = encode(uniportrait, clip, crops(0, 1))
    swapped, _ = encode(uniportrait, clip, crops(1, 0))
    assert both.cond.shape == one.cond.shape and not torch.allclose(both.cond, one.cond, atol=1e-3)
    assert recipe.relative_error(swapped.cond, both.cond) <= 1e-5
    assert torch.equal(both.uncond, one.uncond)


def test_structure_scale_changes_both_halves(uniportrait, clip):
    low, high = (encode(uniportrait, clip, crops(0), structure_scale=scale)[0] for scale in (0.1, 0.9))
    assert not torch.allclose(low.cond, high.cond, atol=1e-3)
    assert not torch.allclose(low.uncond, high.uncond, atol=1e-3)


def test_crops_pass_untouched_and_other_sizes_are_brought_to_size(uniportrait, clip):
    given = crops(0)
    assert torch.equal(encode(uniportrait, clip, given)[1], given)
    wide = torch.nn.functional.pad(given, (0, 0, 50, 50))  # black borders left and right, which the square cuts off
    larger = given.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    result = encode(uniportrait, clip, larger)[1]
    assert result.shape == given.shape and (result - given).abs().mean() < 0.03
    assert recipe.relative_error(encode(uniportrait, clip, wide)[1], given) <= 1e-6


def test_the_batch_may_hold_one_person_per_photo(uniportrait, clip):
    graph = Graph()
    encoded = graph.add(
        "FaceIDEncode",
        uniportrait=graph.give(uniportrait),
        clip_vision=graph.give(clip),
        image=graph.give(crops(0, 1, 2)),
        structure_scale=0.3,
        batch="one person per photo",
    )
    graph.take(encoded, "people")
    people = graph.run()["people"]
    assert len(people) == 3
    for number, person in enumerate(people):
        alone, _ = encode(uniportrait, clip, crops(number), structure_scale=0.3)
        assert recipe.relative_error(person.cond, alone.cond) <= 1e-6
        assert recipe.relative_error(person.embedding, alone.embedding) <= 1e-6


def test_the_embedding_is_the_mean_of_the_photos(uniportrait, clip):
    one, other, both = (encode(uniportrait, clip, crops(*numbers))[0] for numbers in ((0,), (1,), (0, 1)))
    assert both.embedding.shape == (512,) and both.embedding.norm().item() == pytest.approx(1)
    mean = one.embedding + other.embedding
    assert recipe.relative_error(both.embedding, mean / mean.norm()) <= 1e-5


def test_the_crops_are_shown_under_the_node(uniportrait, clip, base):
    graph = Graph()
    encoded = graph.add(
        "FaceIDEncode",
        uniportrait=graph.give(uniportrait),
        clip_vision=graph.give(clip),
        image=graph.give(crops(0, 1)),
        structure_scale=0.1,
    )
    graph.take(encoded)
    graph.run()
    for number, image in enumerate(graph.shown[encoded[0]]["images"]):
        shown = np.asarray(Image.open(base / "temp" / image["subfolder"] / image["filename"]))
        assert image["type"] == "temp" and np.array_equal(shown, (crops(number)[0] * 255).round().numpy())
    assert number == 1


def test_the_thumbnail_is_the_first_crop_in_small(uniportrait, clip):
    person, _ = encode(uniportrait, clip, crops(0, 1))
    halved = torch.nn.functional.avg_pool2d(crops(0).movedim(-1, 1), 2).movedim(1, -1)[0] * 255
    assert person.thumbnail.dtype == torch.uint8 and person.thumbnail.shape == (112, 112, 3)
    assert (person.thumbnail - halved).abs().max() <= 0.51


def test_a_hundred_photos_need_no_more_memory_than_eight(uniportrait, clip):
    """On the device: beside the features of the chunks before, which wait off it and are smaller than a photo."""
    waiting = 4 * (49 + 256) * 768
    highest = {}
    for count in (8, 100):
        images = crops(0).repeat(count, 1, 1, 1)
        encode(uniportrait, clip, images[:1])  # all that is kept is made
        with PeakMemory(images) as memory:
            encode(uniportrait, clip, images)
        highest[count] = memory.peak - (count - 8) * waiting
    assert waiting < 4 * 640 * 480 * 3
    assert highest[100] <= highest[8]


class PeakMemory(TorchDispatchMode):
    """Counts the bytes of the tensors that are made and still there, beside one that is given."""

    def __init__(self, given):
        super().__init__()
        self.held = self.peak = 0
        self.seen = {given.untyped_storage()._cdata}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage):
        key, size = storage._cdata, storage.nbytes()
        if key in self.seen:
            return
        self.seen.add(key)
        self.held += size
        self.peak = max(self.peak, self.held)
        weakref.finalize(storage, self._release, key, size)

    def _release(self, key, size):
        self.seen.discard(key)
        self.held -= size
