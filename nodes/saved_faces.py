"""Saving and loading people."""

from dataclasses import replace
from pathlib import Path

import folder_paths
from comfy_api.latest import io, ui

from ..host.inputs import checked
from ..host.models.folders import FACES, content_hash, faces_output_folder, model_file, save_stem
from ..uniportrait_core.embedding.identity import FaceID
from ..uniportrait_core.files.identity_file import load_face_id, save_face_id
from . import sockets


class UniPortraitSaveFaceID(io.ComfyNode):
    """Write people to a file, so that they need not be encoded again."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitSaveFaceID",
            display_name="Save Face ID",
            category=sockets.CATEGORY,
            description="Saves people to output/uniportrait_faces, where Load Face ID finds them.",
            inputs=[
                sockets.FaceID.Input("face_id", tooltip="The people to save, one or several."),
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
            **sockets.aliases("save face", "uniportrait", "store identity"),
        )

    @classmethod
    @checked()
    def execute(cls, face_id: FaceID, filename_prefix: str, thumbnail: bool = True) -> io.NodeOutput:
        stem = save_stem(filename_prefix)
        if not thumbnail:
            face_id = tuple(replace(person, thumbnail=None) for person in face_id)
        folder, name, counter, *_ = folder_paths.get_save_image_path(stem.name, str(stem.parent))
        path = stem.parent / f"{name}_{counter:05}_.safetensors"
        save_face_id(path, face_id)
        file = str(path.relative_to(faces_output_folder().resolve()))  # as the front end's list of people names it
        text = f"Saved {len(face_id)} people to {path.name}"
        return io.NodeOutput(ui={**_portraits(face_id), "text": [text], "saved_people": [file]})


class UniPortraitLoadFaceID(io.ComfyNode):
    """Read people from a file that Save Face ID wrote."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitLoadFaceID",
            display_name="Load Face ID",
            category=sockets.CATEGORY,
            description="Loads people that Save Face ID wrote, without photos, detector or CLIP.",
            inputs=[
                io.Combo.Input(
                    "face_id_file",
                    options=folder_paths.get_filename_list(FACES),
                    tooltip="A file of output/uniportrait_faces or models/uniportrait_faces.",
                )
            ],
            outputs=[sockets.FaceID.Output(display_name="face_id", tooltip="The people in the file, in their order.")],
            **sockets.keeps_pictures(),
            **sockets.aliases("load face", "uniportrait", "saved identity"),
        )

    @classmethod
    @checked("face_id_file")
    def execute(cls, face_id_file: str) -> io.NodeOutput:
        face_id = load_face_id(model_file(FACES, face_id_file, "face_id_file"))
        return io.NodeOutput(face_id, ui=_portraits(face_id))

    @classmethod
    def fingerprint_inputs(cls, face_id_file: str) -> str:
        """The file's content decides whether the node runs again."""
        path = folder_paths.get_full_path(FACES, face_id_file)
        return content_hash(Path(path)) if path else face_id_file


def _portraits(face_id: FaceID) -> dict[str, list]:
    """The people whose face is kept, for the front end to show under a node."""
    thumbnails = [person.thumbnail.float() / 255 for person in face_id if person.thumbnail is not None]
    return ui.PreviewImage(thumbnails).as_dict() if thumbnails else {}
