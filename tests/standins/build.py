"""Write a ComfyUI models folder of stand-ins: the published file names and formats, random weights.

    python build.py --host COMFYUI_DIR --output MODELS_DIR

The small set has a UNet that is 320 channels wide throughout and runs on a laptop's CPU; `--full` has the real sizes of
Stable Diffusion 1.5, for measurements.
"""

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import torch

import host_shapes
import published_shapes
from files import write_pickle, write_safetensors
from shaping import (
    shape_backbone,
    shape_controlnet,
    shape_resampler,
    shape_routers,
    shape_tiny_autoencoder,
    shape_unet,
)
from weights import PRELU_SLOPE, State, draw_all

CHECKPOINT = Path("checkpoints", "Realistic_Vision_V5.1_fp16-no-ema.safetensors")
VAE = Path("vae", "vae-ft-mse-840000-ema-pruned.safetensors")
CLIP_VISION = Path("clip_vision", "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors")
CONTROLNET = Path("controlnet", "control_v11p_sd15_canny_fp16.safetensors")
IP_ADAPTER = Path("ipadapter", "ip-adapter_sd15.safetensors")
FACEID = Path("uniportrait", "uniportrait-faceid_sd15.bin")
ROUTER = Path("uniportrait", "uniportrait-router_sd15.bin")
BACKBONE = Path("uniportrait", "glint360k_curricular_face_r101_backbone.bin")
DETECTOR = Path("insightface", "models", "buffalo_l", "det_10g.onnx")
YUNET = Path("face_detection", "face_detection_yunet_2023mar.onnx")

SMALL, FULL = (1, 1, 1, 1), (1, 2, 4, 4)  # channel multipliers of the UNet
# Factors on the weights as drawn, by regular expression.
ADAPTER_GAINS = {
    r"_lora\.up\.": 0.3,  # a LoRA is a small change
    r"\.to_q\.|to_k_faceid": 4.0,  # sharp attention: otherwise it averages people to one and the same mean
    r"layers\.\d+\.2\.3\.": 0.3,
}
BACKBONE_GAINS = {
    r"res_layer\.5\.weight": 0.25,  # 49 residual units would otherwise grow beyond half precision
    PRELU_SLOPE.pattern: 4.0,  # nearly linear
    r"bias$|running_mean$": 0.0,
}
CONTROLNET_GAINS = {
    r"^(zero_convs|middle_block_out)\.": 0.2,  # trained from zero, they stay small
    r"^input_hint_block\..*weight": 1.8,  # against the loss in every SiLU
}


def main() -> None:
    """Write every file and say how long each took."""
    options = _options()
    host_shapes.import_host(options.host.resolve())
    for path, write in _writers(options.host, FULL if options.full else SMALL, full=options.full).items():
        start = time.perf_counter()
        target = options.output / path
        with torch.inference_mode():
            write(target)
        size, seconds = target.stat().st_size / 1e6, time.perf_counter() - start
        print(f"{path.as_posix()}: {size:.0f} MB, {seconds:.1f} s", flush=True)


def _writers(host: Path, multipliers: tuple[int, ...], full: bool) -> dict[Path, Callable[[Path], None]]:
    channels = published_shapes.attention_channels(multipliers)
    return {
        CHECKPOINT: lambda path: _write_checkpoint(path, multipliers, full),
        VAE: lambda path: write_safetensors(path, _autoencoder(full)),
        CLIP_VISION: lambda path: write_safetensors(path, draw_all("clip_vision", host_shapes.clip_vision(host))),
        CONTROLNET: lambda path: _write_controlnet(path, multipliers),
        IP_ADAPTER: lambda path: write_ip_adapter(path, channels),
        FACEID: lambda path: write_faceid(path, channels),
        ROUTER: lambda path: write_router(path, channels),
        BACKBONE: write_backbone,
        DETECTOR: lambda path: _detectors("detector").write_detector(path),
        YUNET: lambda path: _detectors("yunet").write_yunet(path),
    }


def _write_checkpoint(path: Path, multipliers: tuple[int, ...], full: bool) -> None:
    """UNet, text encoder and autoencoder in one file."""
    unet = draw_all("unet", host_shapes.unet(multipliers))
    shape_unet(unet)
    text = draw_all("text_encoder", host_shapes.text_encoder())
    write_safetensors(path, host_shapes.checkpoint_keys(unet, text, _autoencoder(full)))


def _autoencoder(full: bool) -> State:
    """The tiny autoencoder, but the real one among real sizes."""
    if full:
        return draw_all("autoencoder", host_shapes.autoencoder())
    state = draw_all("autoencoder", host_shapes.tiny_autoencoder())
    shape_tiny_autoencoder(state)
    return state


def _write_controlnet(path: Path, multipliers: tuple[int, ...]) -> None:
    state = draw_all("controlnet", host_shapes.controlnet(multipliers), CONTROLNET_GAINS)
    shape_controlnet(state)
    write_safetensors(path, {f"control_model.{key}": tensor for key, tensor in state.items()})


def write_ip_adapter(path: Path, channels: Sequence[int]) -> None:
    write_safetensors(path, draw_all("ip_adapter", published_shapes.ip_adapter(channels)))


def write_faceid(path: Path, channels: Sequence[int]) -> None:
    state = _draw_tables("faceid", published_shapes.faceid(channels))
    shape_resampler(state["faceid_proj"])
    write_pickle(path, state)


def write_router(path: Path, channels: Sequence[int]) -> None:
    state = _draw_tables("router", published_shapes.router(channels))
    shape_routers(state["faceid_adapter"])
    write_pickle(path, state)


def write_backbone(path: Path) -> None:
    state = draw_all("backbone", published_shapes.backbone(), BACKBONE_GAINS)
    shape_backbone(state)
    write_pickle(path, state)


def _draw_tables(file: str, tables: dict[str, published_shapes.Table]) -> dict[str, State]:
    return {name: draw_all(f"{file}.{name}", table, ADAPTER_GAINS) for name, table in tables.items()}


def _detectors(module: str) -> ModuleType:
    """A module of the package that this folder is to the tests; they need onnx, which nothing else here does."""
    tests = str(Path(__file__).resolve().parents[1])
    if tests not in sys.path:
        sys.path.append(tests)
    return importlib.import_module(f"standins.{module}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Write a ComfyUI models folder of stand-ins with random weights.")
    parser.add_argument("--host", type=Path, required=True, help="folder of a ComfyUI checkout")
    parser.add_argument("--output", type=Path, required=True, help="models folder to write into")
    parser.add_argument("--full", action="store_true", help="real sizes of Stable Diffusion 1.5")
    return parser.parse_args()


if __name__ == "__main__":
    main()
