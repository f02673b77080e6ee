"""Who is where: recording it while pictures are sampled, and showing it on them."""

import logging

import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io, ui
from torch import Tensor

from ..host.inputs import checked
from ..host.people.photos import check_photos, to_image, to_pixels
from ..host.unet.lineage import runs_before
from ..host.unet.live_routing import move_live_routing
from ..host.unet.tap import taps_of
from ..host.unet.watch import add_record
from ..host.web.live_viewer import viewer_at
from ..uniportrait_core.errors import UniPortraitError
from ..uniportrait_core.faces.detection import Detector, find_faces
from ..uniportrait_core.results.drawing import draw_report
from ..uniportrait_core.results.routing_report import choose_steps, face_window, maps_of, report_picture
from ..uniportrait_core.routing.record import RoutingRecord
from . import sockets

SMALL_SHARE = 0.05

logger = logging.getLogger("uniportrait")


class UniPortraitRecordRouting(io.ComfyNode):
    """Give a model with people a record of its routing."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitRecordRouting",
            display_name="Record Routing",
            category=sockets.CATEGORY,
            description="Between Apply ID Router and a sampler: records which person each spot of the picture goes to, "
            "for Routing Map. The picture stays the same.",
            inputs=[io.Model.Input("model", tooltip="From Apply ID Router, or from a node after it.")],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The same model, for one sampler."),
                sockets.Routing.Output(
                    display_name="routing", tooltip="For Routing Map: what the last sampling recorded."
                ),
            ],
            hidden=[io.Hidden.unique_id],
            **sockets.aliases("uniportrait", "routing", "debug"),
        )

    @classmethod
    @checked()
    def execute(cls, model: ModelPatcher) -> io.NodeOutput:
        taps = taps_of(model)
        if not taps:
            raise UniPortraitError(
                "The model at Record Routing has no people whose routing could be recorded. Connect the model of Apply "
                "ID Router, with id_scale above 0."
            )
        counts = {tap.people for tap in taps}
        if len(counts) > 1:
            found = " and ".join(map(str, sorted(counts)))
            raise UniPortraitError(
                f"The model at Record Routing has passed several Apply ID Router with {found} people, needed are as "
                "many in each. Connect the same face_id to all of them."
            )
        record, recording = RoutingRecord(), model.clone()
        add_record(recording, record)
        move_live_routing(recording, viewer_at(cls.hidden))
        return io.NodeOutput(recording, record)


class UniPortraitRoutingMap(io.ComfyNode):
    """Show who has which part of a picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitRoutingMap",
            display_name="Routing Map",
            category=sockets.CATEGORY,
            description="Shows which person each part of a picture went to while it was sampled, and warns when "
            "somebody has so little that they will be missing.",
            inputs=[
                sockets.Routing.Input("routing", tooltip="From Record Routing, whose model made the picture."),
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
                sockets.Detector.Input(
                    "detector",
                    optional=True,
                    tooltip="From Face Detector: also tells whose each face of the picture is.",
                ),
                sockets.min_confidence(optional=True),
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
            **sockets.aliases("uniportrait", "routing", "heatmap", "who is where"),
        )

    @classmethod
    @checked()
    def execute(
        cls,
        routing: RoutingRecord,
        image: Tensor,
        steps: str,
        opacity: float,
        min_share: float,
        detector: Detector | None = None,
        min_confidence: float = 0.5,
    ) -> io.NodeOutput:
        check_photos(image)
        levels = maps_of(routing, len(image), runs_before("image"))
        groups = choose_steps(steps, len(levels))
        shown, masks, lines, missing = [], [], [], []
        for number, picture in enumerate(to_pixels(image)):
            maps = [torch.stack([levels[step][number] for step in group]).mean(dim=0) for group in groups]
            faces = find_faces(detector, picture, min_confidence) if detector else []
            masks.append(torch.stack(maps).mean(dim=0))
            report = report_picture(masks[-1], [face_window(face, picture) for face in faces], min_share)
            shown += [draw_report(picture, map_, faces, report, opacity) for map_ in maps]
            lines.append(f"Picture {number + 1}: {report.sentence}")
            missing.append(bool(report.missing))
            if report.missing:
                logger.warning("Routing Map: %s", lines[-1])
        pictures, text = to_image(shown), "\n".join(lines)
        preview = {**ui.PreviewImage(pictures).as_dict(), "text": (text,)}
        return io.NodeOutput(pictures, torch.cat(masks), text, missing, ui=preview)
