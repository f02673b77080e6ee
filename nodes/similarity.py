"""UniPortraitFaceSimilarity: how much the faces of pictures look like the people who should be in them."""

import comfy.model_management
import comfy.utils
import numpy as np
import torch
import torch.nn.functional as F
from comfy_api.latest import io, ui
from torch import Tensor

from ..uniportrait_core.alignment import align
from ..uniportrait_core.drawing import draw_faces
from ..uniportrait_core.embedding import CROP_SIZE, look_at_faces
from ..uniportrait_core.errors import UniPortraitError
from ..uniportrait_core.faces import Detector as FindFaces
from ..uniportrait_core.faces import Face, find_faces
from ..uniportrait_core.identity import FaceID as People
from ..uniportrait_core.similarity import Likeness, judge
from .encoder import CHUNK
from .photos import check_photos, to_image, to_pixels
from .sockets import CATEGORY, Detector, FaceID, UniPortrait, aliases, min_confidence
from .weights import Weights

SAME_PERSON = 0.4


class UniPortraitFaceSimilarity(io.ComfyNode):
    """Score the likeness of generated faces."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitFaceSimilarity",
            display_name="Face Similarity",
            category=CATEGORY,
            description="Measures how much the faces in pictures look like the people of a face_id. The face network "
            "that measures also conditions the model, so the numbers flatter.",
            inputs=[
                UniPortrait.Input("uniportrait", tooltip="From Load UniPortrait, the weights of face_id."),
                Detector.Input("detector", tooltip="From Face Detector."),
                io.Image.Input("image", tooltip="The pictures to judge, one or a batch."),
                FaceID.Input("face_id", tooltip="The people who should be in each picture."),
                min_confidence(),
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
                    tooltip="Per picture the lowest score of its people: the paper's score for several people.",
                ),
                io.Boolean.Output(
                    display_name="person_twice",
                    is_output_list=True,
                    tooltip="Per picture, whether somebody is on two faces or more.",
                ),
                io.String.Output(display_name="report", tooltip="All of it in words; connect PreviewAny."),
            ],
            is_output_node=True,
            **aliases("uniportrait", "likeness", "face score", "compare faces"),
        )

    @classmethod
    def execute(
        cls,
        uniportrait: Weights,
        detector: FindFaces,
        image: Tensor,
        face_id: People,
        min_confidence: float,
        threshold: float,
    ) -> io.NodeOutput:
        check_photos(image)
        people = _embeddings(face_id, uniportrait)
        comfy.model_management.load_models_gpu([uniportrait.backbone])
        drawn, results, progress = [], [], comfy.utils.ProgressBar(len(image))
        for picture in to_pixels(image):
            faces = find_faces(detector, picture, min_confidence)
            results.append(judge(_embed(uniportrait, picture, faces), people, threshold))
            drawn.append(_draw(picture, faces, results[-1]))
            progress.update(1)
        shown = to_image(drawn)
        scores = [score for result in results for score in result.scores]
        lowest, twice = [result.lowest for result in results], [bool(result.twice) for result in results]
        report = "\n".join(_sentence(number, result) for number, result in enumerate(results, start=1))
        preview = {**ui.PreviewImage(shown).as_dict(), "text": (report,)}
        return io.NodeOutput(shown, scores, lowest, twice, report, ui=preview)


def _embeddings(face_id: People, weights: Weights) -> Tensor:
    dim = weights.backbone.model.embedding_dim
    for number, person in enumerate(face_id, start=1):
        if person.embedding is None or person.embedding.shape != (dim,):
            found = "no face embedding" if person.embedding is None else f"one of {len(person.embedding)} numbers"
            raise UniPortraitError(
                f"Person {number} of {len(face_id)} has {found}, needed is one of {dim} numbers. Encode the photos "
                "again with the weights at Face Similarity."
            )
    return torch.stack([person.embedding for person in face_id])


def _embed(weights: Weights, picture: np.ndarray, faces: list[Face]) -> Tensor:
    """Embeddings of the faces of a picture, of length 1, (faces, dim)."""
    if not faces:
        return torch.zeros(0, weights.backbone.model.embedding_dim)
    crops = to_image([align(picture, face.landmarks, CROP_SIZE) for face in faces])
    device = weights.backbone.load_device
    parts = (look_at_faces(weights.backbone.model, chunk.to(device))[0].cpu() for chunk in crops.split(CHUNK))
    return F.normalize(torch.cat(list(parts)), dim=-1)


def _draw(picture: np.ndarray, faces: list[Face], result: Likeness) -> np.ndarray:
    owners = {face: person for person, face in enumerate(result.faces) if face is not None}
    labels = [_label(owners.get(face), shown, result) for face, shown in enumerate(result.shown)]
    return draw_faces(picture, faces, labels, [owners.get(face, len(result.faces)) for face in range(len(faces))])


def _label(owner: int | None, shown: int | None, result: Likeness) -> str:
    """Whose face it is, and whose it looks like if that is somebody else."""
    again = "" if shown in (None, owner) else f"person {shown + 1} again"
    if owner is None:
        return again or "nobody"
    return f"person {owner + 1}: {result.scores[owner]:.2f}" + (f", {again}" if again else "")


def _sentence(number: int, result: Likeness) -> str:
    people = []
    for person, (face, score) in enumerate(zip(result.faces, result.scores, strict=True)):
        twice = " (on two faces)" if person in result.twice else ""
        people.append(f"person {person + 1} {'not found' if face is None else f'{score:.2f}'}{twice}")
    return f"Picture {number}: {', '.join(people)}; lowest {result.lowest:.2f}"
