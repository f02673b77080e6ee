"""Training's forward pass against the core at sampling, with the weights that were exported."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tiny
from training.config import Config
from training.model.build import TRAINED, build
from training.model.layout import attention_layers, kind_of, load_unet
from training.model.network import FaceInputs, Network, Routing
from training.run.export import export
from uniportrait_core.attention.projection import prepare
from uniportrait_core.embedding.identity import Identity
from uniportrait_core.files.checkpoint import load_faceid, load_router

WIDTHS = (24, 68)  # of intrinsic and structure features
FACES = {"intrinsic": 49, "structure": 256}


@pytest.fixture(scope="module", params=("sd15", "sdxl"))
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def base(kind, tmp_path_factory) -> Path:
    return tiny.base_folder(tmp_path_factory.mktemp(kind) / "base", kind)


def settings(base: Path, folder: Path, **run: object) -> Config:
    return Config.model_validate(
        {
            "base": {"model": base, "clip_vision": base, "face_backbone": base},
            "data": {"shards": [str(folder)]},
            "resampler": {"tokens": 4, "dim": 64, "depth": 2},
            "run": {"output": folder, "steps": 1, "batch": 1, "lora_rank": 4, **run},
        }
    )


def trained(network: Network, seed: int) -> dict[str, Tensor]:
    """What is trained, moved away from where it began, so that every part counts."""
    generator = torch.Generator().manual_seed(seed)
    found = {name: value for name, value in network.named_parameters() if value.requires_grad}
    with torch.no_grad():
        for value in found.values():
            value.add_(0.1 * torch.randn(value.shape, generator=generator))
    return found


@pytest.fixture(scope="module")
def networks(base, tmp_path_factory) -> dict[int, tuple[Network, Path]]:
    """By the number of people: the network of stage I or II, and the folder of what both exported."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    one = build(settings(base, folder), "single", WIDTHS)
    faceid = export(trained(one, 1), settings(base, folder), "single", kind_of(one.unet), 1, folder)
    several = build(settings(base, folder, stage_one=faceid), "multi", WIDTHS)
    export(trained(several, 2), settings(base, folder), "multi", kind_of(several.unet), 1, folder)
    return {1: (one, folder), 3: (several, folder)}


def inputs(network: Network, people: int, pictures: int = 2) -> tuple:
    """Noised latents, noise levels, text, SDXL's further conditions, and faces."""
    generator = torch.Generator().manual_seed(people)
    unet = network.unet.config

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    added = None
    if unet.addition_embed_type:
        pooled = unet.projection_class_embeddings_input_dim - 6 * unet.addition_time_embed_dim
        added = {"text_embeds": noise(pictures, pooled), "time_ids": 64 * torch.ones(pictures, 6)}
    faces = FaceInputs(
        torch.ones(pictures, people, dtype=torch.bool),
        *(noise(pictures, people, count, width) for count, width in zip(FACES.values(), WIDTHS, strict=True)),
        torch.tensor([[0.3] * people, [1.0] * people]),
        torch.ones(pictures, people, FACES["structure"]),
    )
    text = noise(pictures, 77, unet.cross_attention_dim)
    return noise(pictures, 4, 8, 16), torch.tensor([3, 700]), text, added, faces


@contextmanager
def as_sampled(network: Network, folder: Path, face_ids: list[tuple[Identity, ...]]) -> Iterator[nn.Module]:
    """The bare UNet with ID attention, routers and LoRA as the core has them at sampling."""
    several = len(face_ids[0]) > 1
    faceid = load_faceid(folder / "uniportrait-faceid.safetensors")
    router = load_router(folder / "uniportrait-router.safetensors") if several else None
    unet, before = network.unet, network.unet.attn_processors
    crossing, processors = iter(range(len(faceid.layers))), {}
    for layer, pairs in zip(attention_layers(unet), (router or faceid).lora, strict=True):
        attention = None
        if layer.cross:
            number = next(crossing)
            heads = unet.get_submodule(layer.name.removesuffix(".processor")).heads
            own = router.layers[number] if several else None
            attention = [prepare(faceid.layers[number], own, people, 1.0, heads) for people in face_ids]
        processors[layer.name] = _Sampled(pairs, attention)
    unet.set_attn_processor(processors)
    try:
        yield unet
    finally:
        unet.set_attn_processor(before)


class _Sampled:
    def __init__(self, pairs, attention):
        self.pairs, self.attention = pairs, attention

    def __call__(self, attn, x, encoder_hidden_states=None, *_, **__):
        context = x if encoder_hidden_states is None else encoder_hidden_states

        def project(name, linear, given):
            weight = linear.weight + self.pairs[name].up @ self.pairs[name].down  # merged, as the host does
            return F.linear(given, weight, linear.bias)

        query = project("q", attn.to_q, x)
        key, value = (project(name, getattr(attn, f"to_{name}"), context) for name in "kv")
        heads = lambda t: t.unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # noqa: E731
        hidden = F.scaled_dot_product_attention(heads(query), heads(key), heads(value)).transpose(1, 2).flatten(2)
        if self.attention:
            rows = range(len(x))
            hidden = torch.cat(
                [self.attention[i](hidden[i : i + 1], x[i : i + 1], query[i : i + 1], [0]) for i in rows]
            )
        return project("out", attn.to_out[0], hidden)


@pytest.mark.parametrize("people", (1, 3))
def test_training_predicts_what_is_sampled(networks, people):
    network, folder = networks[people]
    noised, timesteps, text, added, faces = inputs(network, people)
    with torch.no_grad():
        found, logits = network(noised, timesteps, text, added, faces, Routing("straight-through"))
        tokens = network.tokens(faces)
        assert len(logits) == (0 if people == 1 else sum(layer.cross for layer in attention_layers(network.unet)))
        face_ids = [tuple(Identity(cond, torch.zeros_like(cond)) for cond in picture) for picture in tokens]
        with as_sampled(network, folder, face_ids) as unet:
            wanted = unet(noised, timesteps, encoder_hidden_states=text, added_cond_kwargs=added).sample
        bare = load_unet_like(network)(noised, timesteps, encoder_hidden_states=text, added_cond_kwargs=added).sample
    assert (found - wanted).norm() / wanted.norm() <= 1e-5
    assert (found - bare).norm() / bare.norm() > 1e-2  # what was added counts


def load_unet_like(network: Network) -> nn.Module:
    """The UNet of the base model with diffusers' own attention."""
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_config(network.unet.config)
    unet.load_state_dict(network.unet.state_dict())
    return unet.eval()


def test_the_exported_tokens_are_those_of_training(networks):
    network, folder = networks[1]
    *_, faces = inputs(network, 1)
    resampler = load_faceid(folder / "uniportrait-faceid.safetensors").resampler
    with torch.no_grad():
        for picture, scale in enumerate(faces.scale[:, 0].tolist()):
            features = resampler.project(faces.intrinsic[picture], faces.structure[picture])
            wanted = resampler([features], scale)
            torch.testing.assert_close(network.tokens(faces)[picture], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("people", (1, 3))
def test_only_what_is_trained_moves_and_all_of_it(networks, people, base):
    stage = {1: "single", 3: "multi"}[people]
    network, _ = networks[people]
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    noised, timesteps, text, added, faces = inputs(network, people)
    optimizer = torch.optim.AdamW([value for value in network.parameters() if value.requires_grad], lr=1e-3)
    predicted, logits = network(noised, timesteps, text, added, faces, Routing("straight-through"))
    (predicted.square().mean() + sum(layer.softmax(dim=1)[:, 0].mean() for layer in logits)).backward()
    frozen = [name for name, value in network.named_parameters() if value.grad is None]
    optimizer.step()
    moved = {name for name, value in network.named_parameters() if not torch.equal(value, before[name])}
    assert moved == set(before) - set(frozen)
    markers = {"single": ("resampler.", "_faceid.", "_lora."), "multi": ("_lora.", "_router.")}[stage]
    assert len(TRAINED[stage]) == len(markers)
    wanted = {name for name in before if not name.startswith("unet.") and any(marker in name for marker in markers)}
    assert moved == wanted
    assert all(torch.equal(value, buffers[name]) for name, value in network.named_buffers())
    for name, value in network.named_parameters():  # as it was, for other tests
        value.data.copy_(before[name])
        value.grad = None


@pytest.mark.parametrize("choice", ("straight-through", "soft", "none"))
def test_gradient_checkpointing_changes_nothing(base, tmp_path, networks, choice):
    """Layers are computed again with the same noise, and the routing loss keeps its gradient."""
    _, folder = networks[3]
    gradients = []
    for again in (False, True):
        stage_one = folder / "uniportrait-faceid.safetensors"
        torch.manual_seed(1)
        config = settings(base, tmp_path, stage_one=stage_one, gradient_checkpointing=again)
        network = build(config, "multi", WIDTHS)
        trained(network, 3)
        noised, timesteps, text, added, faces = inputs(network, 3)
        uniform = lambda layer, people, spots: torch.rand(  # noqa: E731
            2, people, spots, generator=torch.Generator().manual_seed(layer)
        )
        predicted, logits = network(noised, timesteps, text, added, faces, Routing(choice, 1.0, uniform))
        (predicted.square().mean() + sum(layer.softmax(dim=1)[:, 0].mean() for layer in logits)).backward()
        gradients.append([value.grad for value in network.parameters() if value.requires_grad])
    for once, twice in zip(*gradients, strict=True):
        assert (once is None) == (twice is None) == (choice == "none" and once is None)
        if once is not None:
            torch.testing.assert_close(once, twice)


@pytest.mark.parametrize("people", (1, 3))
def test_weights_that_were_exported_are_where_a_training_goes_on(base, networks, people):
    before, folder = networks[people]
    faceid, router = (folder / f"uniportrait-{name}.safetensors" for name in ("faceid", "router"))
    starts = {"start_from": faceid} if people == 1 else {"stage_one": faceid, "start_from": router}
    after = build(settings(base, folder, **starts), "single" if people == 1 else "multi", WIDTHS)
    own, wanted = dict(after.named_parameters()), dict(before.named_parameters())
    assert own.keys() == wanted.keys()
    assert all(torch.equal(value, wanted[name]) for name, value in own.items())
    assert {n for n, p in own.items() if p.requires_grad} == {n for n, p in wanted.items() if p.requires_grad}


def test_routers_of_other_sizes(base, networks, tmp_path):
    """Of another rank than the LoRA of stage I."""
    from uniportrait_core.errors import UniPortraitError

    _, folder = networks[3]
    faceid, router = (folder / f"uniportrait-{name}.safetensors" for name in ("faceid", "router"))
    other = build(settings(base, tmp_path, lora_rank=2), "single", WIDTHS)
    smaller = export(trained(other, 1), settings(base, tmp_path), "single", kind_of(other.unet), 1, tmp_path)
    with pytest.raises(UniPortraitError, match=r"router\.safetensors has .* rank 4; needed .* rank 2\. Give"):
        build(settings(base, folder, stage_one=smaller, start_from=router), "multi", WIDTHS)
    assert build(settings(base, folder, stage_one=faceid, start_from=router), "multi", WIDTHS)


def test_a_base_model_of_another_kind(base, kind, networks, tmp_path):
    from uniportrait_core.errors import UniPortraitError

    other = tiny.base_folder(tmp_path / "other", "sdxl" if kind == "sd15" else "sd15")
    assert load_unet(other)
    stage_one = networks[1][1] / "uniportrait-faceid.safetensors"
    with pytest.raises(UniPortraitError, match=r"uniportrait-faceid\.safetensors has \d+ layers .* base model .* base"):
        build(settings(other, tmp_path, stage_one=stage_one), "multi", WIDTHS)
