"""A batch on the device, as the network reads it: what is not cached is made by the frozen networks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from ..config import Config
from ..data.batch import Batch
from ..data.sample import Faces
from ..data.tensors import changed
from ..frozen.faces import FaceEncoder
from ..frozen.latents import load_vae, scaled, to_moments
from ..frozen.text import TextEncoder
from ..model.build import choice_of
from ..model.network import FaceInputs
from .dice import Throws


@dataclass(frozen=True)
class Conditions:
    """What the UNet is told beside the latents.

    Attributes:
        text: (pictures, 77, dim).
        added: SDXL's further conditions, as diffusers names them; None for other models.
        faces: the people.
    """

    text: Tensor
    added: dict[str, Tensor] | None
    faces: FaceInputs


class Frozen(nn.Module):
    """The frozen networks that a training needs, and what stands for nothing: no face, no text."""

    def __init__(self, config: Config, cached: bool):
        """
        Args:
            config: where they are.
            cached: whether the data holds their features, so that only "nothing" has to be made.

        Raises UniPortraitError where one is missing.
        """
        super().__init__()
        self.choice = choice_of(config)
        self.pictures = bool(config.base.ip_adapter)
        self.text = TextEncoder(config.base.model)
        self.vae: AutoencoderKL = load_vae(config.base.model)
        self.face = FaceEncoder(config.base.face_backbone, config.base.clip_vision)
        self.nobody = self.face.nobody()
        self.no_text = self.text([""])
        self.requires_grad_(False)
        self.backbone = self.face.backbone
        self.cached, self.looking = cached, bool(config.loss.likeness)
        if cached:  # what they see is in the shards
            self.text = self.face = None

    def work_on(self, device: torch.device) -> None:
        """Bring what every step needs to a device. With cached features that is no network: VAE and backbone, which
        previews need, wait on the CPU, unless every step looks at what it predicts."""
        self.nobody = changed(self.nobody, lambda t: t.to(device))
        self.no_text = tuple(None if t is None else t.to(device) for t in self.no_text)
        if not self.cached:
            self.to(device)
        elif self.looking:
            self._move(device)

    @contextmanager
    def drawing_on(self, device: torch.device) -> Iterator[None]:
        """While it lasts, VAE and backbone are on a device."""
        self._move(device)
        try:
            yield
        finally:
            if self.cached and not self.looking:
                self._move("cpu")

    def _move(self, device: torch.device | str) -> None:
        for module in (self.vae, self.backbone):
            module.to(device)

    @property
    def divisor(self) -> int:
        """Pixels to a spot of the latent."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    def latent_size(self, batch: Batch) -> tuple[int, int, int]:
        """Channels, height and width of the batch's latents."""
        if batch.moments is not None:
            return batch.moments.shape[1] // 2, *batch.moments.shape[2:]
        return self.vae.config.latent_channels, *(side // self.divisor for side in batch.pixels.shape[2:])

    def widths(self, faces: Faces) -> tuple[int, int]:
        """Of intrinsic and structure features, for a resampler that reads such faces."""
        intrinsic, structure = self.arranged(self.features(faces))
        return intrinsic.shape[-1], structure.shape[-1]

    def latents(self, batch: Batch, posterior: Tensor) -> Tensor:
        """The pictures as the UNet sees them, (pictures, channels, height, width)."""
        moments = to_moments(self.vae, batch.pixels) if batch.moments is None else batch.moments
        mean, deviation = moments.chunk(2, dim=1)
        return scaled(self.vae.config, mean + deviation * posterior)

    def conditions(self, batch: Batch, throws: Throws) -> Conditions:
        """Text and people, where the dice leave them in."""
        text, pooled = self.text(batch.captions) if batch.text is None else (batch.text, batch.pooled)
        blank, blank_pooled = self.no_text
        text = torch.where(throws.no_text[:, None, None], blank, text)
        added = None
        if pooled is not None:
            pooled = torch.where(throws.no_text[:, None], blank_pooled, pooled)
            added = {"text_embeds": pooled, "time_ids": self._sizes(batch).to(pooled)}
        return Conditions(text, added, self.people(batch, throws))

    def features(self, faces: Faces) -> Faces:
        """Faces, (pictures, people, …), with what the frozen networks see in them."""
        if faces.crops is None:
            return faces
        rows = faces.crops.shape[:2]
        return changed(self.face(faces.crops.flatten(0, 1)), lambda t: t.unflatten(0, rows))

    def arranged(self, faces: Faces) -> tuple[Tensor, Tensor]:
        """Intrinsic and structure features, (pictures, people, n, dim)."""
        rows = faces.embedding.shape[:2]
        flat = changed(faces, lambda t: t.flatten(0, 1))
        made = self.choice.arrange(flat.embedding, flat.intrinsic, flat.shallow, flat.clip)
        return tuple(part.unflatten(0, rows) for part in made)

    def _sizes(self, batch: Batch) -> Tensor:
        """SDXL's six: height and width before, top and left of the cut, height and width of the cut."""
        cut = torch.tensor(self.latent_size(batch)[1:], device=batch.corner.device) * self.divisor
        return torch.cat((batch.original, batch.corner, cut.expand_as(batch.corner)), dim=1)

    @property
    def structure_features(self) -> int:
        """How many a person has."""
        return self.nobody.clip.shape[1]

    def people(self, batch: Batch, throws: Throws) -> FaceInputs:
        """The people, where the dice leave them in."""
        faces = self.features(batch.faces)
        nobody = changed(self.nobody, lambda t: t[None])
        gone = throws.no_faces[:, None]
        if self.pictures:
            image = torch.where(gone[..., None], nobody.image, faces.image)
            return FaceInputs(batch.present, image=image)
        intrinsic, structure = self.arranged(faces)
        if batch.other is not None:
            others, _ = self.arranged(self.features(changed(batch.other, lambda t: t[:, None])))
            first = torch.arange(intrinsic.shape[1], device=intrinsic.device) == 0  # the only one in the picture
            shown = batch.has_other[:, None] & first
            intrinsic = torch.where(shown[..., None, None], others, intrinsic)
        blank = self.arranged(nobody)
        intrinsic, structure = (
            torch.where(gone[..., None, None], nothing, seen)
            for nothing, seen in zip(blank, (intrinsic, structure), strict=True)
        )
        return FaceInputs(batch.present, intrinsic, structure, throws.scale, throws.kept)
