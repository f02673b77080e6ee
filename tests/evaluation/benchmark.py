"""Protocol files and folders of pictures for tests."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import painted

WORKFLOW = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}, "_meta": {"title": "Photo"}},
    "2": {"class_type": "Describe", "inputs": {"text": ""}, "_meta": {"title": "Prompt"}},
    "3": {"class_type": "Draw", "inputs": {"seed": 0, "scale": 1.0, "photo": ["1", 0], "text": ["2", 0]}},
    "4": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["3", 0]}},
}
PLACES = 'photos = ["Photo.image"]\nprompt = "Prompt.text"\nseed = "3.seed"\n'


def write_protocol(
    folder: Path,
    people: Mapping[str, int],
    prompts: str = "# style\na drawing of a {person}\n# action\na {person} who sings\n",
    size: int = 1,
    pictures: int = 2,
    more: str = "",
) -> Path:
    """A protocol file with everything that it names.

    Args:
        people: names of `painted.PEOPLE`, with the number of their photos.
        prompts: the prompt list.
        size: people in a picture.
        pictures: per prompt.
        more: lines before the first table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for name, count in people.items():
        photos = [f"{name}{number}.png" for number in range(count)]
        for photo in photos:
            painted.save(folder / "photos" / photo, [painted.PEOPLE[name]])
        entries.append(f'{{ name = "{name}", noun = "man", photos = {photos} }}')
    (folder / "prompts.txt").write_text(prompts, "utf-8")
    (folder / "workflow.json").write_text(json.dumps(WORKFLOW))
    file = folder / "protocol.toml"
    file.write_text(
        f'name = "test"\npeople_per_picture = {size}\npictures_per_prompt = {pictures}\nprompts = "prompts.txt"\n'
        f'output = "made"\n{more}\n[references]\nfolder = "photos"\npeople = [{", ".join(entries)}]\n'
        f'[workflow]\nfile = "workflow.json"\n{PLACES}'
    )
    return file


def write_models(folder: Path, **models: str) -> Path:
    """A models file: painted people, and whatever else is wanted."""
    folder.mkdir(parents=True, exist_ok=True)
    both = {"detector": "painted.load_detector", "recogniser": "painted.load_recogniser", **models}
    file = folder / "models.toml"
    file.write_text("".join(f"{part} = {json.dumps(spec)}\n" for part, spec in both.items()))
    return file


def name_of(case: int, prompt: int, instance: int, ending: str = "png") -> str:
    """FastComposer's file name."""
    return f"subject_{case:04d}_prompt_{prompt:04d}_instance_{instance:04d}.{ending}"


def write_pictures(folder: Path, pictures: Mapping[tuple[int, int, int], Sequence[str]]) -> Path:
    """Pictures by case, prompt and instance, of the people named."""
    for place, names in pictures.items():
        painted.save(folder / name_of(*place), [painted.PEOPLE[name] for name in names])
    return folder
