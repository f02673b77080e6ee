"""Training what measures whether a prompt was followed."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.pixels import roughen, sample_boxes, to_unit
from ..data.store import Store
from ..nets.classifiers import PERSON_BOX, PERSON_HEADS, PERSON_SIZE, PICTURE_HEADS, PICTURE_SIZE, new_classifiers
from ..weights import begin_with, history, save_weights
from .fit import fit
from .job import Job


def train_classifiers(job: Job) -> None:
    """One network looks at whole pictures, one at people cut out."""
    keys = ("pixels", "shown", "looks", "boxes", "count")
    store = job.store("scenes", *keys)
    before = history(job.files.classifiers)
    model = begin_with(new_classifiers(), job.files.classifiers)
    model = model.to(job.device, memory_format=job.layout)

    def loss(_: float) -> Tensor:
        store.refresh()
        chosen = store.draw(job.budget.batch)
        who = (torch.rand(len(chosen), device=job.device) * store["count"][chosen]).long()
        pictures, people = (roughen(cut, 0.35) for cut in _cuts(store, chosen, who))
        shown, looks = store["shown"][chosen], store["looks"][chosen, who]
        return _wrong(model["picture"](pictures), shown) + _wrong(model["person"](people), looks)

    fitted = fit(job, model, loss, before=before, decay=0.995)
    made = job.made(fitted.steps, fitted.seconds, f"{store.ready} scenes", **_quality(fitted.model, job))
    save_weights(job.files.classifiers, fitted.model.state_dict(), fitted.before | made)


def person_boxes(boxes: Tensor) -> Tensor:
    """Where people are cut out, by the boxes of their faces, (people, 4)."""
    centre, high = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 3:] - boxes[:, 1:2]
    left, up, right, down = PERSON_BOX
    reach = torch.tensor((-left, -up, right, down), device=boxes.device)
    return centre.repeat(1, 2) + reach * high


def _cuts(store: Store, chosen: Tensor, who: Tensor) -> tuple[Tensor, Tensor]:
    """Whole pictures, and one person of each."""
    pictures = to_unit(store["pixels"][chosen])
    people = sample_boxes(pictures, person_boxes(store["boxes"][chosen, who]), PERSON_SIZE)
    small = F.interpolate(pictures, size=(PICTURE_SIZE,) * 2, mode="bilinear", antialias=True)
    return small, people


def _wrong(scores: dict[str, Tensor], answers: Tensor) -> Tensor:
    losses = [F.cross_entropy(score.float(), answers[:, index]) for index, score in enumerate(scores.values())]
    return torch.stack(losses).sum()


@torch.no_grad()
def _quality(model: nn.ModuleDict, job: Job) -> dict[str, float]:
    """Share of right answers on people that were not trained on."""
    store = job.store("checks", "pixels", "shown", "looks", "boxes", "count").wait()
    chosen = torch.arange(store.ready, device=job.device)
    pictures, people = _cuts(store, chosen, torch.zeros_like(chosen))
    asked = (
        ("picture", pictures, store["shown"], PICTURE_HEADS),
        ("person", people, store["looks"][:, 0], PERSON_HEADS),
    )
    quality = {}
    for name, cuts, answers, heads in asked:
        parts = [model[name](part) for part in cuts.split(128)]
        for index, head in enumerate(heads):
            scores = torch.cat([part[head] for part in parts])
            quality[head] = round(float((scores.argmax(dim=1) == answers[:, index]).float().mean()), 4)
    return quality
