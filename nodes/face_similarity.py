"""UniPortraitFaceSimilarity: how much the faces of pictures look like the people who should be in them."""

import comfy.utils
from comfy_api.latest import io, ui
from torch import Tensor

from ..host.inputs import checked
from ..host.models.weights import Weights
from ..host.people.encoder import embed_faces, embeddings_of
from ..host.people.photos import check_photos, to_image, to_pixels
from ..uniportrait_core.embedding.identity import FaceID
from ..uniportrait_core.faces.detection import Detector, find_faces
from ..uniportrait_core.results.drawing import draw_likeness
from ..uniportrait_core.results.likeness import judge
from . import sockets

SAME_PERSON = 0.4


class UniPortraitFaceSimilarity(io.ComfyNode):
    """Score the likeness of generated faces."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitFaceSimilarity",
            display_name="Face Similarity",
            category=sockets.CATEGORY,
            description="Measures how much the faces in pictures look like the people of a face_id. The face network "
            "that measures also conditions the model, so the numbers flatter.",
            inputs=[
                sockets.UniPortrait.Input("uniportrait", tooltip="From Load UniPortrait, the weights of face_id."),
                sockets.Detector.Input("detector", tooltip="From Face Detector."),
                io.Image.Input("image", tooltip="The pictures to judge, one or a batch."),
                sockets.FaceID.Input("face_id", tooltip="The people who should be in each picture."),
                sockets.min_confidence(),
                io.Float.Input(
                    "threshold",
                    default=SAME_PERSON,
                    min=-1.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Similarity, -1 to 1, from which a face counts as the person it is closest to, when people "
                    "who are on two faces are looked for.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The pictures with every face's person and score."),
                io.Float.Output(
                    display_name="scores",
                    is_output_list=True,
                    tooltip="Cosine similarity, -1 to 1, of each person to their face, picture after picture; 0 for a "
                    "person without a face.",
                ),
                io.Float.Output(
                    display_name="lowest",
                    is_output_list=True,
                    tooltip="Per picture the lowest score of its people: the paper's Face Sim, which is never below 0.",
                ),
                io.Boolean.Output(
                    display_name="person_twice",
                    is_output_list=True,
                    tooltip="Per picture, whether somebody is on two faces or more.",
                ),
                io.String.Output(display_name="report", tooltip="All of it in words; connect PreviewAny."),
            ],
            is_output_node=True,
            **sockets.aliases("uniportrait", "likeness", "face score", "compare faces"),
        )

    @classmethod
    @checked()
    def execute(
        cls,
        uniportrait: Weights,
        detector: Detector,
        image: Tensor,
        face_id: FaceID,
        min_confidence: float,
        threshold: float,
    ) -> io.NodeOutput:
        check_photos(image)
        encoder = uniportrait.face_encoder("Face Similarity")
        people = embeddings_of(face_id, encoder)
        drawn, results, progress = [], [], comfy.utils.ProgressBar(len(image))
        for picture in to_pixels(image):
            faces = find_faces(detector, picture, min_confidence)
            results.append(judge(embed_faces(encoder, picture, faces), people, threshold))
            drawn.append(draw_likeness(picture, faces, results[-1]))
            progress.update(1)
        shown = to_image(drawn)
        scores = [score for result in results for score in result.scores]
        lowest, twice = [result.lowest for result in results], [bool(result.twice) for result in results]
        report = "\n".join(f"Picture {number}: {result.sentence}" for number, result in enumerate(results, start=1))
        preview = {**ui.PreviewImage(shown).as_dict(), "text": (report,)}
        return io.NodeOutput(shown, scores, lowest, twice, report, ui=preview)
