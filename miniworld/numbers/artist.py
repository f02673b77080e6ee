"""Drawing people by the trainer's own sampler, without ComfyUI."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.config import Base, Config, Data, Features, Preview, Router, Run
from training.data.sample import Faces
from training.frozen.latents import to_pixels
from training.model.build import build
from training.model.layout import load_schedule
from training.model.network import FaceInputs
from training.run.inputs import Frozen
from training.run.objective import nearest_owners
from training.run.sampler import Prompt, sample
from uniportrait_core.files.checkpoint import load_faceid
from uniportrait_core.routing.record import RoutingRecord

from ..files import Files

WITHOUT, ROUTED = "none", "straight-through"
STEPS, GUIDANCE, STRUCTURE_SCALE = 20, 2.5, 0.3


class Artist:
    """Base model with the weights of a stage."""

    def __init__(self, files: Files, faceid: Path | None = None, router: Path | None = None):
        """
        Args:
            files: of the base model.
            faceid: weights of stage I; the world's by default.
            router: weights of stage II; None for everybody everywhere, by the weights of stage I.
        """
        faceid = faceid or files.faceid
        features = load_faceid(faceid).metadata.features
        self._choice = ROUTED if router else WITHOUT
        config = Config(
            base=Base(model=files.base, clip_vision=files.clip_vision, face_backbone=files.backbone),
            data=Data(shards=["none"]),
            features=Features(intrinsic=features.intrinsic, structure=list(features.structure)),
            router=Router(choice=self._choice),
            run=Run(output=files.root, stage_one=faceid, start_from=router or "", steps=1, batch=1),
        )
        self._frozen = Frozen(config, cached=False)
        crop = torch.zeros(1, 1, 224, 224, 3, dtype=torch.uint8)
        nobody = self._frozen.nobody.image
        self._network = build(config, "multi", self._frozen.widths(Faces(crop)), nobody.shape[-1])
        self._schedule = load_schedule(files.base)

    @torch.no_grad()
    def encode(self, crops: Tensor, structure_scale: float = STRUCTURE_SCALE) -> Tensor:
        """ID tokens of aligned faces, (pictures, people, 224, 224, 3), uint8: (pictures, people, tokens, dim)."""
        seen = self._frozen.arranged(self._frozen.features(Faces(crops)))
        return self._tokens(*seen, structure_scale)

    @torch.no_grad()
    def draw(
        self,
        prompts: Sequence[str],
        people: Tensor,
        seeds: Sequence[int],
        id_scale: float = 1.0,
        structure_scale: float = STRUCTURE_SCALE,
        guidance: float = GUIDANCE,
        masked: bool = False,
    ) -> tuple[np.ndarray, RoutingRecord]:
        """Pictures of people.

        Args:
            prompts: one for each picture.
            people: their tokens, (pictures, people, tokens, dim).
            seeds: of the noise of each picture.
            structure_scale: with which they were made.
            masked: everybody has an equal part of the width, from left to right, whatever a router says.

        Returns:
            RGB, (pictures, height, width, 3), uint8, and who had which spot at each step.
        """
        frozen, network, rows = self._frozen, self._network, people.shape[:2]
        side = network.unet.config.sample_size
        shape = (1, network.unet.config.in_channels, side, side)
        start = torch.cat([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        nobody = frozen.arranged(Faces(*(None if t is None else t[None] for t in vars(frozen.nobody).values())))
        nobody = self._tokens(*nobody, structure_scale).expand_as(people)
        texts = frozen.text(prompts)[0], frozen.no_text[0].expand(len(prompts), -1, -1)
        present = torch.ones(rows, dtype=torch.bool)
        halves = [Prompt(text, None, tokens, present) for text, tokens in zip(texts, (people, nobody), strict=True)]
        settings = Preview(steps=STEPS, guidance=guidance, id_scale=id_scale)
        owners = nearest_owners(_places(*rows), present, (side, side)) if masked else None
        latents, record = sample(network, self._schedule, start, *halves, settings, self._choice, owners)
        return (to_pixels(frozen.vae, latents) * 255).round().byte().numpy(), record

    def _tokens(self, intrinsic: Tensor, structure: Tensor, structure_scale: float) -> Tensor:
        rows = intrinsic.shape[:2]
        scale, kept = torch.full(rows, structure_scale), torch.ones(*rows, structure.shape[2])
        present = torch.ones(rows, dtype=torch.bool)
        return self._network.tokens(FaceInputs(present, intrinsic, structure, scale, kept))


def _places(pictures: int, people: int) -> Tensor:
    """Boxes of people side by side, (pictures, people, 4), 0..1."""
    edges = torch.linspace(0, 1, people + 1)
    boxes = torch.stack((edges[:-1], torch.zeros(people), edges[1:], torch.ones(people)), dim=-1)
    return boxes.expand(pictures, -1, -1)
