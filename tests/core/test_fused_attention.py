"""The kernel of Triton, run by Triton's interpreter on the CPU, against PyTorch's own kernels."""

import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from test_attention import (
    CHANNELS,
    CPU,
    attend,
    id_layer,
    people,
    prepared,
    reference,
    router_layer,
    with_masks,
    with_weights,
)

import recipe
from uniportrait_core.attention import fused
from uniportrait_core.attention.id_attention import COND, UNCOND, IDAttention
from uniportrait_core.attention.projection import prepare

pytest.importorskip("triton")
KERNEL = "uniportrait_core.attention.fused_kernel"
BOTH = [UNCOND, COND]


@pytest.fixture(autouse=True)
def asked_for(monkeypatch):
    """And not imported yet, so that it shows whether it was used."""
    monkeypatch.setenv(fused.SETTING, "1")
    monkeypatch.delitem(sys.modules, KERNEL, raising=False)
    yield
    sys.modules.pop(KERNEL, None)


def inputs(rows, spots, channels=CHANNELS, dtype=torch.float32):
    return tuple(recipe.noise(f"fused {name}", (rows, spots, channels)).to(dtype) for name in ("hidden", "x", "query"))


def both_ways(monkeypatch, layer: IDAttention, given, kinds, shares=None):
    """What the kernel gives, and what PyTorch's give."""
    ours = layer(*given, kinds, shares)
    assert KERNEL in sys.modules
    with monkeypatch.context() as patch:
        patch.setenv(fused.SETTING, "0")
        return ours, layer(*given, kinds, shares)


@pytest.mark.parametrize("shared_uncond", [False, True], ids=["own uncond", "shared uncond"])
@pytest.mark.parametrize("kinds", [BOTH, [COND, UNCOND], [COND], [UNCOND], [COND, COND, UNCOND]], ids=str)
@pytest.mark.parametrize("count", [1, 2, 4])
def test_equals_separate_attentions_and_a_one_hot_sum(count, kinds, shared_uncond):
    face_id, rows = people(count, shared_uncond), 2 * len(kinds)
    assert recipe.relative_error(attend(face_id, rows, kinds), reference(face_id, rows, kinds, 0.7)) <= 1e-5


@pytest.mark.parametrize("count", range(1, 9))
@pytest.mark.parametrize("spots", [1, 65])
def test_any_number_of_people_and_spots(monkeypatch, count, spots):
    layer = prepared(people(count, shared_uncond=True))
    ours, wanted = both_ways(monkeypatch, layer, inputs(2, spots), BOTH)
    assert recipe.relative_error(ours, wanted) <= 1e-5


@pytest.mark.parametrize(("channels", "heads", "tokens"), [(320, 8, 16), (192, 4, 16), (96, 1, 21), (24, 8, 3)])
def test_any_width_of_heads(monkeypatch, channels, heads, tokens):
    """Heads of 40, 48, 96 and 3 channels, which no matrix product of a GPU has."""
    layer, router, face_id = sized(channels, tokens)
    ours, wanted = both_ways(monkeypatch, prepare(layer, router, face_id, 0.7, heads), inputs(2, 70, channels), BOTH)
    assert recipe.relative_error(ours, wanted) <= 1e-5


def sized(channels, tokens, dim=24):
    face_id = tuple(
        replace(person, cond=recipe.noise(f"cond {i}", (tokens, dim)), uncond=recipe.noise("uncond", (tokens, dim)))
        for i, person in enumerate(people(3))
    )
    layer = replace(id_layer(), **{k: recipe.weight("fused", k, (channels, dim)) for k in ("to_k", "to_v")})
    return layer, router_layer("fused", channels, dim, tokens), face_id


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 1e-3), (torch.bfloat16, 1e-2)], ids=str)
@pytest.mark.parametrize("count", [1, 3])
def test_half_precision(monkeypatch, dtype, tolerance, count):
    """Against the same rounded numbers computed in float32, in all spots that both give to the same person."""
    layer = prepared(people(count, shared_uncond=True)).to(CPU, dtype)
    given = inputs(4, 130, dtype=dtype)
    ours = layer(*given, BOTH)
    with monkeypatch.context() as patch:
        patch.setenv(fused.SETTING, "0")
        exact = layer.to(CPU, torch.float32)(*(t.float() for t in given), BOTH)
    assert ours.dtype == dtype
    errors = (ours.float() - exact).abs().amax(dim=-1) / exact.abs().max()
    assert (errors <= tolerance).float().mean() >= 0.99


@pytest.mark.parametrize("shared_uncond", [False, True], ids=["own uncond", "shared uncond"])
@pytest.mark.parametrize("masked", [(0,), (1, 3), (0, 1, 2, 3)], ids=str)
@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (0.5, 1.5, 1, 0)], ids=str)
def test_masks_and_weights(masked, weights, shared_uncond):
    face_id, shares = with_masks(with_weights(people(4, shared_uncond), *weights), masked)
    wanted = reference(face_id, 2, BOTH, 0.7, shares)
    assert recipe.relative_error(attend(face_id, 2, BOTH, shares=shares), wanted) <= 1e-5


def test_rows_with_shares_of_their_own(monkeypatch):
    face_id, shares = with_masks(people(3), (0, 2))
    own = torch.cat([shares, shares.roll(7, dims=-1)], dim=1).repeat(1, 2, 1)
    given = inputs(4, shares.shape[-1])
    ours, wanted = both_ways(monkeypatch, prepared(face_id), given, BOTH, own)
    assert recipe.relative_error(ours, wanted) <= 1e-5


def test_who_has_each_spot_is_told(monkeypatch):
    layer, given, heard = prepared(people(3, shared_uncond=True)), inputs(4, 70), []
    for setting in ("1", "0"):
        monkeypatch.setenv(fused.SETTING, setting)
        layer(*given, BOTH, record=lambda winners, first: heard.append((winners, first)))
    (ours, first), (wanted, _) = heard
    assert first == 2 and ours.shape == (2, 70) and torch.equal(ours, wanted)
    assert F.one_hot(ours).sum(dim=(0, 1)).min() > 0


def test_given_tensors_stay_as_they_are_and_may_be_views():
    layer = prepared(people(2, shared_uncond=True))
    wide = [recipe.noise(f"wide {i}", (2, 70, 2 * CHANNELS)) for i in range(3)]
    views, copies = [t[..., ::2] for t in wide], [t[..., ::2].clone() for t in wide]
    assert torch.equal(layer(*views, BOTH), layer(*copies, BOTH))
    assert all(torch.equal(view, copy) for view, copy in zip(views, copies, strict=True))


def test_where_gradients_are_asked_for_pytorch_computes():
    given = [t.requires_grad_() for t in inputs(2, 5)]
    prepared(people(2, shared_uncond=True))(*given, BOTH).sum().backward()
    assert given[2].grad.abs().max() > 0 and KERNEL not in sys.modules
    with torch.no_grad():
        prepared(people(2, shared_uncond=True))(*given, BOTH)
    assert KERNEL in sys.modules


@pytest.mark.parametrize(("setting", "interpreter"), [("0", "1"), ("", "1"), ("1", "0"), ("1", "")])
def test_a_cpu_has_it_only_where_asked_for(monkeypatch, setting, interpreter):
    monkeypatch.setenv(fused.SETTING, setting)
    monkeypatch.setenv(fused.INTERPRETER, interpreter)
    assert not fused.wanted(*inputs(2, 5))


@pytest.mark.parametrize(
    ("setting", "known", "has"), [("", True, True), ("", False, False), ("1", False, True), ("0", True, False)]
)
def test_a_gpu_has_it_where_it_was_measured_faster(monkeypatch, setting, known, has):
    monkeypatch.setenv(fused.SETTING, setting)
    monkeypatch.setattr(fused, "_capability", lambda _device: (9, 0))
    monkeypatch.setattr(fused, "FASTER_ON", frozenset({(9, 0)} if known else ()))
    on_gpu = torch.empty(0, device="meta")
    monkeypatch.setattr(fused, "_is_gpu", lambda device: device.type == "meta")
    assert fused.wanted(on_gpu) == has
    monkeypatch.setattr(fused, "_has_triton", lambda: False)
    assert not fused.wanted(on_gpu)


def test_without_triton_nothing_is_imported(monkeypatch):
    monkeypatch.setattr(fused, "_has_triton", lambda: False)
    prepared(people(1))(*inputs(2, 5), BOTH)
    assert KERNEL not in sys.modules


def test_torch_compile_sees_pytorchs_kernels():
    layer, given = prepared(people(2, shared_uncond=True)), inputs(2, 9)
    wanted = layer(*given, BOTH)
    sys.modules.pop(KERNEL)
    compiled = torch.compile(lambda *tensors: layer(*tensors, BOTH), backend="eager", fullgraph=True)
    assert recipe.relative_error(compiled(*given), wanted) <= 1e-5
    assert KERNEL not in sys.modules
