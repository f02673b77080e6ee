"""Training the two recognisers, each on its own people."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.pixels import roughen, to_unit
from ..data.store import Store
from ..nets.recognisers import MarginHead, new_backbone, new_measuring_net
from ..weights import begin_with, history, save_weights
from .fit import fit
from .job import Job

SIDE = 112


def train_backbone(job: Job) -> None:
    """What people are made of in all that follows."""
    _train(job, new_backbone(job.preset), "faces", lambda net, faces: net(faces)[0], job.files.backbone)


def train_measure(job: Job) -> None:
    """What likeness is measured by."""
    _train(job, new_measuring_net(job.preset), "other_faces", lambda net, faces: net(faces), job.files.measure)


def shrunk(crops: Tensor) -> Tensor:
    """Crops as the pack's `look_at_faces` shows them to a recogniser, (batch, 3, 112, 112), −1..1."""
    return F.interpolate(to_unit(crops), size=SIDE, mode="bilinear", align_corners=False)


def _train(job: Job, net: nn.Module, kind: str, embed, file) -> None:  # noqa: ANN001 - a function, and a path
    store = job.store(kind, "pixels", "person")
    head = MarginHead(job.preset.embedding, job.preset.people)
    before = history(file)
    begin_with(net, file)
    model = nn.ModuleDict({"net": net, "head": head}).to(job.device, memory_format=job.layout)

    def loss(share: float) -> Tensor:
        store.refresh()
        chosen = store.draw(job.budget.batch)
        faces = roughen(shrunk(store["pixels"][chosen])).to(memory_format=job.layout)
        return head(embed(net, faces), store["person"][chosen], warm=min(1.0, 2 * share))

    fitted = fit(job, model, loss, before=before)
    quality = verification(fitted.model["net"], embed, job.store("check_faces", "pixels", "person").wait())
    data = f"{store.ready} aligned photos of {job.preset.people} drawn people"
    made = job.made(fitted.steps, fitted.seconds, data, **quality)
    save_weights(file, fitted.model["net"].state_dict(), fitted.before | made)


@torch.no_grad()
def verification(net: nn.Module, embed, store: Store) -> dict[str, float]:  # noqa: ANN001
    """How well people are told apart whom the network has never seen."""
    embeddings = torch.cat([embed(net, shrunk(crops)).float() for crops in store["pixels"].split(256)])
    similar = F.normalize(embeddings) @ F.normalize(embeddings).T
    owners = store["person"]
    same, pair = owners[:, None] == owners, torch.ones_like(similar, dtype=torch.bool).triu(1)
    alike, unlike = similar[same & pair], similar[~same & pair]
    bar = unlike.sort().values[min(int(0.99 * len(unlike)), len(unlike) - 1)]
    bars = torch.linspace(-1, 1, 201, device=similar.device)
    right = [((alike > b).float().mean() + (unlike <= b).float().mean()) / 2 for b in bars]
    return {
        "people": len(owners.unique()),
        "accuracy": round(float(torch.stack(right).max()), 4),
        "true_accepts_at_1_percent": round(float((alike > bar).float().mean()), 4),
        "similarity_same": round(float(alike.mean()), 4),
        "similarity_other": round(float(unlike.mean()), 4),
    }
