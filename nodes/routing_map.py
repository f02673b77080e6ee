"""UniPortraitRoutingMap: who has which part of a picture, and whether somebody will be missing."""

import logging

import numpy as np
import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..uniportrait_core.drawing import draw_faces, draw_routing
from ..uniportrait_core.errors import UniPortraitError
from ..uniportrait_core.faces import Detector as FindFaces
from ..uniportrait_core.faces import Face, find_faces
from ..uniportrait_core.regions import Window
from ..uniportrait_core.routing_record import RoutingRecord
from ..uniportrait_core.routing_report import PictureReport, choose_steps, report_picture
from .photos import check_photos, to_image, to_pixels
from .sockets import CATEGORY, Detector, Routing, aliases, min_confidence

SMALL_SHARE = 0.05

logger = logging.getLogger("uniportrait")


class UniPortraitRoutingMap(io.ComfyNode):
    """Show who has which part of a picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitRoutingMap",
            display_name="Routing Map",
            category=CATEGORY,
            description="Shows which person each part of a picture went to while it was sampled, and warns when "
            "somebody has so little that they will be missing.",
            inputs=[
                Routing.Input("routing", tooltip="From Record Routing, whose model made the picture."),
                io.Image.Input("image", tooltip="The pictures of that sampling."),
                io.String.Input(
                    "steps",
                    default="average",
                    tooltip="average: over all steps. each: one picture per step. Or numbers, counted from 1, such as "
                    "1, 5, 10-12. Steps are those in which people were drawn.",
                ),
                io.Float.Input(
                    "opacity",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Of the colours over the picture, 0 to 1.",
                ),
                io.Float.Input(
                    "min_share",
                    default=SMALL_SHARE,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of the faces, 0 to 1, below which a person counts as missing; of the whole picture "
                    "where no face is known.",
                ),
                Detector.Input(
                    "detector",
                    optional=True,
                    tooltip="From Face Detector: also tells whose each face of the picture is.",
                ),
                min_confidence(optional=True),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The pictures under one colour per person."),
                io.Mask.Output(
                    display_name="masks",
                    tooltip="What each person has of each picture, the average over the chosen steps, picture after "
                    "picture; for one picture they fit Adjust Face ID.",
                ),
                io.String.Output(display_name="report", tooltip="Everybody's share in words; connect PreviewAny."),
                io.Boolean.Output(
                    display_name="missing",
                    is_output_list=True,
                    tooltip="Per picture, whether somebody has less than min_share.",
                ),
            ],
            is_output_node=True,
            **aliases("uniportrait", "routing", "heatmap", "who is where"),
        )

    @classmethod
    def execute(
        cls,
        routing: RoutingRecord,
        image: Tensor,
        steps: str,
        opacity: float,
        min_share: float,
        detector: FindFaces | None = None,
        min_confidence: float = 0.5,
    ) -> io.NodeOutput:
        check_photos(image)
        levels = _levels(routing, len(image))
        groups = choose_steps(steps, len(levels))
        shown, masks, lines, missing = [], [], [], []
        for number, picture in enumerate(to_pixels(image)):
            maps = [torch.stack([levels[step][number] for step in group]).mean(dim=0) for group in groups]
            faces = find_faces(detector, picture, min_confidence) if detector else []
            masks.append(torch.stack(maps).mean(dim=0))
            report = report_picture(masks[-1], [_window(face, picture) for face in faces], min_share)
            shown += [_draw(picture, map_, faces, report, opacity) for map_ in maps]
            lines.append(f"Picture {number + 1}: {_sentence(report)}")
            missing.append(bool(report.missing))
            if report.missing:
                logger.warning("Routing Map: %s", lines[-1])
        pictures, text = to_image(shown), "\n".join(lines)
        preview = {**ui.PreviewImage(pictures).as_dict(), "text": (text,)}
        return io.NodeOutput(pictures, torch.cat(masks), text, missing, ui=preview)


def _levels(routing: RoutingRecord, pictures: int) -> list[Tensor]:
    levels = routing.maps()
    if not levels:
        raise UniPortraitError(
            "The record at Routing Map is empty: no picture was sampled with the model of its Record Routing, or the "
            "router had nothing to choose. Connect that model to the sampler that makes image."
        )
    if len(levels[0]) != pictures:
        raise UniPortraitError(
            f"image at Routing Map holds {pictures} pictures, the last sampling of its Record Routing made "
            f"{len(levels[0])}. Connect the pictures of that sampling, all of them."
        )
    return levels


def _window(face: Face, picture: np.ndarray) -> Window:
    height, width = picture.shape[:2]
    left, top, right, bottom = face.box.tolist()
    return top / height, left / width, bottom / height, right / width


def _draw(picture: np.ndarray, shares: Tensor, faces: list[Face], report: PictureReport, opacity: float) -> np.ndarray:
    own = report_picture(shares, [], 0).picture
    labels = [f"person {number}: {_percent(share)}" for number, share in enumerate(own, start=1)]
    drawn = draw_routing(picture, shares.numpy(), labels, opacity)
    names = [f"person {owner + 1}: {_percent(share)}" for owner, share in report.owners]
    return draw_faces(drawn, faces, names, [owner for owner, _ in report.owners])


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _sentence(report: PictureReport) -> str:
    people = []
    for number, share in enumerate(report.picture):
        of_faces = "" if report.faces is None else f" and {_percent(report.faces[number])} of the faces"
        people.append(f"person {number + 1} has {_percent(share)} of the picture{of_faces}")
    faces = [
        f"face {number} is person {owner + 1}'s ({_percent(share)})"
        for number, (owner, share) in enumerate(report.owners, start=1)
    ]
    text = "; ".join([", ".join(people), *([", ".join(faces)] if faces else [])])
    if report.missing:
        who = " and ".join(f"person {person + 1}" for person in report.missing)
        advice = "another seed, a prompt that names as many people, or a mask on Adjust Face ID"
        text += f". Likely missing: {who}. Try {advice}"
    return f"{text}."
