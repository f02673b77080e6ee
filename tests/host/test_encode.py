"""Encode Face ID in the host: photos and crops, progress, model management."""

import comfy.model_management
import comfy.utils
import pytest
import torch

import recipe
import small
from graph import Graph
from standins.detector import photo, write_detector


@pytest.fixture(scope="module")
def clip(pack):
    return small.clip_vision(recipe.clip_config())


def encode(uniportrait, clip, image, structure_scale=0.1, detector=None):
    graph = Graph()
    inputs = {"detector": graph.give(detector)} if detector else {}
    encoded = graph.add(
        "FaceIDEncode",
        uniportrait=graph.give(uniportrait),
        clip_vision=graph.give(clip),
        image=graph.give(image),
        structure_scale=structure_scale,
        **inputs,
    )
    graph.take(encoded, "face_id")
    graph.take([encoded[0], 1], "crops")
    result = graph.run()
    (person,) = result["face_id"]
    return person, result["crops"]


def crops(*numbers):
    return recipe.golden("encode_small")["crops"][list(numbers)].float() / 255


def test_several_photos_show_progress(uniportrait, clip, monkeypatch):
    shown = []
    monkeypatch.setattr(
        comfy.utils, "PROGRESS_BAR_HOOK", lambda value, total, *_args, **_kwargs: shown.append((value, total))
    )
    encode(uniportrait, small.clip_vision(recipe.clip_config()), crops(0, 1, 2))
    # Three photos and, once for a CLIP model, the unconditional half. Newer hosts leave out steps that come too fast.
    assert shown[0] == (1, 4) and shown[-1] == (4, 4) and shown == sorted(shown)
    encode(uniportrait, clip, crops(0), structure_scale=0.2)
    shown.clear()
    encode(uniportrait, clip, crops(0, 1, 2), structure_scale=0.2)
    assert shown[0] == (1, 3) and shown[-1] == (3, 3) and shown == sorted(shown)


def test_an_interrupted_run_stops_between_photos(uniportrait, clip, monkeypatch):
    seen = []

    def stop(value, *_args, **_kwargs):
        seen.append(value)
        raise comfy.model_management.InterruptProcessingException

    before, _ = encode(uniportrait, clip, crops(0))
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", stop)
    with pytest.raises(Exception, match="interrupted"):
        encode(uniportrait, clip, crops(0, 1, 2))
    monkeypatch.undo()
    assert seen == [1]
    assert torch.equal(encode(uniportrait, clip, crops(0))[0].cond, before.cond)


def test_the_networks_are_under_the_hosts_management(uniportrait, clip):
    first, _ = encode(uniportrait, clip, crops(0))
    loaded = [model.model for model in comfy.model_management.current_loaded_models]
    assert uniportrait.backbone in loaded and uniportrait.resampler in loaded and clip.patcher in loaded
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


def test_a_detector_does_what_aligned_crops_do(uniportrait, clip, core, tmp_path):
    write_detector(tmp_path / "det_10g.onnx")
    detector = core("insightface_detector").InsightFaceDetector(tmp_path)
    astronaut = torch.from_numpy(photo("astronaut")).float()[None] / 255
    found, seen = encode(uniportrait, clip, astronaut, detector=detector)
    assert seen.shape == (1, 224, 224, 3) and seen.min() >= 0 and seen.max() <= 1
    given, _ = encode(uniportrait, clip, seen)
    assert torch.equal(found.cond, given.cond)
    whole_photo, _ = encode(uniportrait, clip, astronaut)
    assert not torch.allclose(found.cond, whole_photo.cond, atol=1e-3)
