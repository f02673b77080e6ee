"""A real server in the long run: nothing grows, and nothing is left of a sampling that ended early.

Environment:
    COMFYUI_PATH: folder of the ComfyUI to test in.
    UNIPORTRAIT_STANDINS: models folder that `tests/standins/build.py` wrote.
    UNIPORTRAIT_SOAK_RUNS: how often to sample in the long run; 12 where it is not set, 300 for a soak.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from comfy_server import ComfyClient, Event, ExecutionFailedError, comfy_server
from servers import standin_models
from standins.detector import FACES, photo
from workflow_prompts import Prompt, add_picture

pytestmark = pytest.mark.slow

RUNS = int(os.environ.get("UNIPORTRAIT_SOAK_RUNS", "12"))
RUNS_PER_FACE = 4  # encoding a face takes longer than sampling
STRUCTURE_SCALES = (0.1, 0.3)
CROPS = [(name, face.box[:2]) for name, faces in FACES.items() for face in faces]
CROP_SIDE = 110  # pixels of the photo
PROBE = Path(__file__).with_name("probe_pack")
LONG = 100  # steps, of a sampling that is to be interrupted

Counts = dict[str, int]

NOTHING: Counts = {"held": 0, "altered": 0, "plain_wrappers": 0, "taps": 1}
"""What is left of a sampling: the only tap is the one that was looked into, and it holds nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[ComfyClient]:
    """A server with stand-in weights and the probe."""
    # Newer hosts keep old results as long as there is memory; that is no leak, but looks like one.
    arguments = ["--cache-classic"]
    # So little work gains nothing from threads, which on a busy machine wait for each other most of the time.
    environment = {"OMP_NUM_THREADS": "1"}
    with comfy_server(
        Path(os.environ["COMFYUI_PATH"]), standin_models(), arguments, environment, packs=[PROBE]
    ) as running:
        yield running


@pytest.fixture(scope="module")
def saved(server: ComfyClient) -> dict[float, str]:
    """Files of Load Face ID by the structure scale of the person in them."""
    # Mirrored, so that it is no other crop: people who are one and the same need no router.
    add_picture(server, "saved.png", ImageOps.mirror(crop(0)))
    for scale in STRUCTURE_SCALES:
        prompt = loaders() | encoder("saved.png", scale)
        server.run(prompt | {"save": node("UniPortraitSaveFaceID", face_id=["face", 0], filename_prefix=f"{scale}")})
    return {scale: f"{scale}_00001_.safetensors" for scale in STRUCTURE_SCALES}


@pytest.fixture(scope="module", autouse=True)
def fresh(server: ComfyClient, saved: dict[float, str]) -> np.ndarray:
    """The picture of `usual(saved)` that the server makes before anything else."""
    add_picture(server, "face0.png", crop(0))
    return picture(server, usual(saved))


# The graph


def node(class_type: str, **inputs: object) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def loaders() -> Prompt:
    return {
        "checkpoint": node("CheckpointLoaderSimple", ckpt_name="Realistic_Vision_V5.1_fp16-no-ema.safetensors"),
        "uniportrait": node(
            "LoadUniPortrait",
            faceid="uniportrait-faceid_sd15.bin",
            router="uniportrait-router_sd15.bin",
            face_backbone="glint360k_curricular_face_r101_backbone.bin",
        ),
        "clip": node("CLIPVisionLoader", clip_name="CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors"),
    }


def encoder(crop_name: str, structure_scale: float) -> Prompt:
    return {
        "crop": node("LoadImage", image=crop_name),
        "face": node(
            "FaceIDEncode",
            uniportrait=["uniportrait", 0],
            clip_vision=["clip", 0],
            image=["crop", 0],
            structure_scale=structure_scale,
        ),
    }


def graph(saved: dict[float, str], number: int, seed: int, steps: int = 2) -> Prompt:
    """Two people in a small picture; every number has other settings, every few another face."""
    face = number // RUNS_PER_FACE
    scale = STRUCTURE_SCALES[face % 2]
    people = {
        "other": node("UniPortraitLoadFaceID", face_id_file=saved[scale]),
        "mixed": node(
            "UniPortraitMixFaceID", face_id_a=["other", 0], face_id_b=["face", 0], weight_b=number % 9 / 10, series=1
        ),
        "adjusted": node("UniPortraitAdjustFaceID", face_id=["face", 0], weight=1 + number % 4 / 10),
        "both": node("MultiIDConditioning", face_id_1=["adjusted", 0], face_id_2=["mixed", 0]),
        "people": node(
            "IDRouterApply",
            model=["checkpoint", 0],
            uniportrait=["uniportrait", 0],
            face_id=["both", 0],
            id_scale=0.5 + number % 5 / 10,
            lora_scale=0.6 + number % 3 / 5,
            start_percent=0.0,
            end_percent=1.0,
        ),
    }
    sampling = {
        "prompt": node("CLIPTextEncode", clip=["checkpoint", 1], text="two people"),
        "negative": node("CLIPTextEncode", clip=["checkpoint", 1], text=""),
        "empty": node("EmptyLatentImage", width=128, height=128, batch_size=1),
        "sample": node(
            "KSampler",
            model=["people", 0],
            positive=["prompt", 0],
            negative=["negative", 0],
            latent_image=["empty", 0],
            seed=seed,
            steps=steps,
            cfg=7.5,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
        ),
        "decode": node("VAEDecode", samples=["sample", 0], vae=["checkpoint", 2]),
        "picture": node("PreviewImage", images=["decode", 0]),
    }
    return loaders() | encoder(f"face{face}.png", scale) | people | sampling


def usual(saved: dict[float, str]) -> Prompt:
    """What is sampled before and after something goes wrong."""
    return graph(saved, number=0, seed=7)


def crop(number: int) -> Image.Image:
    """Another part of the photos for every number, with a face in it."""
    name, (left, top) = CROPS[number % len(CROPS)]
    shift = number // len(CROPS) % 20
    box = (left + shift, top + shift, left + shift + CROP_SIDE, top + shift + CROP_SIDE)
    return Image.fromarray(photo(name)).resize((224, 224), box=box)


# Running and counting


def picture(server: ComfyClient, prompt: Prompt) -> np.ndarray:
    """What the prompt draws, (height, width, 3) uint8, sampled now and not taken from the server's cache."""
    ran = [(event.kind, event.node, event.output) for event in server.events(prompt)]
    assert ("executing", "sample") in [about[:2] for about in ran]
    return shown(server, {node: output for kind, node, output in ran if kind == "executed"})


def shown(server: ComfyClient, outputs: dict[str, dict[str, Any]]) -> np.ndarray:
    (image,) = server.images({"picture": outputs["picture"]})
    return np.asarray(image.convert("RGB"))


def count(server: ComfyClient, prompt: Prompt) -> Counts:
    """What lives in the server after `prompt` has run or failed, while its people and their tap are still cached."""
    sampling = ("prompt", "negative", "empty", "sample", "decode", "picture", "failing")
    kept = {name: about for name, about in prompt.items() if name not in sampling}
    probe = node("ProbeCount", plain=["checkpoint", 0], patched=["people", 0])
    cached, counts = set(), {}
    for event in server.events(kept | {"probe": probe}):
        if event.kind == "execution_cached":
            cached = set(event.data["nodes"])
        elif event.kind == "executed" and event.node == "probe":
            (counts,) = event.output["counts"]
        elif event.kind == "execution_error":
            raise ExecutionFailedError(event)
    assert cached == set(kept), "something was made anew instead of being looked at"
    return counts


def left(counts: Counts) -> Counts:
    return {name: counts[name] for name in NOTHING}


# The long run


def test_nothing_grows(server: ComfyClient, saved: dict[float, str], fresh: np.ndarray) -> None:
    measured = []
    log = logging.getLogger("endurance")
    log.info("%5s %9s %8s %9s %6s", "run", "RSS MB", "tensors", "MB", "s")
    for number in range(RUNS):
        if number % RUNS_PER_FACE == 0:
            face = number // RUNS_PER_FACE
            add_picture(server, f"face{face}.png", crop(face))
        prompt, start = graph(saved, number, seed=number), time.perf_counter()
        picture(server, prompt)
        counts = count(server, prompt)
        measured.append(counts)
        numbers = counts["rss"] / 1e6, counts["tensors"], counts["tensor_bytes"] / 1e6, time.perf_counter() - start
        log.info("%5d %9.1f %8d %9.3f %6.2f", number, *numbers)
    warm = measured[RUNS // 4 :]
    assert list(map(left, warm)) == [NOTHING] * len(warm)
    assert list(map(exact, warm)) == [exact(warm[0])] * len(warm)
    first, last = (median(c["rss"] for c in part) for part in (warm[: RUNS // 4], warm[-(RUNS // 4) :]))
    assert last == pytest.approx(first, rel=0.02)
    assert np.array_equal(picture(server, usual(saved)), fresh)


# Sampling that ends early


def test_a_queued_prompt_runs_after_an_interrupted_one(
    server: ComfyClient, saved: dict[float, str], fresh: np.ndarray
) -> None:
    """With people and settings of its own, it still draws what it draws on a server that has just started."""
    queued = None
    for event in server.events(graph(saved, number=1, seed=1, steps=LONG)):
        if is_first_step(event):
            queued = server.submit(usual(saved))
            server.interrupt()
    assert event.kind == "execution_interrupted"
    assert np.array_equal(shown(server, outputs_of(server, queued)), fresh)
    assert left(count(server, usual(saved))) == NOTHING


def test_nothing_is_left_of_an_interrupted_prompt(
    server: ComfyClient, saved: dict[float, str], fresh: np.ndarray
) -> None:
    before = count_after_success(server, saved, fresh)
    long = graph(saved, number=0, seed=8, steps=LONG)
    for event in server.events(long):
        if is_first_step(event):
            server.interrupt()
    assert event.kind == "execution_interrupted"
    assert exact(count(server, long)) == before
    assert np.array_equal(picture(server, usual(saved)), fresh)


@pytest.mark.parametrize(
    ("place", "layers"), [("between calls", "free"), ("inside the tap", "taken"), ("in an attention", "taken")]
)
def test_nothing_is_left_of_a_prompt_that_fails(
    server: ComfyClient, saved: dict[float, str], fresh: np.ndarray, place: str, layers: str
) -> None:
    before = count_after_success(server, saved, fresh)
    failing = graph(saved, number=0, seed=9, steps=4) | {
        "failing": node("ProbeFail", model=["people", 0], place=place, step=2)
    }
    failing["sample"]["inputs"]["model"] = ["failing", 0]
    there = f"Failed {place}: layers {layers}, tap filled"
    with pytest.raises(ExecutionFailedError, match=rf"Node sample \(KSampler\): {there}"):
        server.run(failing)
    assert exact(count(server, failing)) == before
    assert np.array_equal(picture(server, usual(saved)), fresh)


def is_first_step(event: Event) -> bool:
    """Whether the sampler has just done its first step; of the later ones the host may leave some out."""
    return (event.kind, event.node, event.value) == ("progress", "sample", 1)


def count_after_success(server: ComfyClient, saved: dict[float, str], fresh: np.ndarray) -> Counts:
    """What there should be after a prompt that ends early, too."""
    server.run(usual(saved))
    counts = count(server, usual(saved))
    assert left(counts) == NOTHING
    return exact(counts)


def exact(counts: Counts) -> Counts:
    """All but the memory of the process, which the system decides."""
    return {name: value for name, value in counts.items() if name != "rss"}


def outputs_of(server: ComfyClient, prompt_id: str) -> dict[str, dict[str, Any]]:
    """What a prompt shows that was queued while another was followed, once it has ended."""
    deadline = time.monotonic() + 300
    while not (history := json.loads(server.request(f"/history/{prompt_id}"))):
        assert time.monotonic() < deadline, server.log(40)
        time.sleep(0.2)
    about = history[prompt_id]
    assert about["status"]["status_str"] == "success", about["status"]
    return about["outputs"]
