"""Joining, saving and loading people."""

import hashlib
from dataclasses import replace
from pathlib import Path

import folder_paths
from comfy_api.latest import io, ui

from ..uniportrait_core.errors import UniPortraitError
from ..uniportrait_core.identity import FaceID as People
from ..uniportrait_core.identity_file import load_face_id, save_face_id
from .folders import FACES, model_file, save_stem
from .sockets import CATEGORY, FaceID, aliases, keeps_pictures

SLOTS = 4


class MultiIDConditioning(io.ComfyNode):
    """Put people together in order."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MultiIDConditioning",
            display_name="Combine Face IDs",
            category=CATEGORY,
            description="Puts several people into one face_id. For more than four, chain a second node.",
            inputs=[
                FaceID.Input(
                    f"face_id_{i}",
                    optional=i > 1,
                    tooltip="A person from Encode Face ID, or several from another Combine Face IDs. Order does not "
                    "decide where a person appears: the router does, following the prompt.",
                )
                for i in range(1, SLOTS + 1)
            ],
            outputs=[FaceID.Output(display_name="face_id", tooltip="All people, in the order of the inputs.")],
            **aliases("multi id", "uniportrait", "combine faces"),
        )

    @classmethod
    def execute(
        cls,
        face_id_1: People,
        face_id_2: People = (),
        face_id_3: People = (),
        face_id_4: People = (),
        **further: People,
    ) -> io.NodeOutput:
        if further:
            raise UniPortraitError(
                f"Combine Face IDs has {SLOTS} inputs and was given {', '.join(further)} as well. "
                "Connect its output to face_id_1 of a second Combine Face IDs for more people."
            )
        return io.NodeOutput(face_id_1 + face_id_2 + face_id_3 + face_id_4)


class UniPortraitSaveFaceID(io.ComfyNode):
    """Write people to a file, so that they need not be encoded again."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitSaveFaceID",
            display_name="Save Face ID",
            category=CATEGORY,
            description="Saves people to output/uniportrait_faces, where Load Face ID finds them.",
            inputs=[
                FaceID.Input("face_id", tooltip="The people to save, one or several."),
                io.String.Input(
                    "filename_prefix",
                    default="face",
                    tooltip="Beginning of the file name; a number follows, so nothing is overwritten. name/name makes "
                    "a subfolder.",
                ),
                io.Boolean.Input(
                    "thumbnail",
                    default=True,
                    optional=True,
                    tooltip="Keep a small picture of each face in the file, which Load Face ID shows.",
                ),
            ],
            outputs=[],
            is_output_node=True,
            **aliases("save face", "uniportrait", "store identity"),
        )

    @classmethod
    def execute(cls, face_id: People, filename_prefix: str, thumbnail: bool = True) -> io.NodeOutput:
        stem = save_stem(filename_prefix)
        if not thumbnail:
            face_id = tuple(replace(person, thumbnail=None) for person in face_id)
        folder, name, counter, *_ = folder_paths.get_save_image_path(stem.name, str(stem.parent))
        path = stem.parent / f"{name}_{counter:05}_.safetensors"
        save_face_id(path, face_id)
        return io.NodeOutput(ui={**_portraits(face_id), "text": [f"Saved {len(face_id)} people to {path.name}"]})


class UniPortraitLoadFaceID(io.ComfyNode):
    """Read people from a file that Save Face ID wrote."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitLoadFaceID",
            display_name="Load Face ID",
            category=CATEGORY,
            description="Loads people that Save Face ID wrote, without photos, detector or CLIP.",
            inputs=[
                io.Combo.Input(
                    "face_id_file",
                    options=folder_paths.get_filename_list(FACES),
                    tooltip="A file of output/uniportrait_faces or models/uniportrait_faces.",
                )
            ],
            outputs=[FaceID.Output(display_name="face_id", tooltip="The people in the file, in their order.")],
            **keeps_pictures(),
            **aliases("load face", "uniportrait", "saved identity"),
        )

    @classmethod
    def execute(cls, face_id_file: str) -> io.NodeOutput:
        face_id = load_face_id(model_file(FACES, face_id_file, "face_id_file"))
        return io.NodeOutput(face_id, ui=_portraits(face_id))

    @classmethod
    def fingerprint_inputs(cls, face_id_file: str) -> str:
        """The file's content decides whether the node runs again."""
        path = folder_paths.get_full_path(FACES, face_id_file)
        return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else face_id_file


def _portraits(face_id: People) -> dict[str, list]:
    """The people whose face is kept, for the front end to show under a node."""
    thumbnails = [person.thumbnail.float() / 255 for person in face_id if person.thumbnail is not None]
    return ui.PreviewImage(thumbnails).as_dict() if thumbnails else {}
