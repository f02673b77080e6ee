"""`python -m evaluation generate` on two real servers: killed five times, and one of the servers ended in the middle.

In the newest ComfyUI only: of the host it uses nothing but its HTTP API.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from comfy_server import ComfyClient, comfy_server
from servers import standin_models
from standins.known_faces import photo

ROOT = Path(__file__).parents[2]
OLDEST = "0.3.64"
CHECKPOINT = "Realistic_Vision_V5.1_fp16-no-ema.safetensors"
SIDE = 64
PEOPLE, PROMPTS, PICTURES = ("astronaut", "group", "mirrored"), ("a {person}", "two of a {person}"), 4
COUNT = len(PEOPLE) * len(PROMPTS) * PICTURES
NAME = "subject_{:04d}_prompt_{:04d}_instance_{:04d}"


def node(class_type: str, title: str = "", **inputs: object) -> dict:
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title or class_type}}


# Photo, prompt and seed each change the picture.
WORKFLOW = {
    "1": node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
    "2": node("LoadImage", "Photo", image="x.png"),
    "3": node("VAEEncode", pixels=["2", 0], vae=["1", 2]),
    "4": node("CLIPTextEncode", "Prompt", text="", clip=["1", 1]),
    "5": node("CLIPTextEncode", "Negative", text="blurry", clip=["1", 1]),
    "6": node(
        "KSampler", seed=0, steps=1, cfg=4.0, sampler_name="euler", scheduler="normal", denoise=0.7,
        model=["1", 0], positive=["4", 0], negative=["5", 0], latent_image=["3", 0],
    ),
    "7": node("VAEDecode", samples=["6", 0], vae=["1", 2]),
    "8": node("SaveImage", filename_prefix="x", images=["7", 0]),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def newest() -> None:
    from comfyui_version import __version__

    if __version__ == OLDEST:
        pytest.skip("one ComfyUI is enough")


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[ComfyClient, ComfyClient, ExitStack]]:
    """Two servers, and what ends the second."""
    host, models = Path(os.environ["COMFYUI_PATH"]), standin_models()
    with ExitStack() as stack, ExitStack() as mortal, ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda end: end.enter_context(comfy_server(host, models)), (stack, mortal))
        yield first, second, mortal


@pytest.fixture(scope="module")
def protocol(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("protocol")
    pictures = {"astronaut": photo("astronaut"), "group": photo("group"), "mirrored": photo("astronaut")[:, ::-1]}
    for name, picture in pictures.items():
        Image.fromarray(np.ascontiguousarray(picture)).resize((SIDE, SIDE)).save(folder / f"{name}.png")
    (folder / "prompts.txt").write_text("\n".join(PROMPTS))
    (folder / "workflow.json").write_text(json.dumps(WORKFLOW))
    file = folder / "protocol.toml"
    file.write_text(
        f'prompts = "prompts.txt"\npictures_per_prompt = {PICTURES}\n[references]\nfolder = "."\n'
        f"people = [{', '.join(f'{{ name = {name!r} }}' for name in PEOPLE)}]\n[workflow]\nfile = 'workflow.json'\n"
        "photos = ['Photo.image']\nprompt = 'Prompt.text'\nseed = 'KSampler.seed'\n"
    )
    return file


def test_no_picture_is_lost_doubled_or_somebody_elses(servers, protocol, tmp_path):
    first, second, mortal = servers
    command = [sys.executable, "-m", "evaluation", "generate", str(protocol), "--output", str(tmp_path)]
    command += ["--servers", first.url, second.url]

    def start() -> subprocess.Popen:
        return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)

    def wait_for(count: int, process: subprocess.Popen) -> None:
        while len(list(tmp_path.glob("subject*.png"))) < count and process.poll() is None:
            time.sleep(0.01)
        assert process.poll() is None, process.stderr.read()

    for kill in range(1, 6):
        process = start()
        wait_for(3 * kill, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    process = start()
    wait_for(COUNT - 6, process)
    mortal.close()
    _, said = process.communicate(timeout=100)
    assert process.returncode == 0, said

    records = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert len(records) == COUNT and len({record["file"] for record in records}) == COUNT
    stems = [NAME.format(c, p, i) for c in range(3) for p in range(2) for i in range(PICTURES)]
    assert sorted(file.stem for file in tmp_path.glob("subject*")) == stems
    assert {record["server"] for record in records} == {first.url, second.url}
    for record in records:
        case, prompt, _ = (record[key] for key in ("case", "prompt_number", "instance"))
        assert record["people"] == [PEOPLE[case]] and record["prompt"] == PROMPTS[prompt].format(person="person")
        picture = Image.open(tmp_path / record["file"])
        made_from = json.loads(picture.text["prompt"])  # ComfyUI writes it into every picture that it saves
        assert made_from["6"]["inputs"]["seed"] == record["seed"]
        assert made_from["4"]["inputs"]["text"] == record["prompt"]
        reference = tmp_path / record["references"][0][0]
        assert made_from["2"]["inputs"]["image"] == reference.name
        assert reference.read_bytes() == (protocol.parent / f"{PEOPLE[case]}.png").read_bytes()

    # Drawn anew by one server and in another order, pictures of either server are the same.
    for record in (next(r for r in records if r["server"] == server.url) for server in (second, first)):
        made_from = json.loads(Image.open(tmp_path / record["file"]).text["prompt"])
        made_from["8"]["inputs"]["filename_prefix"] = "again"
        (again,) = first.images(first.run(made_from))
        difference = np.asarray(again).astype(int) - np.asarray(Image.open(tmp_path / record["file"]))
        assert np.abs(difference).max() <= 1
    different = {np.asarray(Image.open(file)).tobytes() for file in tmp_path.glob("subject*")}
    assert len(different) == COUNT, "photo, prompt and seed show"


def test_the_packs_own_workflow(servers, tmp_path):
    """Two people, with the protocol that is here, at a small size."""
    for name in ("astronaut", "group"):
        Image.fromarray(photo(name)).save(tmp_path / f"{name}.png")
    (tmp_path / "prompts.txt").write_text("{people} on a bench")
    base = ROOT / "evaluation" / "protocols" / "uniportrait_two_people.toml"
    file = tmp_path / "protocol.toml"
    file.write_text(
        f"extends = '{base.as_posix()}'\nprompts = 'prompts.txt'\npictures_per_prompt = 1\noutput = 'made'\n"
        f"servers = ['{servers[0].url}']\n[references]\nfolder = '.'\n"
        "people = [{ name = 'astronaut', noun = 'woman' }, { name = 'group', noun = 'man' }]\n[workflow.set]\n"
        f"'Empty Latent Image.width' = {SIDE}\n'Empty Latent Image.height' = {SIDE}\n'KSampler.steps' = 1\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "evaluation", "generate", str(file)], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    picture = Image.open(tmp_path / "made" / f"{NAME.format(0, 0, 0)}.png")
    assert picture.size == (SIDE, SIDE) and "a woman and a man on a bench" in picture.text["prompt"]
