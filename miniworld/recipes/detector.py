"""Training the face detector of drawn people."""

import torch
import torch.nn.functional as F
from torch import Tensor

from uniportrait_core.faces.centre_detector import INPUT, STRIDE, CentreNet, decode

from ..data.pixels import sample_boxes, to_unit
from ..weights import begin_with, history, save_weights
from .fit import fit
from .job import Job

SMALLEST = 0.35  # of a picture on the canvas; the pack shows photos in sizes down to 256 of 640


def train_detector(job: Job) -> None:
    """Centres by a focal loss, boxes and landmarks by absolute differences at the centres (CenterNet)."""
    store = job.store("scenes", "pixels", "boxes", "landmarks", "count")
    before = history(job.files.detector)
    net = begin_with(CentreNet(), job.files.detector).to(job.device)

    def loss(_: float) -> Tensor:
        store.refresh()
        chosen = store.draw(job.budget.batch)
        share = SMALLEST + (1.05 - SMALLEST) * torch.rand(len(chosen), 1, device=job.device)
        canvas, points = _on_canvas(store, chosen, share)
        canvas = _lit(canvas)
        return centre_loss(net(canvas).float(), points, store["count"][chosen])

    fitted = fit(job, net, loss, before=before, decay=0.995)
    made = job.made(fitted.steps, fitted.seconds, f"{store.ready} scenes", **_quality(fitted.model, job))
    save_weights(job.files.detector, fitted.model.state_dict(), fitted.before | made)


def _on_canvas(store, chosen: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN001
    """Pictures in the upper left of a black canvas, and box and landmarks there, (batch, people, 7, 2), 0..1."""
    boxes = torch.cat((torch.zeros_like(share).expand(-1, 2), (1 / share).expand(-1, 2)), dim=1)
    pictures = to_unit(store["pixels"][chosen])
    canvas = sample_boxes(pictures, boxes, INPUT)
    corners = store["boxes"][chosen].unflatten(-1, (2, 2))
    return canvas, torch.cat((corners, store["landmarks"][chosen]), dim=2) * share[:, :, None, None]


def _lit(canvas: Tensor) -> Tensor:
    """Other light, noise, and less sharpness for some."""
    count = len(canvas)
    dice = torch.rand(count, 3, 1, 1, 1, device=canvas.device) * 2 - 1
    canvas = canvas * (1 + 0.2 * dice[:, 0]) + 0.1 * dice[:, 1] + 0.05 * dice[:, 2].abs() * torch.randn_like(canvas)
    third = count // 3
    blurred = F.interpolate(F.avg_pool2d(canvas[:third], 2), scale_factor=2, mode="bilinear")
    return torch.cat((blurred, canvas[third:])).clamp(-1, 1)


def centre_loss(maps: Tensor, points: Tensor, count: Tensor) -> Tensor:
    """
    Args:
        maps: of `CentreNet`, (batch, 15, side, side).
        points: box corners and landmarks, (batch, people, 7, 2), in shares of the input; only the first `count` count.
    """
    side = maps.shape[-1]
    spots = points * side
    centres = spots[:, :, :2].mean(dim=2)
    there = torch.arange(points.shape[1], device=maps.device)[None] < count[:, None]
    there &= ((centres >= 0) & (centres < side)).all(dim=-1)
    place = torch.arange(side, device=maps.device) + 0.5
    radius = 0.13 * (spots[:, :, 1, 1] - spots[:, :, 0, 1]).clamp(min=2.0)
    across = (place[None, None] - centres[..., :1]) ** 2
    down = (place[None, None] - centres[..., 1:]) ** 2
    hills = torch.exp(-(across[:, :, None, :] + down[:, :, :, None]) / (2 * radius[..., None, None] ** 2))
    cell = centres.long().clamp(0, side - 1)
    batch, person = there.nonzero(as_tuple=True)
    x, y = cell[batch, person].unbind(-1)
    goal = (hills * there[..., None, None]).amax(dim=1)
    goal = goal.index_put((batch, y, x), torch.ones((), device=goal.device))
    hit = goal == 1
    sure = maps[:, 0].sigmoid().clamp(1e-5, 1 - 1e-5)
    focal = torch.where(hit, (1 - sure) ** 2 * sure.log(), (1 - goal) ** 4 * sure**2 * (1 - sure).log())
    found = maps[batch, 1:, y, x].unflatten(-1, (7, 2))
    wanted = (spots[batch, person] - (cell[batch, person] + 0.5)[:, None]) / STRIDE
    return -focal.sum() / hit.sum().clamp(min=1) + 2 * (found - wanted).abs().mean()


@torch.no_grad()
def _quality(net: CentreNet, job: Job) -> dict[str, float]:
    """On scenes that were not trained on, at full size on the canvas."""
    store = job.store("checks", "pixels", "boxes", "landmarks", "count").wait()
    chosen = torch.arange(store.ready, device=job.device)
    canvas, points = _on_canvas(store, chosen, torch.ones(store.ready, 1, device=job.device))
    maps = torch.cat([net(part) for part in canvas.split(128)]).float().cpu()
    right, found, off = [], [], []
    for one, wanted, count in zip(maps, points.cpu(), store["count"].tolist(), strict=True):
        faces = decode(one, 0.5, scale=1 / INPUT)
        right.append(len(faces) == count)
        for face in wanted[:count]:
            eyes = face[3, 0] - face[2, 0]
            errors = [(torch.from_numpy(f.landmarks) - face[2:]).norm(dim=-1).mean() / eyes.abs() for f in faces]
            found.append(bool(errors) and float(min(errors)) < 0.5)
            off += [float(min(errors))] if found[-1] else []
    return {
        "number_right": round(sum(right) / len(right), 4),
        "faces_found": round(sum(found) / max(len(found), 1), 4),
        "landmarks_off_in_eye_distances": round(sum(off) / max(len(off), 1), 4),
    }
