"""A style picture for tests: with a small autoencoder, a small CLIP and a small IP-Adapter."""

from pathlib import Path

import torch
from comfy.model_patcher import ModelPatcher
from comfy.sd import VAE
from comfy.taesd.taesd import TAESD
from safetensors.torch import save_file
from torch import Tensor

import recipe
import small
from graph import Graph, run_node
from oracle import attn2_modules, blank

IP_ADAPTER = "small-ip-adapter.safetensors"
REFERENCE = {"method": "inversion", "steps": 2, "guidance": 2.0, "fixed_noise": 0}


def autoencoder() -> VAE:
    """The tiny autoencoder, of random weights."""
    with torch.device("meta"):
        shapes = {key: tuple(tensor.shape) for key, tensor in TAESD(latent_channels=4).state_dict().items()}
    weights = recipe.weights("taesd", shapes)
    return VAE(sd={**weights, "vae_scale": torch.tensor(1.0), "vae_shift": torch.tensor(0.0)})


def picture(height: int = 128, width: int = 64, count: int = 1) -> Tensor:
    """A style picture of noise."""
    return recipe.noise("style.picture", (count, height, width, 3)).sigmoid()


def empty_prompt() -> dict[str, list]:
    """For the inversion; both sides the same, as the empty prompt is."""
    text = [[recipe.noise("style.text", (1, 77, 768)), {}]]
    return {"positive": text, "negative": text}


def write_ip_adapter(
    folder: Path, name: str = IP_ADAPTER, tokens: int = 4, embedding: int = 32, model: ModelPatcher | None = None
) -> None:
    """A plain IP-Adapter for the narrow UNet or another, and the small CLIP."""
    layers = [(cross.to_k.out_features, cross.to_k.in_features) for cross in attn2_modules(model)] if model else None
    layers = layers or [(small.WIDTH, 768)] * 16
    dim = layers[0][1]
    shapes = {
        "image_proj.proj.weight": (tokens * dim, embedding),
        "image_proj.proj.bias": (tokens * dim,),
        "image_proj.norm.weight": (dim,),
        "image_proj.norm.bias": (dim,),
    }
    shapes |= {f"ip_adapter.{2 * i + 1}.to_{half}_ip.weight": shape for i, shape in enumerate(layers) for half in "kv"}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(recipe.weights("style.ip_adapter", shapes), folder / name)


def refer(model: ModelPatcher, latent: dict | None = None, **changes: object) -> tuple[object, dict]:
    """What Style Reference gives: the style and the latent. An input that is None is left out."""
    graph = Graph()
    inputs = {"model": model, "vae": changes.pop("vae", None) or autoencoder(), "image": picture()}
    inputs |= {"latent": latent or blank(2), **REFERENCE, **empty_prompt(), **changes}
    plain = (str, int, float)
    links = {
        key: value if isinstance(value, plain) else graph.give(value)
        for key, value in inputs.items()
        if value is not None
    }
    node = graph.add("UniPortraitStyleReference", **links)
    graph.take(node, "style")
    graph.take([node[0], 1], "latent")
    taken = graph.run()
    return taken["style"], taken["latent"]


def with_style(model: ModelPatcher, style: object, strength: float = 1.0, ip_scale: float = 0.7) -> ModelPatcher:
    """`model` behind Apply Style."""
    return run_node("UniPortraitApplyStyle", model=model, style=style, strength=strength, ip_scale=ip_scale)


def load_ip_adapter(folder: Path) -> dict[str, object]:
    """The small IP-Adapter through its node, and the small CLIP: inputs of Style Reference."""
    write_ip_adapter(folder)
    adapter = run_node("UniPortraitLoadIPAdapter", ip_adapter=IP_ADAPTER)
    return {"ip_adapter": adapter, "clip_vision": small.clip_vision(recipe.clip_config())}
