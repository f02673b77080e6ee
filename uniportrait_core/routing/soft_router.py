"""The router as it is trained: differentiable, with Gumbel noise and a loss on face boxes (paper section 3.3).

It routes several pictures at a time, each with people of its own. At sampling the same choice is made by `router.py`,
with all that depends on people alone made beforehand.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .router import RouterLayer, person_keys

FINER = 4  # masks are cut out on a grid so much finer than the latent's, before they are averaged


def router_logits(layer: RouterLayer, x: Tensor, tokens: Tensor, present: Tensor) -> Tensor:
    """`θ(x)·φ_n` of every spot and person, and −∞ for people that are not there.

    θ's second matrix is applied to the people, of whom there are fewer than spots; gradients reach all matrices.

    Args:
        layer: the router of one cross-attention layer.
        x: the layer's normed input, (pictures, spots, channels).
        tokens: (pictures, people, tokens, dim).
        present: which of the people a picture has, (pictures, people), bool.

    Returns:
        (pictures, people, spots).
    """
    theta_in = F.gelu(F.linear(x, *layer.query_in))
    logits = (person_keys(layer, tokens) @ layer.query_out) @ theta_in.mT
    return logits.masked_fill(~present[..., None], -torch.inf)


def with_strangers(tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Everybody of all pictures as a candidate in each, a picture's own people first: more to tell people apart from.

    Args:
        tokens: (pictures, people, …).
        present: which of the people a picture has, (pictures, people), bool.

    Returns:
        The same with pictures · people candidates in each picture.
    """
    pictures, people = present.shape
    everybody = torch.arange(pictures * people, device=present.device)
    order = (everybody + people * torch.arange(pictures, device=present.device)[:, None]) % len(everybody)
    return tokens.flatten(0, 1)[order], present.flatten()[order]


def gumbel(uniform: Tensor) -> Tensor:
    """Gumbel noise from uniform noise, 0..1."""
    return -torch.log(-torch.log(uniform.clamp(1e-6, 1 - 1e-6)))


def soft_choice(logits: Tensor, noise: Tensor | None, temperature: float) -> Tensor:
    """Shares of every spot, `softmax((logits + noise) / temperature)` (equation 3), (pictures, people, spots)."""
    return ((logits if noise is None else logits + noise) / temperature).softmax(dim=1)


def straight_through(shares: Tensor) -> Tensor:
    """The winner of every spot, one-hot, with the gradient of the shares that it won by (Jang, arXiv 1611.01144).

    Args:
        shares: (pictures, people, spots).
    """
    winner = torch.zeros_like(shares).scatter_(1, shares.argmax(dim=1, keepdim=True), 1)
    return winner + (shares - shares.detach())


def face_masks(boxes: Tensor, in_picture: Tensor, latent: tuple[int, int]) -> Tensor:
    """Whose face covers which spot; where boxes overlap, the spot belongs to the nearer centre.

    Args:
        boxes: left, top, right, bottom as shares of width and height, (pictures, people, 4).
        in_picture: whose box counts, (pictures, people), bool.
        latent: height and width of the latent.

    Returns:
        0 or 1, on a grid finer than the latent's, (pictures, people, FINER · height, FINER · width).
    """
    y, x = _finer(latent, boxes)
    left, top, right, bottom = boxes[..., None, None].unbind(dim=2)
    inside = (x >= left) & (x < right) & (y >= top) & (y < bottom) & in_picture[..., None, None]
    return _nearest(boxes, inside, latent) * inside


def nearest_faces(boxes: Tensor, in_picture: Tensor, latent: tuple[int, int]) -> Tensor:
    """Whose face is nearest to which spot, by the boxes' centres; as `face_masks`, and 0 where nobody has a face."""
    return _nearest(boxes, in_picture[..., None, None], latent) * in_picture[..., None, None]


def _nearest(boxes: Tensor, candidates: Tensor, latent: tuple[int, int]) -> Tensor:
    """Of the candidates of each spot the one whose centre is nearest, one-hot."""
    y, x = _finer(latent, boxes)
    left, top, right, bottom = boxes[..., None, None].unbind(dim=2)
    # Distances in pixels, as a picture need not be square.
    (height, width), across, down = (FINER * side for side in latent), x - (left + right) / 2, y - (top + bottom) / 2
    distance = (across * width) ** 2 + (down * height) ** 2
    nearest = distance.masked_fill(~candidates, torch.inf).argmin(dim=1, keepdim=True)
    return torch.zeros_like(distance).scatter_(1, nearest, 1)


def _finer(latent: tuple[int, int], boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Middles of the finer grid's spots as shares of height and width, (height, 1) and (width,)."""
    height, width = (FINER * side for side in latent)
    y, x = ((torch.arange(side, device=boxes.device) + 0.5) / side for side in (height, width))
    return y[:, None], x


def mask_of_layer(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks at a layer's size, averaged over area, (pictures, people, spots), 0..1."""
    return F.interpolate(masks, size=size, mode="area").flatten(2)


def routing_loss(logits: Tensor, masks: Tensor, present: Tensor) -> Tensor:
    """Equation 4 for one layer: `(1/N)·‖W ⊙ (ψ − M)‖²`, the mean over the spots in W.

    ψ is the softmax without noise, M says whose face a spot is, W where faces are. A spot that faces cover in part
    counts in part, and M is then each person's share of what is covered. Where nobody has a face the loss is 0.

    Args:
        logits: (pictures, people, spots), −∞ for people that are not there.
        masks: (pictures, people, spots), 0..1, their sum over people at most 1.
        present: which of the people a picture has, (pictures, people), bool.

    Returns:
        (pictures,).
    """
    union = masks.sum(dim=1)
    target = masks / union.clamp(min=1e-6)[:, None]
    squares = (logits.softmax(dim=1) - target).square().sum(dim=1)
    return (union * squares).sum(dim=1) / union.sum(dim=1).clamp(min=1e-6) / present.sum(dim=1)


def routed_right(logits: Tensor, masks: Tensor) -> Tensor:
    """The share of spots, most of which is face, that go to the person whose face it is, (pictures,), 0..1.

    Args:
        logits, masks: as for `routing_loss`; NaN where no spot is face.
    """
    face = masks.sum(dim=1) > 0.5
    right = (logits.argmax(dim=1) == masks.argmax(dim=1)) & face
    return right.sum(dim=1) / face.sum(dim=1)
