"""Training the UNet, and with it the text encoder."""

from dataclasses import replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPTextModel

from training.frozen.folders import load_part
from training.frozen.latents import load_vae, scaled, to_moments

from ..data.pixels import face_weights, to_unit
from ..data.store import Store
from ..nets.base_model import new_schedule, new_text_encoder, new_unet
from ..nets.norms import lean
from ..nets.tokens import load_tokenizer, tokens
from ..weights import history, save_part
from .fit import Fitted, fit
from .job import Job

DROPPED = 0.1  # captions that are left out, for guidance
# Weight of a noise level, 1 + 1 / SNR up to this, as if v was predicted (Salimans & Ho 2022), and how often one of the
# highest is drawn. A noisy picture of few spots still shows what colours are in it; only where noise is highest does it
# take a prompt to know them. Faces are drawn at levels below.
MOST = 100.0
HIGH, HIGH_SHARE = 0.8, 0.3
FACES = 3.0  # more weight of faces in the loss
TEXT_SHARE = 0.6  # of the time, in which the text encoder learns, too, where the UNet begins anew
ENCODED = {"cuda": 256, "cpu": 16}  # pictures that are encoded at a time


def train_unet(job: Job) -> None:
    """Noise prediction with SD1.5's schedule on the autoencoder's latents.

    The text encoder learns along for a part of the time, where there is no UNet yet. Then it stays as it is: a step
    costs less, and what is cached of it stays right.
    """
    tokenizer = load_tokenizer(job.files.tokenizer)
    vae = load_vae(job.files.base).to(job.device)
    store = job.store("scenes", "pixels", "tokens", "boxes")
    nothing = torch.from_numpy(tokens(job.files.tokenizer, [""])).long().to(job.device)
    kept = new_schedule().alphas_cumprod.to(job.device)
    weight_of_level = (1 / kept).clamp(max=MOST)

    def train(name: str, seconds: float, unet: nn.Module, text: nn.Module, learns: bool) -> None:
        part = replace(job, name=name, budget=replace(job.budget, seconds=seconds))
        unet.to(job.device, memory_format=job.layout)
        runs = torch.compile(unet) if job.compiled else unet

        def squares(moments: Tensor, words: Tensor, boxes: Tensor) -> Tensor:
            time, noise, noisy = noised(moments, vae, kept)
            guess = runs(noisy.to(memory_format=job.layout), time, text(words)[0]).sample
            weights = face_weights(boxes, moments.shape[-1], FACES)
            wrong = (weights * (guess.float() - noise) ** 2).mean(dim=(1, 2, 3))
            return (wrong * weight_of_level[time]).mean()

        if job.compiled:  # while pictures are being drawn
            some = torch.arange(job.budget.batch, device=job.device) % store.ready
            few = encode_all(vae, store["pixels"][: store.ready])
            with torch.autocast(job.device.type, torch.bfloat16, enabled=job.device.type == "cuda"):
                squares(few[some], store["tokens"][some, 0].long(), store["boxes"][some]).backward()
        moments = _moments(job, vae, store.wait())

        def loss(_: float) -> Tensor:
            chosen = store.draw(job.budget.batch)
            variant = torch.randint(2, (len(chosen),), device=job.device)
            words = store["tokens"][chosen, variant].long()
            words = torch.where(torch.rand(len(chosen), 1, device=job.device) < DROPPED, nothing, words)
            return squares(moments[chosen], words, store["boxes"][chosen])

        def publish(fitted: Fitted) -> None:
            made = job.made(fitted.steps, fitted.seconds, f"{store.ready} scenes", **_quality(fitted.model, vae, job))
            save_part(fitted.model["unet"], job.files.base / "unet", fitted.before | made)
            if learns:
                save_part(fitted.model["text"], job.files.base / "text_encoder", fitted.before | made)
            new_schedule().save_pretrained(job.files.base / "scheduler")

        model, before = nn.ModuleDict({"unet": unet, "text": text}), history(job.files.unet)
        publish(fit(part, model, loss, publish, before, decay=0.999, recordable=lambda share: share > 0))
        job.files.done(name).touch()

    both, seconds = f"{job.name}-and-text", 0.0
    if not job.files.unet.is_file() or job.files.state(both).is_file():
        seconds = TEXT_SHARE * job.budget.seconds
        if not job.files.done(both).is_file():
            train(both, seconds, lean(new_unet(job.preset)), _text_encoder(job, tokenizer), learns=True)
    unet = load_part(UNet2DConditionModel, job.files.base, "unet").float().requires_grad_(True).train()
    text = CLIPTextModel.from_pretrained(job.files.base / "text_encoder", local_files_only=True).float()
    text = text.to(job.device).eval().requires_grad_(False)
    train(f"{job.name}-alone", job.budget.seconds - seconds, lean(unet), text, learns=False)


def noised(moments: Tensor, vae: AutoencoderKL, kept: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures at noise levels by chance, the highest most often: the levels, the noise, and the latents with it.

    Args:
        moments: of the pictures, (batch, 2 · channels, height, width).
        kept: ᾱ of every level.
    """
    mean, spread = moments.float().chunk(2, dim=1)
    latents = scaled(vae.config, mean + spread * torch.randn_like(mean))
    kind, place = torch.rand(2, len(latents), device=latents.device)
    place = torch.where(kind < HIGH_SHARE, HIGH + (1 - HIGH) * place, place)
    time = (place * len(kept)).long().clamp(max=len(kept) - 1)  # where rounding has made it 1
    share, noise = kept[time][:, None, None, None], torch.randn_like(latents)
    return time, noise, share.sqrt() * latents + (1 - share).sqrt() * noise


def _text_encoder(job: Job, tokenizer) -> CLIPTextModel:  # noqa: ANN001
    """As contrastive training left it, where there is such; else a new one."""
    folder: Path = job.files.base / "text_encoder"
    if (folder / "model.safetensors").is_file():
        return CLIPTextModel.from_pretrained(folder, local_files_only=True).float().to(job.device).train()
    return new_text_encoder(job.preset, tokenizer).to(job.device)


def _moments(job: Job, vae: AutoencoderKL, store: Store) -> Tensor:
    """Of all pictures; kept in a file, as a training that goes on needs them again."""
    file = job.files.moments
    if file.is_file() and file.stat().st_mtime > job.files.vae.stat().st_mtime:
        return load_file(file)["moments"].to(job.device)
    moments = encode_all(vae, store["pixels"]).contiguous()
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({"moments": moments}, file)
    return moments


@torch.no_grad()
def encode_all(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    """Moments of pictures, (pictures, 2 · channels, side / 8, side / 8), bfloat16.

    Args:
        pixels: (pictures, side, side, 3), uint8.
    """
    device = pixels.device.type
    with torch.autocast(device, torch.bfloat16, enabled=pixels.is_cuda):
        return torch.cat([to_moments(vae, to_unit(part)).bfloat16() for part in pixels.split(ENCODED[device])])


@torch.no_grad()
def _quality(model: nn.ModuleDict, vae: AutoencoderKL, job: Job) -> dict[str, float]:
    """The plain loss on scenes that were not trained on, at evenly spread times."""
    unet: UNet2DConditionModel = model["unet"]
    store = job.store("checks", "pixels", "tokens").wait()
    schedule, dice = new_schedule(), torch.Generator(job.device).manual_seed(0)
    latents = scaled(vae.config, encode_all(vae, store["pixels"]).float().chunk(2, dim=1)[0])
    times = (torch.arange(len(latents), device=job.device) * 1000) // len(latents)
    noise = torch.randn(latents.shape, generator=dice, device=job.device)
    text = model["text"](store["tokens"][:, 0].long())[0]
    noisy = schedule.add_noise(latents, noise, times)
    parts = zip(noisy.split(128), times.split(128), text.split(128), noise.split(128), strict=True)
    losses = [((unet(x, t, c).sample - n) ** 2).mean(dim=(1, 2, 3)) for x, t, c, n in parts]
    return {"noise_loss": round(float(torch.cat(losses).mean()), 4)}
