"""FaceIDEncode: photos become a face_id."""

from comfy.clip_vision import ClipVisionModel
from comfy_api.latest import io, ui
from torch import Tensor

from ..host.inputs import checked
from ..host.models.clip_vision import check_clip
from ..host.models.weights import Weights
from ..host.people.encoder import encode_people
from ..host.people.photos import check_photos, find_crops
from ..host.people.shown_photos import show_faces
from ..uniportrait_core.embedding.face_features import to_crop_size
from ..uniportrait_core.faces.detection import MIN_CONFIDENCE, ORDERS, Detector
from . import sockets

ERROR, SKIP = "error", "skip photo"
ONE_PERSON, ONE_EACH = "photos of one person", "one person per photo"


class FaceIDEncode(io.ComfyNode):
    """Encode people from photos."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceIDEncode",
            display_name="Encode Face ID",
            category=sockets.CATEGORY,
            description="Turns photos of one person into a face_id, and shows the faces that were taken. Several "
            "photos make the likeness steadier.",
            inputs=[
                sockets.UniPortrait.Input("uniportrait", tooltip="From Load UniPortrait."),
                io.ClipVision.Input(
                    "clip_vision",
                    tooltip="CLIP ViT-H/14 (CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors); no other fits. Weights that "
                    "were trained without CLIP do not look at it.",
                ),
                io.Image.Input("image", tooltip="Photos of one person; a batch is several photos of the same person."),
                io.Float.Input(
                    "structure_scale",
                    default=0.1,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much of the face's shape, pose and lighting to keep besides who it is, 0 to 1. "
                    "Published: 0.1 for one person, 0.3 for several. Use the same value for people who go together.",
                ),
                sockets.Detector.Input(
                    "detector",
                    optional=True,
                    tooltip="From Face Detector: finds and aligns a face in each photo. Without it the images are "
                    "taken as aligned face crops of 224×224 pixels, such as those of Detect Faces.",
                ),
                io.Combo.Input(
                    "face",
                    options=list(ORDERS),
                    default="largest",
                    optional=True,
                    tooltip="With a detector: how the faces of a photo are numbered. largest is the published rule.",
                ),
                io.Int.Input(
                    "face_index",
                    default=0,
                    min=0,
                    max=99,
                    optional=True,
                    tooltip="With a detector: which face of each photo to take, counted from 0 in the order of face. "
                    "Detect Faces shows the numbers of a photo, if its order is the same.",
                ),
                io.Combo.Input(
                    "no_face",
                    options=[ERROR, SKIP],
                    default=ERROR,
                    optional=True,
                    tooltip="With a detector: what to do about a photo without such a face. Skipping all is an error.",
                ),
                sockets.min_confidence(optional=True),
                io.Combo.Input(
                    "batch",
                    options=[ONE_PERSON, ONE_EACH],
                    default=ONE_PERSON,
                    optional=True,
                    tooltip="What a batch of images means. One person per photo makes a face_id with as many people, "
                    "for example from the crops of a group photo.",
                ),
            ],
            outputs=[
                sockets.FaceID.Output(display_name="face_id", tooltip="The person or people, for Apply ID Router."),
                io.Image.Output(display_name="crops", tooltip="What the model saw: aligned faces, 224×224 pixels."),
            ],
            **sockets.keeps_pictures(),
            **sockets.aliases("uniportrait", "face embedding", "identity"),
        )

    @classmethod
    @checked()
    def execute(
        cls,
        uniportrait: Weights,
        clip_vision: ClipVisionModel,
        image: Tensor,
        structure_scale: float,
        detector: Detector | None = None,
        face: str = "largest",
        face_index: int = 0,
        no_face: str = ERROR,
        min_confidence: float = MIN_CONFIDENCE,
        batch: str = ONE_PERSON,
    ) -> io.NodeOutput:
        encoder = uniportrait.face_encoder("Encode Face ID")
        check_clip(clip_vision, encoder.clip_dim)
        check_photos(image)
        if detector:
            crops, found = find_crops(detector, image, face, face_index, no_face == SKIP, min_confidence)
        else:
            crops, found = to_crop_size(image), []
        people = [crops] if batch == ONE_PERSON else crops.split(1)
        face_id = encode_people(encoder, clip_vision, people, structure_scale)
        faces = show_faces(image, found, face, min_confidence, face_index)
        return io.NodeOutput(face_id, crops, ui=ui.PreviewImage(crops).as_dict() | faces)
