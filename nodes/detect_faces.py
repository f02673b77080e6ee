"""UniPortraitDetectFaces: all faces of a photo, drawn on it, as crops and as masks."""

import comfy.utils
import numpy as np
import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..host.inputs import checked
from ..host.people.photos import check_photos, crop_faces, no_face, to_image, to_pixels
from ..host.people.shown_photos import show_faces
from ..uniportrait_core.faces.detection import ORDERS, Detector, face_mask, find_faces, order_faces
from ..uniportrait_core.results.drawing import draw_faces
from . import sockets


class UniPortraitDetectFaces(io.ComfyNode):
    """Show every face of a photo, and hand each out as an aligned crop."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitDetectFaces",
            display_name="Detect Faces",
            category=sockets.CATEGORY,
            description="Finds all faces of a photo, draws them with their numbers, and gives each as an aligned crop "
            "and as a mask: a group photo becomes several people.",
            inputs=[
                sockets.Detector.Input("detector", tooltip="From Face Detector."),
                io.Image.Input("image", tooltip="A photo, or several as a batch."),
                io.Combo.Input(
                    "order",
                    options=list(ORDERS),
                    default="left to right",
                    tooltip="How the faces of a photo are numbered, from 0. In a batch the count goes on from photo to "
                    "photo.",
                ),
                sockets.min_confidence(),
                io.Float.Input(
                    "mask_grow",
                    default=0.2,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    optional=True,
                    tooltip="How much further than a face's box its mask reaches on every side, 0 to 2, in shares of "
                    "the box; 0.2 makes it 1.4 times as wide and tall.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="image", tooltip="The photos with boxes, landmarks, numbers and confidences."
                ),
                io.Image.Output(
                    display_name="crops",
                    tooltip="Every face, aligned, 224×224 pixels, in the order of the numbers. For Encode Face ID "
                    "without a detector: all of them with batch set to one person per photo, or a single one through "
                    "ImageFromBatch, whose batch_index is the face's number.",
                ),
                io.Mask.Output(
                    display_name="masks",
                    tooltip="An ellipse around every face, in the order of the numbers, in the photo's size: one for "
                    "inpainting, or all for Adjust Face ID.",
                ),
            ],
            is_output_node=True,
            **sockets.aliases("uniportrait", "find faces", "group photo", "crop faces"),
        )

    @classmethod
    @checked()
    def execute(
        cls, detector: Detector, image: Tensor, order: str, min_confidence: float, mask_grow: float = 0.2
    ) -> io.NodeOutput:
        check_photos(image)
        drawn, found, crops, masks, progress = [], [], [], [], comfy.utils.ProgressBar(len(image))
        for photo in to_pixels(image):
            found.append(find_faces(detector, photo, min_confidence))
            faces = order_faces(found[-1], order)
            numbers = range(len(crops), len(crops) + len(faces))
            labels = [f"{number}: {face.confidence:.2f}" for number, face in zip(numbers, faces, strict=True)]
            drawn.append(draw_faces(photo, faces, labels, numbers))
            crops += [crop_faces(photo, [face]) for face in faces]
            masks += [face_mask(face, photo.shape[:2], mask_grow) for face in faces]
            progress.update(1)
        if not crops:
            raise no_face(f"any of {len(image)} photos", image.shape[1:], "Detect Faces")
        shown = to_image(drawn)
        masks = torch.from_numpy(np.stack(masks))
        faces = show_faces(image, found, order, min_confidence)
        return io.NodeOutput(shown, torch.cat(crops), masks, ui=ui.PreviewImage(shown).as_dict() | faces)
