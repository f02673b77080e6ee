"""The graphs of the crowd: small, of one and the same loaders, so that they share models and the host's cache.

A graph is known by its `Order`. Nodes have names for ids; every graph uses the same names, as people do who begin with
the same workflow. What a graph makes is shown in bits by nodes `ProbeBits` (`tests/host/probe_pack`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image

import recipe
from standins.detector import photo
from uniportrait_core.embedding.identity import Identity
from uniportrait_core.files.identity_file import save_face_id

Prompt = dict[str, dict[str, Any]]

SAVED = ("anna", "ben")
SIDE = 64  # pixels of a picture
STEPS = 3
AGAIN = "again"  # a node by whose number the host does not take a sampling from its cache
PICTURES = {"face.png": ("astronaut", True), "photo.png": ("astronaut", False), "group.png": ("group", False)}


@dataclass(frozen=True)
class Order:
    """What somebody queues.

    Attributes:
        kind: of graph, of `KINDS`.
        seed: of the sampler.
        other: 0 or 1, which of two settings of its own the graph has.
        again: another number makes the host sample again what it has in its cache.
        memory: a node and the number of an allocation in it for which there is no memory; None where there is enough.
    """

    kind: str
    seed: int = 1
    other: int = 0
    again: int = 0
    memory: tuple[str, int] | None = None

    @property
    def alone(self) -> Order:
        """The order that says what should come out of this one."""
        return Order(self.kind, 1 if self.kind in WITHOUT_SEED else self.seed, self.other)


def node(class_type: str, **inputs: object) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def graph(order: Order) -> Prompt:
    """The prompt of an order, in API format."""
    prompt = KINDS[order.kind](order)
    if order.memory:
        place, number = order.memory
        prompt["memory"] = node("ProbeMemory", node=place, allocation=number)
    return prompt


def write_files(base: Path) -> None:
    """Put the pictures and the people that the graphs load into a server's folders."""
    folder = base / "input"
    folder.mkdir(parents=True, exist_ok=True)
    for name, (source, cut) in PICTURES.items():
        picture = Image.fromarray(photo(source))
        if cut:
            picture = picture.crop((170, 60, 330, 220)).resize((224, 224))
        picture.save(folder / name)
    Image.new("RGB", (640, 480), "grey").save(folder / "nobody.png")
    noise = recipe.noise("crowd.people", (len(SAVED) + 1, 16, 768))
    for name, tokens in zip(SAVED, noise[1:], strict=True):
        face = (recipe.noise(f"crowd.{name}", (112, 112, 3)).sigmoid() * 255).to(torch.uint8)
        embedding = F.normalize(recipe.noise(f"crowd.{name}.embedding", (512,)), dim=0)
        person = Identity(tokens, noise[0], embedding=embedding, thumbnail=face)
        save_face_id(base / "output" / "uniportrait_faces" / f"{name}.safetensors", (person,))


# Pieces


def drawing(order: Order, model: list, latent: list | None = None, steps: int = STEPS) -> Prompt:
    """A sampling of `model`, and its latents in bits."""
    return {
        "checkpoint": checkpoint(),
        "positive": node("CLIPTextEncode", clip=["checkpoint", 1], text="people"),
        "negative": node("CLIPTextEncode", clip=["checkpoint", 1], text=""),
        "empty": node("EmptyLatentImage", width=SIDE, height=SIDE, batch_size=1),
        AGAIN: node("ProbeAgain", value=latent or ["empty", 0], number=order.again),
        "sample": node(
            "KSampler",
            model=model,
            positive=["positive", 0],
            negative=["negative", 0],
            latent_image=[AGAIN, 0],
            seed=order.seed,
            steps=steps,
            cfg=5.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
        ),
        "latent": bits(["sample", 0]),
    }


def bits(link: list) -> dict[str, Any]:
    return node("ProbeBits", value=link)


def checkpoint() -> dict[str, Any]:
    return node("CheckpointLoaderSimple", ckpt_name="Realistic_Vision_V5.1_fp16-no-ema.safetensors")


def weights() -> Prompt:
    files = {
        "faceid": "uniportrait-faceid_sd15.bin",
        "router": "uniportrait-router_sd15.bin",
        "face_backbone": "glint360k_curricular_face_r101_backbone.bin",
    }
    return {"uniportrait": node("LoadUniPortrait", **files)}


def seers() -> Prompt:
    return {
        "clip": node("CLIPVisionLoader", clip_name="CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors"),
        "ip": node("UniPortraitLoadIPAdapter", ip_adapter="ip-adapter_sd15.safetensors"),
    }


def picture(name: str) -> dict[str, Any]:
    return node("LoadImage", image=name)


def detector() -> dict[str, Any]:
    return node("UniPortraitFaceDetector", backend="insightface", model="buffalo_l", provider="auto")


def two() -> Prompt:
    """Two saved people, who go by `both`."""
    loaded = {name: node("UniPortraitLoadFaceID", face_id_file=f"{name}.safetensors") for name in SAVED}
    return {**loaded, "both": node("MultiIDConditioning", face_id_1=["anna", 0], face_id_2=["ben", 0])}


def applied(face_id: list, scale: float = 0.7, uniportrait: list | None = None, model: list | None = None) -> Prompt:
    settings = {"id_scale": scale, "lora_scale": 1.0, "start_percent": 0.0, "end_percent": 1.0}
    links = {"model": model or ["checkpoint", 0], "uniportrait": uniportrait or ["uniportrait", 0], "face_id": face_id}
    return {**weights(), "apply": node("IDRouterApply", **links, **settings)}


def recorded(order: Order) -> Prompt:
    """A sampling of `apply`, and who is where in it. The other setting is of the map alone."""
    return {
        "record": node("UniPortraitRecordRouting", model=["apply", 0]),
        **drawing(order, ["record", 0]),
        "decode": node("VAEDecode", samples=["sample", 0], vae=["checkpoint", 2]),
        "map": node(
            "UniPortraitRoutingMap",
            routing=["record", 1],
            image=["decode", 0],
            steps="each",
            opacity=0.3 + 0.4 * order.other,
            min_share=0.05,
        ),
        "colours": bits(["map", 0]),
        "masks": bits(["map", 1]),
        "report": bits(["map", 2]),
    }


# Kinds


def plain(order: Order) -> Prompt:
    return drawing(order, ["checkpoint", 0])


def one(order: Order) -> Prompt:
    return {**two(), **applied([SAVED[order.other], 0]), **drawing(order, ["apply", 0])}


def encoded(order: Order) -> Prompt:
    scale = (0.1, 0.3)[order.other]
    links = {"uniportrait": ["uniportrait", 0], "clip_vision": ["clip", 0], "image": ["photo", 0]}
    return {
        **seers(),
        "photo": picture("face.png"),
        "face": node("FaceIDEncode", **links, structure_scale=scale),
        "person": bits(["face", 0]),
        **applied(["face", 0]),
        **drawing(order, ["apply", 0]),
    }


def several(order: Order) -> Prompt:
    return {**two(), **applied(["both", 0], 0.6 + 0.3 * order.other), **drawing(order, ["apply", 0])}


def mapped(order: Order) -> Prompt:
    return {**two(), **applied(["both", 0]), **recorded(order)}


def masked(order: Order) -> Prompt:
    """Each in a half; which half is the other setting."""
    whole = {"width": SIDE, "height": SIDE}
    left = {"x": SIDE // 2 * order.other, "y": 0, "operation": "add"}
    return {
        **two(),
        "dark": node("SolidMask", value=0.0, **whole),
        "half": node("SolidMask", value=1.0, width=SIDE // 2, height=SIDE),
        "mask": node("MaskComposite", destination=["dark", 0], source=["half", 0], **left),
        "rest": node("InvertMask", mask=["mask", 0]),
        "here": node("UniPortraitAdjustFaceID", face_id=["anna", 0], weight=1.0, mask=["mask", 0]),
        "there": node("UniPortraitAdjustFaceID", face_id=["ben", 0], weight=1.0, mask=["rest", 0]),
        "pair": node("MultiIDConditioning", face_id_1=["here", 0], face_id_2=["there", 0]),
        **applied(["pair", 0]),
        **recorded(order),
    }


def styled(order: Order) -> Prompt:
    links = {"model": ["checkpoint", 0], "vae": ["checkpoint", 2], "image": ["photo", 0], "latent": ["empty", 0]}
    prompts = {"positive": ["negative", 0], "negative": ["negative", 0]}
    seeing = {"ip_adapter": ["ip", 0], "clip_vision": ["clip", 0]} if order.other else {}
    return {
        **two(),
        **(seers() if order.other else {}),
        "photo": picture("photo.png"),
        "style": node(
            "UniPortraitStyleReference",
            **links,
            **prompts,
            **seeing,
            method="inversion",
            steps=STEPS,
            guidance=1.0,
            fixed_noise=0,
        ),
        "styled": node(
            "UniPortraitApplyStyle", model=["checkpoint", 0], style=["style", 0], strength=1.0, ip_scale=0.7
        ),
        **applied(["both", 0], model=["styled", 0]),
        **drawing(order, ["apply", 0], latent=["style", 1]),
    }


def detected(order: Order) -> Prompt:
    """All faces of a photo; and how alike those of somebody are. Nothing is sampled."""
    found = {"image": ["photo", 0], "detector": ["detector", 0]}
    known = {"uniportrait": ["uniportrait", 0], "face_id": ["both", 0]}
    return {
        **two(),
        **weights(),
        "photo": picture("group.png"),
        "detector": detector(),
        AGAIN: node("ProbeAgain", value=["photo", 0], number=order.again),
        "faces": node(
            "UniPortraitDetectFaces", **found, order="largest" if order.other else "left to right", min_confidence=0.5
        ),
        "crops": bits(["faces", 1]),
        "masks": bits(["faces", 2]),
        "alike": node(
            "UniPortraitFaceSimilarity", **(found | {"image": [AGAIN, 0]}), **known, min_confidence=0.5, threshold=0.4
        ),
        "report": bits(["alike", 4]),
    }


def series(order: Order) -> Prompt:
    """From one person to another; every person is drawn, and live maps are of several samplings at one node."""
    mix = {"face_id_a": ["anna", 0], "face_id_b": ["ben", 0], "weight_b": 1.0, "series": 2 + order.other}
    return {
        **two(),
        "mixed": node("UniPortraitMixFaceID", **mix),
        "pair": node("MultiIDConditioning", face_id_1=["mixed", 0], face_id_2=["anna", 0]),
        **applied(["pair", 0]),
        **drawing(order, ["apply", 0], steps=2),
    }


def pictures(order: Order) -> Prompt:
    """A picture through a plain IP-Adapter."""
    links = {"ip_adapter": ["ip", 0], "clip_vision": ["clip", 0], "image": ["photo", 0]}
    return {
        **seers(),
        "photo": picture(("photo.png", "group.png")[order.other]),
        "seen": node("UniPortraitEncodePictures", **links, router="none"),
        "person": bits(["seen", 1]),
        **applied(["seen", 1], uniportrait=["seen", 0]),
        **drawing(order, ["apply", 0]),
    }


def saved(order: Order) -> Prompt:
    """Somebody between two is saved, under a name of the number of the order."""
    mix = {"face_id_a": ["anna", 0], "face_id_b": ["ben", 0], "weight_b": 0.25 + order.other / 2, "series": 1}
    return {
        **two(),
        "mixed": node("UniPortraitMixFaceID", **mix),
        "person": bits(["mixed", 0]),
        "save": node("UniPortraitSaveFaceID", face_id=["mixed", 0], filename_prefix=f"of_crowd/{order.again}"),
    }


def failing(order: Order) -> Prompt:
    """Fails in a UNet call, as a node of another pack may."""
    prompt = several(order)
    place = ("inside the tap", "in an attention")[order.other]
    prompt["failing"] = node("ProbeFail", model=["apply", 0], place=place, step=2)
    prompt["sample"]["inputs"]["model"] = ["failing", 0]
    return prompt


def faceless(order: Order) -> Prompt:
    """A photo that nobody is on."""
    prompt = encoded(order)
    prompt["photo"] = picture("nobody.png")
    prompt["detector"] = detector()
    prompt["face"]["inputs"]["detector"] = ["detector", 0]
    return prompt


KINDS = {
    make.__name__: make
    for make in (plain, one, encoded, several, mapped, masked, styled, detected, series, pictures, saved)
} | {make.__name__: make for make in (failing, faceless)}
WITHOUT_SEED = ("detected", "saved", "faceless")
"""Kinds of which nothing depends on the seed."""
WITHOUT_MEMORY = {
    "encoded": ("face", "apply", "sample"),
    "several": ("apply", "sample"),
    "mapped": ("apply", "sample", "map"),
    "masked": ("apply", "sample"),
    "styled": ("style", "styled", "sample"),
    "pictures": ("seen", "apply", "sample"),
    "saved": ("anna", "mixed", "save"),
    "detected": ("alike",),
}
"""By kind the nodes in which memory may run out."""
