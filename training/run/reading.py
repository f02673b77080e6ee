"""Before stage I: the resampler learns to keep who somebody is.

A resampler that begins at random makes much the same tokens of everybody. The diffusion loss, which is noise and all
else that is in a picture for the most part, takes long to change that: a small resampler still kept a fifth of the face
embedding when the adapter had learned what there was to learn from it. So at first a linear layer, which is thrown away
afterwards, is to read two things off the tokens: the face embedding, and the latents around the face. No UNet takes
part, so that a picture costs a tenth of what it does in stage I.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from tqdm import tqdm

from uniportrait_core.embedding.resampler import FaceIDResampler
from uniportrait_core.errors import UniPortraitError

from ..config import Config, Guidance
from ..data.batch import Batch
from ..data.order import Batches
from ..data.portraits import Portraits
from ..files import whole_file
from ..model.network import FaceInputs, id_tokens
from .batches import read_batches
from .dice import throw
from .inputs import Frozen
from .log import Log

FILE = "reading.safetensors"
AROUND = 1.5  # of the longer side of a face's box: hair belongs to who somebody is
GRID = 7  # spots, both ways
WARMUP = 50


class Reader(nn.Module):
    """A resampler, and what reads its tokens."""

    def __init__(self, resampler: FaceIDResampler, embedding: int, channels: int):
        """
        Args:
            resampler: to train.
            embedding: numbers of a face embedding.
            channels: of the latents.
        """
        super().__init__()
        tokens, dim = resampler.token_shape
        self.resampler, self.parts = resampler, (embedding, channels * GRID**2)
        self.head = nn.Linear(tokens * dim, sum(self.parts))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, faces: FaceInputs) -> tuple[Tensor, Tensor]:
        """What is read, (pictures, embedding) and (pictures, channels · GRID²)."""
        read = self.head(id_tokens(self.resampler, faces).flatten(1))
        return read.split(self.parts, dim=1)


@dataclass(frozen=True)
class Errors:
    """Mean squared errors.

    Attributes:
        embedding: of the face embedding, whose length is 1.
        latents: as a share of their variance.
    """

    embedding: Tensor
    latents: Tensor


def errors(read: tuple[Tensor, Tensor], embedding: Tensor, around: Tensor) -> Errors:
    """How far off is what was read.

    Args:
        read: by a `Reader`.
        embedding: the face embeddings, (pictures, dim), not normalised.
        around: latents around the faces, (pictures, channels, GRID, GRID).
    """
    of_face, of_picture = (part.float() for part in read)
    return Errors(
        (of_face - F.normalize(embedding, dim=1)).square().sum(dim=1).mean(),
        (of_picture - around.flatten(1)).square().mean() / around.var(),
    )


def around_faces(latents: Tensor, boxes: Tensor) -> Tensor:
    """Latents around the face of each picture, at one size.

    Args:
        latents: (pictures, channels, height, width).
        boxes: as shares of the picture, (pictures, 4).

    Returns:
        (pictures, channels, GRID, GRID), of a square in pixels; beyond the picture it goes on as at its edge.
    """
    size = torch.tensor(latents.shape[:1:-1], device=boxes.device)  # width, height
    low, high = boxes[:, :2], boxes[:, 2:]
    side = ((high - low) * size).amax(dim=1, keepdim=True) * AROUND / size
    theta = torch.zeros(len(boxes), 2, 3, device=boxes.device)
    theta[:, 0, 0], theta[:, 1, 1] = side.unbind(1)
    theta[:, :, 2] = low + high - 1  # the middle, from −1 to 1
    places = F.affine_grid(theta, [len(boxes), latents.shape[1], GRID, GRID], align_corners=False)
    return F.grid_sample(latents, places, padding_mode="border", align_corners=False)


def learn_to_read(
    config: Config, resampler: FaceIDResampler, frozen: Frozen, portraits: Portraits, accelerator: Accelerator
) -> None:
    """Train a resampler by what can be read off its tokens, or take what an earlier start has trained.

    Args:
        config: `reading` of it says for how long.
        resampler: is changed.
        frozen: the networks whose features it reads.
        portraits: pictures of one person.

    Raises:
        UniPortraitError: the output folder cannot be written, or has a resampler of other sizes.
    """
    path = config.run.output / FILE
    known = accelerator.reduce(torch.tensor([float(path.is_file())], device=accelerator.device), "sum")
    if known.item() == accelerator.num_processes:  # all see it, or all train
        return _load(path, resampler)
    frozen.work_on(accelerator.device)
    _train(config, resampler, frozen, portraits, accelerator)
    if accelerator.is_main_process:
        with whole_file(path) as file:
            file.write(save({name: value.cpu().contiguous() for name, value in resampler.state_dict().items()}))
    accelerator.wait_for_everyone()


def _load(path: Path, resampler: FaceIDResampler) -> None:
    try:
        resampler.load_state_dict(load_file(path))
    except (SafetensorError, OSError, RuntimeError) as error:  # torch raises the last for other keys and shapes
        reason = " ".join(str(error).split())[:200]
        raise UniPortraitError(
            f"{path} is no resampler of these sizes ({reason}). Delete it, and it is made again, or set the table "
            "`resampler` to what it was."
        ) from error


def _train(
    config: Config, resampler: FaceIDResampler, frozen: Frozen, portraits: Portraits, accelerator: Accelerator
) -> None:
    settings, seed, main = config.reading, config.run.seed, accelerator.is_main_process
    processes = accelerator.num_processes
    order = Batches(portraits, settings.batch, seed, settings.steps, 0, accelerator.process_index, processes)
    made = Reader(resampler, frozen.nobody.embedding.shape[-1], frozen.vae.config.latent_channels)
    reader = accelerator.prepare_model(made)
    optimizer = accelerator.prepare_optimizer(torch.optim.AdamW(made.parameters()))
    bar = tqdm(total=settings.steps, desc="reading", unit="step", disable=not main)
    with Log(config.run.output / "reading" if main else None) as log, bar:
        for step, batch in enumerate(read_batches(portraits, order, config.data.workers, accelerator.device), 1):
            faces, embedding, latents = _shown(config, frozen, batch.to(accelerator.device))
            with accelerator.autocast():
                read = reader(faces)
            found = errors(read, embedding, latents)
            accelerator.backward(found.embedding + found.latents)
            accelerator.unscale_gradients(optimizer)
            nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * min(step / WARMUP, 1) * (1 - (step - 1) / settings.steps)
            optimizer.step()
            optimizer.zero_grad()
            numbers = {"reading/embedding": found.embedding.item(), "reading/latents": found.latents.item()}
            log.numbers(step, numbers, settings.batch * processes)
            bar.update()


def _shown(config: Config, frozen: Frozen, batch: Batch) -> tuple[FaceInputs, Tensor, Tensor]:
    """The faces of a batch as the resampler sees them, and what is to be read off: embeddings and latents."""
    size = frozen.latent_size(batch)
    none = Guidance(drop_faces=0, drop_text=0, drop_both=0)
    throws = throw(batch.seeds, size, 1, 1, frozen.structure_features, config.features, none, config.loss)
    batch = replace(batch, faces=frozen.features(batch.faces))
    latents = around_faces(frozen.latents(batch, throws.posterior), batch.boxes[:, 0])
    return frozen.people(batch, throws), batch.faces.embedding[:, 0], latents
