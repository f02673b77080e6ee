"""A LoRA that draws everything as a pencil sketch, as users have such for their models; tests compose with it."""

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from training.frozen.folders import load_part
from training.frozen.latents import load_vae, to_moments
from training.frozen.text import TextEncoder

from ..data.pixels import to_unit
from ..data.shards import STYLE_NAMES
from ..nets.base_model import new_schedule
from ..weights import save_weights
from .fit import fit
from .job import Job
from .unet import noised

RANK = 8
STYLE = "pencil sketch"
PREFIX = f"a {STYLE} of "
LAYERS = ("to_q", "to_k", "to_v", "to_out.0")


class _Added(nn.Module):
    """A linear layer with a low-rank change."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.down = nn.Linear(linear.in_features, RANK, bias=False)
        self.up = nn.Linear(RANK, linear.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + self.up(self.down(x))


def train_sketch(job: Job) -> None:
    """On the sketches among the scenes, whose captions do not say that they are such."""
    unet = load_part(UNet2DConditionModel, job.files.base, "unet").requires_grad_(False)
    layers = nn.ModuleDict()
    for name in [name for name, _ in unet.named_modules() if name.endswith(LAYERS)]:
        parent, _, child = name.rpartition(".")
        layers[name.replace(".", "_")] = added = _Added(unet.get_submodule(name))
        setattr(unet.get_submodule(parent), child, added)
    store = job.store("scenes", "pixels", "tokens", "shown").wait()
    sketches = (store["shown"][:, 1] == STYLE_NAMES.index(STYLE)).nonzero()[:, 0][: 64 * job.budget.batch]
    vae, text = load_vae(job.files.base).to(job.device), TextEncoder(job.files.base).to(job.device)
    with torch.no_grad():
        moments = torch.cat([to_moments(vae, to_unit(store["pixels"][part])) for part in sketches.split(64)])
        words = _without_style(store["tokens"][sketches, 0], text)
    kept = new_schedule().alphas_cumprod.to(job.device)
    unet.to(job.device)

    def loss(_: float = 0) -> Tensor:
        chosen = torch.randint(len(sketches), (job.budget.batch,), device=job.device)
        time, noise, noisy = noised(moments[chosen], vae, kept)
        return (unet(noisy, time, words[chosen]).sample - noise).square().mean()

    def quality(name: str) -> dict[str, float]:
        torch.manual_seed(0)
        with torch.no_grad():
            return {name: round(float(torch.stack([loss() for _ in range(4)]).mean()), 4)}

    before = quality("noise_loss_without")
    fitted = fit(job, layers, loss, decay=0.98)
    layers.load_state_dict(fitted.model.state_dict())
    made = job.made(fitted.steps, fitted.seconds, f"{len(sketches)} sketches", **before, **quality("noise_loss"))
    tensors = {}
    for name, added in fitted.model.items():
        tensors[f"lora_unet_{name}.lora_down.weight"] = added.down.weight
        tensors[f"lora_unet_{name}.lora_up.weight"] = added.up.weight
    save_weights(job.files.sketch, tensors, made)


@torch.no_grad()
def _without_style(tokens: Tensor, text: TextEncoder) -> Tensor:
    """Captions as the text encoder reads them, but for the words that tell the style, (captions, 77, dim)."""
    (read,) = text.tokenizers
    captions = [read.decode(row, skip_special_tokens=True).removeprefix(PREFIX) for row in tokens.tolist()]
    return torch.cat([text(captions[start : start + 64])[0] for start in range(0, len(captions), 64)])
