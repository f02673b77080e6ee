"""Training the autoencoder."""

import math

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from training.data.face_cuts import sample_faces
from uniportrait_core.files.checkpoint import load_backbone

from ..data.pixels import face_weights, to_unit
from ..nets.base_model import SCALING_FACTOR, new_vae
from ..nets.norms import lean
from ..nets.vae_start import start_with_means
from ..weights import begin_with, history, save_part
from .fit import Fitted, fit
from .job import Job

DIVERGENCE = 3e-4  # weight of the latents' divergence from a normal distribution, per value
EDGES, FACES, LIKENESS = 1.0, 3.0, 0.05  # weights of edges; of what lies in faces; of what the backbone sees in them
LIKE_AFTER = 0.03  # share of the training: before, faces are not there to be seen


def train_vae(job: Job) -> None:
    """Absolute differences of colours and of edges, more in faces, and what the face backbone sees there."""
    keys = ("pixels", "boxes", "landmarks", "count")
    store = job.store("scenes", *keys)
    before = history(job.files.vae)
    vae = lean(begin_with(start_with_means(new_vae(job.preset)), job.files.vae)).to(job.device)
    backbone = load_backbone(job.files.backbone).to(job.device) if job.files.backbone.is_file() else None
    encode, decode = (torch.compile(f) if job.compiled else f for f in (vae.encoder, vae.decoder))

    def loss(share: float) -> Tensor:
        store.refresh()
        chosen = store.draw(job.budget.batch)
        pictures = to_unit(store["pixels"][chosen])
        mean, spread = vae.quant_conv(encode(pictures)).float().chunk(2, dim=1)
        spread = spread.clamp(-20, 10)
        drawn = decode(vae.post_quant_conv(mean + (spread / 2).exp() * torch.randn_like(mean))).float()
        value = difference(drawn - pictures, store["boxes"][chosen])
        value = value + DIVERGENCE * 0.5 * (mean**2 + spread.exp() - 1 - spread).mean()
        if backbone is not None and share > LIKE_AFTER:
            who = (torch.rand(len(chosen), device=job.device) * store["count"][chosen]).long()
            value = value + LIKENESS * _unlikeness(backbone, drawn, pictures, store["landmarks"][chosen, who])
        return value

    def publish(fitted: Fitted) -> None:
        quality = reconstruction(fitted.model, job)
        whole = to_host_scale(new_vae(job.preset), fitted.model, job)
        made = job.made(fitted.steps, fitted.seconds, f"{store.ready} scenes", **quality)
        save_part(whole, job.files.base / "vae", fitted.before | made)

    publish(fit(job, vae, loss, publish, before, recordable=lambda share: store.complete and share > LIKE_AFTER))


def difference(off: Tensor, boxes: Tensor) -> Tensor:
    """Of colours and of edges, more in faces.

    Args:
        off: (batch, 3, side, side).
        boxes: of faces, (batch, people, 4).
    """
    weights = face_weights(boxes, off.shape[-1], FACES)
    return (weights * off.abs()).mean() + EDGES * _edges(off, weights)


def _edges(off: Tensor, weights: Tensor) -> Tensor:
    """Differences between neighbours, in both directions, in two resolutions."""
    value = off.new_zeros(())
    for _ in range(2):
        value = value + (weights[..., 1:] * off.diff(dim=-1).abs()).mean()
        value = value + (weights[..., 1:, :] * off.diff(dim=-2).abs()).mean()
        off, weights = F.avg_pool2d(off, 2), F.avg_pool2d(weights, 2)
    return value / 2


def _unlikeness(backbone: torch.nn.Module, drawn: Tensor, pictures: Tensor, landmarks: Tensor) -> Tensor:
    """How differently the backbone sees one face of each picture."""
    size = backbone.IMAGE_SIZE
    embedding, stages = backbone(sample_faces(drawn, landmarks, size))
    with torch.no_grad():
        wanted, goals = backbone(sample_faces(pictures, landmarks, size))
    value = 1 - F.cosine_similarity(embedding.float(), wanted.float()).mean()
    for stage, goal in zip(stages[:3], goals[:3], strict=True):
        value = value + (stage.float() - goal.float()).abs().mean() / goal.float().abs().mean()
    return value


@torch.no_grad()
def reconstruction(vae: AutoencoderKL, job: Job) -> dict[str, float]:
    """Quality on scenes with people that no network was trained on."""
    store = job.store("checks", "pixels", "boxes").wait()
    squares, in_faces = [], []
    for pixels, boxes in zip(store["pixels"].split(64), store["boxes"].split(64), strict=True):
        pictures = to_unit(pixels)
        drawn = vae.decode(vae.encode(pictures).latent_dist.mean).sample.clamp(-1, 1)
        off = ((drawn - pictures) / 2) ** 2
        inside = face_weights(boxes, pictures.shape[-1], 1.0, grow=0)
        faces = (inside > inside.amin(dim=(1, 2, 3), keepdim=True)).float()
        squares.append(off.mean(dim=(1, 2, 3)))
        in_faces.append((off * faces).sum(dim=(1, 2, 3)) / (3 * faces.sum(dim=(1, 2, 3)).clamp(min=1)))
    return {
        "psnr": round(-10 * float(torch.cat(squares).log10().mean()), 2),
        "psnr_in_faces": round(-10 * float(torch.cat(in_faces).clamp(min=1e-8).log10().mean()), 2),
    }


@torch.no_grad()
def to_host_scale(whole: AutoencoderKL, trained: AutoencoderKL, job: Job) -> AutoencoderKL:
    """The trained autoencoder with latents whose mean is 0 and whose deviation is 1 once the host has scaled them.

    Both are folded into the two 1×1 convolutions around the latents.
    """
    whole = whole.to(job.device)
    whole.load_state_dict(trained.state_dict())
    store = job.store("checks", "pixels").wait()
    means = torch.cat([trained.encode(to_unit(pixels)).latent_dist.mean for pixels in store["pixels"].split(64)])
    centre, spread = means.mean(dim=(0, 2, 3)), means.std(dim=(0, 2, 3)).clamp(min=1e-4)
    factor = 1 / (spread * SCALING_FACTOR)
    into, out, channels = whole.quant_conv, whole.post_quant_conv, len(centre)
    out.bias += (out.weight[..., 0, 0] * centre).sum(dim=1)
    out.weight /= factor[None, :, None, None]
    into.bias[:channels] = (into.bias[:channels] - centre) * factor
    into.weight[:channels] *= factor[:, None, None, None]
    into.bias[channels:] += 2 * factor.log()
    assert math.isfinite(float(factor.sum()))
    return whole.eval()
