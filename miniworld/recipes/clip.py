"""Training the vision encoder, and giving the text encoder its start, by matching pictures with captions."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTextModelWithProjection

from uniportrait_core.embedding.face_features import CROP_SIZE

from ..data.pixels import to_unit
from ..nets.base_model import new_text_encoder, text_config
from ..nets.tokens import load_tokenizer
from ..nets.vision import MEAN, STD, new_processor, new_vision_encoder
from ..weights import begin_with, history, save_part
from ..world.person import BEARDS, GLASSES, HAIR_STYLES
from .fit import fit
from .job import Job

TRAITS = (len(HAIR_STYLES), len(GLASSES), len(BEARDS))
PREFIX = "text_model."
SEEN = 0.3  # weight of the people's looks


class _Matching(nn.Module):
    """Both encoders, and what reads people's looks off the vision encoder's patches.

    CLIP has read on the web what people look like, hair, glasses, beards; captions here never say it. So the patches
    answer it directly.
    """

    def __init__(self, vision: nn.Module, text: nn.Module, width: int):
        super().__init__()
        self.vision, self.text = vision, text
        self.heads = nn.Linear(width, sum(TRAITS) + 6)
        self.warmth = nn.Parameter(torch.tensor(2.3))


def train_clip(job: Job) -> None:
    scenes, crops = job.store("scenes", "pixels", "tokens"), job.store("faces", "pixels", "tokens", "traits")
    tokenizer = load_tokenizer(job.files.tokenizer)
    there = job.files.clip_vision / "model.safetensors"
    before = history(there)
    vision = begin_with(new_vision_encoder(job.preset), there)
    text = _new_text(job, tokenizer)
    model = _Matching(vision, text, job.preset.vision).to(job.device)

    def loss(share: float) -> Tensor:
        scenes.refresh()
        crops.refresh()
        half = job.budget.batch // 2
        of_scenes, of_crops = scenes.draw(half), crops.draw(half)
        pictures = torch.cat((whole(scenes["pixels"][of_scenes]), to_unit(crops["pixels"][of_crops])))
        words = torch.cat((scenes["tokens"][of_scenes, 0], crops["tokens"][of_crops])).long()
        seen = vision(pixel_values=normalised(pictures), output_hidden_states=True)
        read = text(input_ids=words)
        patches = seen.hidden_states[-2][half:, 1:].mean(dim=1)
        return _contrast(model, seen.image_embeds, read.text_embeds, words) + SEEN * _looks(
            model.heads(patches).float(), crops["traits"][of_crops]
        )

    fitted = fit(job, model, loss, before=before)
    quality = _quality(fitted.model, job)
    made = job.made(fitted.steps, fitted.seconds, f"{scenes.ready} scenes, {crops.ready} faces", **quality)
    save_part(fitted.model.vision, job.files.clip_vision, fitted.before | made)
    new_processor().save_pretrained(job.files.clip_vision)
    encoder = new_text_encoder(job.preset, tokenizer)
    # Names of weights begin with `text_model.` in some versions of transformers, in both classes or in one.
    trained = {key.removeprefix(PREFIX): value for key, value in fitted.model.text.state_dict().items()}
    encoder.load_state_dict({key: trained[key.removeprefix(PREFIX)] for key in encoder.state_dict()})
    save_part(encoder, job.files.base / "text_encoder", fitted.before | made)


def _new_text(job: Job, tokenizer) -> CLIPTextModelWithProjection:  # noqa: ANN001
    """As another training left it, where there is such; its projection begins anew, as nobody keeps it."""
    folder = job.files.base / "text_encoder"
    if (folder / "model.safetensors").is_file():
        return CLIPTextModelWithProjection.from_pretrained(folder, local_files_only=True).float().train()
    return CLIPTextModelWithProjection(text_config(job.preset, tokenizer))


def whole(pixels: Tensor) -> Tensor:
    """Pictures at the vision encoder's size."""
    return F.interpolate(to_unit(pixels), size=CROP_SIZE, mode="bilinear")


def normalised(pictures: Tensor) -> Tensor:
    """From −1..1 to what CLIP is given."""
    mean, std = (torch.tensor(values, device=pictures.device)[:, None, None] for values in (MEAN, STD))
    return (pictures / 2 + 0.5 - mean) / std


def _contrast(model: _Matching, images: Tensor, texts: Tensor, words: Tensor) -> Tensor:
    """CLIP's loss, with all pictures of the same caption as right answers."""
    with torch.autocast(images.device.type, enabled=False):
        scores = model.warmth.exp().clamp(max=100) * F.normalize(images.float()) @ F.normalize(texts.float()).T
    same = (words[:, None] == words[None]).all(dim=-1).float()
    goals = same / same.sum(dim=1, keepdim=True)
    return (F.cross_entropy(scores, goals) + F.cross_entropy(scores.T, goals)) / 2


def _looks(read: Tensor, traits: Tensor) -> Tensor:
    """How wrongly hair style, glasses, beard and colours are read."""
    *answers, colours = read.split((*TRAITS, 6), dim=1)
    value = 4 * F.mse_loss(colours, traits[:, 3:])
    for index, scores in enumerate(answers):
        value = value + F.cross_entropy(scores, traits[:, index].long())
    return value


@torch.no_grad()
def _quality(model: _Matching, job: Job) -> dict[str, float]:
    """How often the right caption of 64 is found for a picture that was not trained on."""
    store, right = job.store("checks", "pixels", "tokens").wait(), []
    for pixels, words in zip(store["pixels"].split(64), store["tokens"].split(64), strict=True):
        images = model.vision(pixel_values=normalised(whole(pixels))).image_embeds
        texts = model.text(input_ids=words[:, 0].long()).text_embeds
        right.append(
            (F.normalize(images) @ F.normalize(texts).T).argmax(dim=1) == torch.arange(len(words), device=job.device)
        )
    return {"right_caption_of_64": round(float(torch.cat(right).float().mean()), 4)}
