"""Pictures on the way, always of the same samples and seeds: drawn, routed, and compared with the photos."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler

from uniportrait_core.embedding.face_features import CROP_SIZE, look_at_faces
from uniportrait_core.faces.alignment import align
from uniportrait_core.faces.detection import Detector, find_faces
from uniportrait_core.results.drawing import draw_routing
from uniportrait_core.results.likeness import judge

from ..config import Preview
from ..data.batch import Batch
from ..frozen.latents import to_pixels
from ..model.network import Network
from .dice import no_dice
from .inputs import Conditions, Frozen
from .sampler import Prompt, sample

THRESHOLD = 0.0  # a face belongs to whom it is most like, however little


@dataclass(frozen=True)
class Previews:
    """What to look at.

    Attributes:
        pictures: RGB, (pictures, height, width, 3), uint8.
        routing: with everybody's part in their colour; None where nothing is routed.
        likeness: of each person to their photo, the lowest of each picture, 0..1; NaN where nothing was compared.
    """

    pictures: np.ndarray
    routing: np.ndarray | None
    likeness: float


@torch.no_grad()
def draw(
    network: Network,
    frozen: Frozen,
    scheduler: DDPMScheduler,
    batch: Batch,
    settings: Preview,
    choice: str,
    detector: Detector | None,
) -> Previews:
    """Draw the pictures of a batch anew from its captions and faces, on the network's device."""
    size = frozen.latent_size(batch)
    people = batch.present.shape[1]
    generators = [torch.Generator().manual_seed(seed) for seed in batch.seeds.tolist()]
    start = torch.cat([torch.randn(1, *size, generator=generator) for generator in generators])
    device = batch.present.device
    wanted, nobody = (
        _prompt(
            network,
            frozen.conditions(
                batch,
                no_dice(len(start), people, frozen.structure_features, settings.structure_scale, without, device),
            ),
        )
        for without in (False, True)
    )
    latents, record = sample(network, scheduler, start.to(device), wanted, nobody, settings, choice)
    pictures = (to_pixels(frozen.vae, latents).float().cpu().numpy() * 255).round().astype(np.uint8)
    maps = record.maps()
    labels = [f"person {number + 1}" for number in range(people)]
    routed = (
        [draw_routing(p, m.numpy(), labels, 0.6) for p, m in zip(pictures, maps[-1], strict=True)] if maps else None
    )
    return Previews(pictures, np.stack(routed) if routed else None, _likeness(frozen, batch, pictures, detector))


def _prompt(network: Network, conditions: Conditions) -> Prompt:
    faces = conditions.faces
    return Prompt(conditions.text, conditions.added, network.tokens(faces), faces.present)


def _likeness(frozen: Frozen, batch: Batch, pictures: np.ndarray, detector: Detector | None) -> float:
    """The mean over pictures of the lowest likeness among their people; who is not found counts 0."""
    if detector is None:
        return float("nan")
    lowest = []
    wanted = F.normalize(frozen.features(batch.faces).embedding, dim=-1).cpu()
    for picture, people, counts in zip(pictures, wanted, batch.in_picture.cpu(), strict=True):
        crops = [align(picture, face.landmarks, CROP_SIZE) for face in find_faces(detector, picture)]
        if not crops:
            lowest.append(0.0)
            continue
        faces = torch.from_numpy(np.stack(crops)).float().to(batch.present.device) / 255
        found = F.normalize(look_at_faces(frozen.backbone, faces)[0], dim=-1).cpu()
        lowest.append(judge(found, people[counts], THRESHOLD).face_sim)
    return float(np.mean(lowest))
