"""Training the autoencoder's decoder further, once its latents are settled: others can train on them meanwhile."""

import torch
from torch import Tensor, nn

from training.frozen.latents import load_vae

from ..data.pixels import to_unit
from ..nets.norms import lean
from ..weights import history, save_part
from .fit import Fitted, fit
from .job import Job
from .vae import difference, reconstruction

ROUGH = 0.25  # largest deviation of the noise added to latents, which are about 1: drawn ones are not exact


def train_decoder(job: Job) -> None:
    """As the autoencoder, but the encoder stays as it is."""
    vae = lean(load_vae(job.files.base)).to(job.device)
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    store = job.store("scenes", "pixels", "boxes").wait()
    parts = nn.ModuleDict({"around": vae.post_quant_conv, "decoder": vae.decoder}).requires_grad_(True)

    before = history(job.files.vae)

    def loss(_: float) -> Tensor:
        chosen = store.draw(job.budget.batch)
        pictures = to_unit(store["pixels"][chosen])
        with torch.no_grad():
            latents = vae.encode(pictures).latent_dist.sample()
            rough = ROUGH * torch.rand(len(chosen), 1, 1, 1, device=job.device) / vae.config.scaling_factor
            latents = latents + rough * torch.randn_like(latents)
        return difference(parts["decoder"](parts["around"](latents)).float() - pictures, store["boxes"][chosen])

    def publish(fitted: Fitted) -> None:
        whole = load_vae(job.files.base).to(job.device)
        whole.decoder.load_state_dict(fitted.model["decoder"].state_dict())
        whole.post_quant_conv.load_state_dict(fitted.model["around"].state_dict())
        made = job.made(fitted.steps, fitted.seconds, f"{store.ready} scenes", **reconstruction(whole, job))
        save_part(whole, job.files.base / "vae", fitted.before | made)

    publish(fit(job, parts, loss, publish, before, recordable=lambda share: share > 0))
