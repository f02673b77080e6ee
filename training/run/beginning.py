"""Routers begin where what they read is: a data-dependent initialisation (arXiv 1511.06856).

A router's two MLPs read a spot's features and a person's aggregated tokens. What tells spots and people apart is small
beside what they have in common and beside PyTorch's own random biases: units of GELU would work in one corner, all but
linear, and most layers would learn next to nothing for long. So each unit's first layer is shifted and scaled until it
has mean 0 and deviation 1 over data. The paper does not say how routers begin.
"""

from collections.abc import Callable, Iterable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model.layout import attention_layers
from ..model.network import Network

MOST_SPOTS = 256  # of a picture, in each layer
LEAST = 2  # people, without whom there is no deviation


@torch.no_grad()
def begin_routers(network: Network, looks: Iterable[Callable[[], object]]) -> None:
    """Shift and scale the first layers of θ and φ; where fewer than two people are seen nothing is changed.

    Args:
        network: whose routers have not been trained yet.
        looks: run it, on a batch each.
    """
    layers = [layer for layer in attention_layers(network.unet) if layer.cross]
    routers = [weights for weights in network.adapter.layers() if weights.router() is not None]
    spots: list[list[Tensor]] = [[] for _ in layers]
    people: list[Tensor] = []
    hooks = [
        network.unet.get_submodule(layer.name.removesuffix(".processor")).to_q.register_forward_pre_hook(
            partial(_keep, seen)
        )
        for layer, seen in zip(layers, spots, strict=True)
    ]
    try:
        for look in looks:
            look()
            people.append(network.people)
    finally:
        for hook in hooks:
            hook.remove()
    tokens = torch.cat(people).float()
    if len(tokens) < LEAST:
        return
    for weights, seen in zip(routers, spots, strict=True):
        _standardise(weights.to_q_router[0], torch.cat(seen))
        _standardise(weights.to_k_router[0], weights.aggr_router(tokens.mT).squeeze(-1))


def _keep(seen: list[Tensor], _module: nn.Module, inputs: tuple[Tensor]) -> None:
    (x,) = inputs
    seen.append(x[:, :: max(x.shape[1] // MOST_SPOTS, 1)].flatten(0, 1).float())


def _standardise(linear: nn.Linear, inputs: Tensor) -> None:
    """Give a layer's outputs mean 0 and deviation 1 over inputs, (n, channels)."""
    mean = inputs.mean(dim=0)
    spread = F.linear(inputs - mean, linear.weight).std(dim=0).clamp(min=1e-6)
    linear.weight.div_(spread[:, None])
    linear.bias.copy_(-linear.weight @ mean)
