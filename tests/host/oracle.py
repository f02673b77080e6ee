"""What the host has to arrive at: the published cross-attention written out, put in place of the UNet's own.

It keeps to the equations and leaves everything else to the host: a softmax per person, a one-hot sum, the router in two
whole layers. Nothing is folded, shared between rows or hooked, and nothing of the pack but its raw weights is used.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import comfy.utils
import nodes
import torch
import torch.nn.functional as F
from comfy.model_patcher import ModelPatcher
from comfy_api.torch_helpers import set_torch_compile_wrapper
from comfy_extras import nodes_torch_compile
from torch import Tensor, nn

import small
from graph import Graph, run_node

STAGES = ("down_blocks", "up_blocks", "mid_block")
QUERY = "attn2.to_q.weight"
UNSEEN = getattr(nodes_torch_compile, "skip_torch_compile_dict", None)  # 0.3.64 looks at transformer_options as well


@contextmanager
def published(
    model: ModelPatcher,
    weights: object,
    people: Sequence,
    id_scale: float = 0.7,
    layers: Sequence[int] | None = None,
    pictures: int | None = None,
) -> Iterator[None]:
    """While it lasts, the UNet of `model` and of all its copies draws `people`; LoRAs are not its business.

    Args:
        model: any model on the UNet.
        weights: what Load UniPortrait or Encode Pictures gives.
        people: without masks and weights.
        id_scale: strength of ID attention.
        layers: numbers of the layers that draw people, if it is not all of them.
        pictures: sampled together, if the first of them is a style picture, which shows nobody.
    """
    half = _Half(small.prompts(small.context_of(model))["negative"][0][0])
    modules = attn2_modules(model)
    taken = modules if layers is None else [modules[index] for index in layers]
    routers = weights.router.layers if len(people) > 1 else [None] * len(modules)
    halves = [torch.stack([person.cond for person in people]), torch.stack([person.uncond for person in people])]
    words = [person.words for person in people]
    for attn, layer, router in zip(modules, weights.layers, routers, strict=True):
        if attn in taken:
            attn.forward = partial(_forward, attn, layer, router, halves, id_scale, half, pictures, words)
    hook = model.model.diffusion_model.register_forward_pre_hook(half.look, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
        for attn in taken:
            del attn.forward


@contextmanager
def sharing(model: ModelPatcher, pictures: int, shift: float = -0.5) -> Iterator[None]:
    """While it lasts, every picture of the UNet also sees the first one's keys and values in self-attention."""
    modules = [attn1 for attn1, _ in attentions(model)]
    for attn in modules:
        attn.forward = partial(_shared_forward, attn, pictures, shift)
    try:
        yield
    finally:
        for attn in modules:
            del attn.forward


def both_ways(model: ModelPatcher, weights: object, people: Sequence, **inputs: object) -> tuple[Tensor, Tensor]:
    """A picture of `people` as the pack draws it, and as it has to be."""
    lora_only = small.apply(model, weights, people, id_scale=0.0)
    with published(model, weights, people):
        wanted = ksample(lora_only, **inputs)
    return ksample(small.apply(model, weights, people), **inputs), wanted


def attn2_modules(model: ModelPatcher) -> list[nn.Module]:
    """The cross-attentions in the published order: down blocks, up blocks, middle block."""
    return [attn2 for _, attn2 in attentions(model)]


def attentions(model: ModelPatcher) -> list[tuple[nn.Module, nn.Module]]:
    """Self- and cross-attention of every transformer block in the published order, by their names in diffusers."""
    names = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
    paths = {key.removesuffix(QUERY): path for key, path in names.items() if key.endswith(QUERY)}
    unet, ordered = model.model.diffusion_model, sorted(paths, key=_place)
    blocks = [unet.get_submodule(paths[name].removesuffix(QUERY).removesuffix(".")) for name in ordered]
    return [(block.attn1, block.attn2) for block in blocks]


def _place(name: str) -> tuple[int, list[int]]:
    stage = STAGES.index(name.split(".")[0])
    return stage, [int(part) for part in name.split(".") if part.isdigit()]


def ksample(model: ModelPatcher, **changes: object) -> Tensor:
    """A latent from the host's KSampler with any of its inputs changed.

    A network of random weights is no denoiser: rounding grows with every step and with cfg, which are small here.
    """
    prompts = small.prompts(small.context_of(model))
    inputs = {"cfg": 2.0, "steps": 2, "latent_image": blank(), **small.SAMPLER, **prompts, **changes}
    return run_node("KSampler", model=model, **inputs)["samples"]


def blank(batch: int = 1, height: int = 16, width: int = 8) -> dict[str, Tensor]:
    """An empty latent."""
    return {"samples": torch.zeros(batch, 4, height, width)}


def inpainting_unet(unet: ModelPatcher, further: Tensor) -> ModelPatcher:
    """The narrow UNet with nine input channels, of which the first four are the latent."""
    tensors = {key: tensor.clone() for key, tensor in unet.model.diffusion_model.state_dict().items()}
    tensors["input_blocks.0.0.weight"] = torch.cat([tensors["input_blocks.0.0.weight"], further], dim=1)
    return small.load_unet(tensors)


def in_context_windows(model):
    """The host's node with its defaults, windows of two with one in common along the batch."""
    inputs = nodes.NODE_CLASS_MAPPINGS["ContextWindowsManual"].INPUT_TYPES()["required"]
    settings = {name: options["default"] for name, (_, options) in inputs.items() if "default" in options}
    settings |= {"context_schedule": "standard_static", "fuse_method": "pyramid", "context_length": 2}
    return run_node("ContextWindowsManual", model=model, **settings | {"context_overlap": 1, "dim": 0})


def record(model: ModelPatcher) -> tuple[ModelPatcher, object]:
    """The model with a record, and the record."""
    graph = Graph()
    node = graph.add("UniPortraitRecordRouting", model=graph.give(model))
    graph.take(node, "model")
    graph.take([node[0], 1], "routing")
    taken = graph.run()
    return taken["model"], taken["routing"]


def compiled(model: ModelPatcher) -> ModelPatcher:
    """What TorchCompileModel makes of a model."""
    model = model.clone()
    set_torch_compile_wrapper(model, backend="eager", options=UNSEEN and {"guard_filter_fn": UNSEEN})
    return model


def differ(a: Tensor, b: Tensor) -> bool:
    """Whether two latents are visibly two."""
    return not torch.allclose(a, b, atol=1e-3)


class _Half:
    """Which rows are unconditional: those whose text is the negative prompt."""

    def __init__(self, negative: Tensor):
        self.negative, self.rows = negative, []

    def look(self, _unet: nn.Module, _args: tuple, call: dict) -> None:
        self.rows = self.of(call["context"])

    def of(self, context: Tensor) -> list[int]:
        return [int(torch.equal(text, self.negative[0].to(text))) for text in context]


def _forward(attn, layer, router, halves, id_scale, half, pictures, words, x, context=None, value=None, mask=None, **_):
    query, keys, values = attn.to_q(x), attn.to_k(context), attn.to_v(context if value is None else value)
    out = _attention(query, keys, values, attn.heads)
    # The rows of the call, or those that a pack has made of them, each with a text of its own.
    for row, kind in enumerate(half.rows if len(half.rows) == len(x) else half.of(context)):
        if pictures and row % pictures == 0:  # a part's copies follow one another part by part
            continue
        tokens = halves[kind]
        chosen = _one_hot(x[row], router, tokens)
        for n, person in enumerate(tokens):
            key, value = F.linear(person, layer.to_k).to(query), F.linear(person, layer.to_v).to(query)
            out[row] += id_scale * chosen[:, n, None] * _attention(query[row], key, value, attn.heads)
            if words[n] and not kind:  # in place of the attention to the scene's words, to both
                tokens_said = words[n].tokens.to(query)
                joined = (
                    torch.cat((keys[row], attn.to_k(tokens_said))),
                    torch.cat((values[row], attn.to_v(tokens_said))),
                )
                more = _attention(query[row], *joined, attn.heads)
                more -= _attention(query[row], keys[row], values[row], attn.heads)
                out[row] += words[n].strength * chosen[:, n, None] * more
    return attn.to_out(out)


def _shared_forward(attn, pictures, shift, x, context=None, value=None, mask=None, **_):
    queries, keys, values = attn.to_q(x), attn.to_k(x), attn.to_v(x)
    out = torch.empty_like(queries)
    for row in range(len(x)):
        first = row - row % pictures
        key, value = (torch.cat((t[row], t[first])) for t in (keys, values))
        added = torch.cat((torch.zeros(x.shape[1]), torch.full((x.shape[1],), shift))).to(x)
        out[row] = _attention(queries[row], key, value, attn.heads, added)
    return attn.to_out(out)


def _one_hot(x: Tensor, router: object | None, tokens: Tensor) -> Tensor:
    """Who is drawn where, (spots, people): the largest θ(x)·φ_n."""
    if router is None:
        return torch.ones(len(x), 1, dtype=x.dtype)
    theta = F.linear(F.gelu(F.linear(x.float(), *router.query_in)), router.query_out)
    aggregated = F.linear(tokens.transpose(1, 2), *router.aggregate)[..., 0]
    phi = F.linear(F.gelu(F.linear(aggregated, *router.key_in)), router.key_out)
    return F.one_hot((theta @ phi.T).argmax(dim=-1), len(tokens)).to(x)


def _attention(query: Tensor, key: Tensor, value: Tensor, heads: int, added: Tensor | float = 0.0) -> Tensor:
    query, key, value = (t.unflatten(-1, (heads, -1)).transpose(-3, -2) for t in (query, key, value))
    weights = (query @ key.mT * query.shape[-1] ** -0.5 + added).softmax(dim=-1)
    return (weights @ value).transpose(-3, -2).flatten(-2)
