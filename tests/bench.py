"""What the pack costs, side by side in one run in a real ComfyUI: per step, and once per picture or photo.

    python tests/bench.py --host COMFYUI                        on the CPU, with a narrow UNet
    python tests/bench.py --host COMFYUI --device cuda --full   Stable Diffusion 1.5's real size, in half precision; in
                                                                PyTorch's kernels and in the pack's own

`python dev.py bench` calls it with everything set up. All weights are random: cost does not depend on them. Steps are
timed in turns, one call of each kind per round, so that what else the machine does hits all alike.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

TESTS = Path(__file__).resolve().parent
sys.path[:0] = [str(TESTS), str(TESTS / "host"), str(TESTS / "standins")]

SIZES = {"512x512": (64, 64), "512x768": (64, 96)}  # of the picture: height and width of the latent
PEOPLE = (1, 2, 4)
WARM_UP = 2  # rounds


class Bench:
    """The models to measure, on the device."""

    def __init__(self, host: Path, base: Path, device: str, dtype: str, full: bool):
        import boot

        boot.import_host(host, base, ["--cpu"] if device == "cpu" else [])
        import build
        import host_shapes
        import published_shapes

        self.host, self.device, self.pack = host, torch.device(device), boot.load_pack(base)
        self.dtype = torch.float32 if device == "cpu" else getattr(torch, dtype)
        self.multipliers = build.FULL if full else build.SMALL
        channels = published_shapes.attention_channels(self.multipliers)
        folder = base / "models" / "uniportrait"
        build.write_faceid(folder / build.FACEID.name, channels)
        build.write_router(folder / build.ROUTER.name, channels)
        build.write_backbone(folder / build.BACKBONE.name)
        files = {"faceid": build.FACEID.name, "router": build.ROUTER.name, "face_backbone": build.BACKBONE.name}
        self.weights = self.run("LoadUniPortrait", **files)
        self.unet = self._unet(host_shapes.unet(self.multipliers))

    @staticmethod
    def run(node: str, **inputs: object) -> Any:
        """The first output of a node, through the host's executor."""
        from graph import run_node

        return run_node(node, **inputs)

    def _unet(self, shapes: Mapping[str, tuple[int, ...]]) -> Any:
        import comfy.sd

        from weights import draw_all

        return comfy.sd.load_diffusion_model_state_dict(draw_all("unet", shapes), {"dtype": self.dtype})

    def clip_vision(self) -> Any:
        """CLIP ViT-H/14."""
        import comfy.clip_vision

        import host_shapes
        from weights import draw_all

        return comfy.clip_vision.load_clipvision_from_sd(draw_all("clip_vision", host_shapes.clip_vision(self.host)))

    def patched(self, people: int) -> Any:
        """The UNet with people. Without the LoRA, which is merged into the weights and costs no step anything."""
        import small

        face_id = small.people(self._core, people)
        return small.apply(self.unet, self.weights, face_id, lora_scale=0.0)

    def _core(self, name: str) -> ModuleType:
        return importlib.import_module(f"{self.pack.__name__}.uniportrait_core.{name}")

    @contextmanager
    def step(self, model: Any, latent: tuple[int, int], batch: int) -> Iterator[Callable[[], None]]:
        """One UNet call with classifier-free guidance, as the host's samplers make it; ready for many."""
        import comfy.model_management
        import comfy.model_patcher
        import comfy.sampler_helpers

        comfy.model_management.load_models_gpu([model])
        options = comfy.model_patcher.create_model_options_clone(model.model_options)
        comfy.sampler_helpers.prepare_model_patcher(model, {}, options)
        rows = 2 * batch
        x = torch.randn(rows, 4, *latent).to(self.device)
        text = torch.randn(rows, 77, 768).to(self.device, self.dtype)
        sigma = model.get_model_object("model_sampling").sigma(torch.full((rows,), 500.0)).to(self.device)
        settings = {**options["transformer_options"], "cond_or_uncond": [1, 0], "sigmas": sigma}

        def call() -> None:
            with torch.inference_mode():
                model.model.apply_model(x, sigma, c_crossattn=text, transformer_options=settings)

        yield call
        model.cleanup()

    def seconds(self, call: Callable[[], object]) -> float:
        """How long a call takes, the device included."""
        self._wait()
        start = time.perf_counter()
        call()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def resident_bytes(model: Any) -> int:
    """What the pack holds on the device while `model` samples."""
    (tap,) = model.wrappers["apply_model"]["uniportrait"]
    tensors = [t for layers in tap.resident.values() for layer in layers.values() for t in tensors_of(layer)]
    return sum(t.numel() * t.element_size() for t in tensors)


def tensors_of(thing: object) -> list[torch.Tensor]:
    """All tensors in a nest of dataclasses and sequences."""
    if isinstance(thing, torch.Tensor):
        return [thing]
    parts = vars(thing).values() if hasattr(thing, "__dataclass_fields__") else thing or ()
    return [tensor for part in parts for tensor in tensors_of(part)]


def flops(call: Callable[[], None]) -> int:
    # The counter knows the parts of attention, not all of its fused forms.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        call()
    return counter.get_total_flops()


class Operations(TorchDispatchMode):
    """Counts the tensor operations that Python starts, which small batches on a fast GPU have to wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


def operations(call: Callable[[], None]) -> int:
    with Operations() as counter:
        call()
    return counter.count


HEAD = (
    "size     people         GFLOP     more  operations     more  median ms        10 % to 90 %     more   10 % to 90 %"
    "  MB held"
)


@dataclass(frozen=True)
class Case:
    """A kind of step: how many people, and whether in the pack's own kernel."""

    people: int
    fused: bool = False

    def __str__(self) -> str:
        return f"{self.people or 'none'}{' fused' if self.fused else ''}"

    def __call__(self, call: Callable[[], None]) -> Callable[[], None]:
        def step() -> None:
            os.environ["UNIPORTRAIT_FUSED"] = str(int(self.fused))
            call()

        return step


def cases(device: torch.device) -> list[Case]:
    """On a CPU the kernel would be interpreted."""
    kinds = (False, True) if device.type == "cuda" else (False,)
    return [Case(0), *(Case(people, fused) for people in PEOPLE for fused in kinds)]


def measure_steps(bench: Bench, size: str, batch: int, rounds: int) -> list[str]:
    """One row of the table per case."""
    latent = SIZES[size]
    models = {case: bench.patched(case.people) if case.people else bench.unet for case in cases(bench.device)}
    times: dict[Case, list[float]] = {case: [] for case in models}
    costs: dict[Case, tuple[int, int, int]] = {}
    with ExitStack() as stack:
        steps = {case: case(stack.enter_context(bench.step(model, latent, batch))) for case, model in models.items()}
        for case, call in steps.items():
            costs[case] = flops(call), operations(call), resident_bytes(models[case]) if case.people else 0
        for index in range(WARM_UP + rounds):
            for case, call in steps.items():
                seconds = bench.seconds(call)
                if index >= WARM_UP:
                    times[case].append(seconds)
    return [f"{size:8} {row(case, costs, times)}" for case in models]


def row(case: Case, costs: Mapping[Case, tuple[int, int, int]], times: Mapping[Case, Sequence[float]]) -> str:
    """Everything about one case, in percent of the unpatched step of the same round; a kernel's FLOPs are not seen."""
    (flop, calls, held), (plain_flop, plain_calls, _) = costs[case], costs[Case(0)]
    added = [100 * (own / plain - 1) for own, plain in zip(times[case], times[Case(0)], strict=True)]
    return (
        f"{str(case):>9} {flop / 1e9:>10.1f} {100 * (flop / plain_flop - 1):>+6.2f} % "
        f"{calls:>11} {100 * (calls / plain_calls - 1):>+6.1f} % "
        f"{1e3 * statistics.median(times[case]):>10.2f} {spread([1e3 * t for t in times[case]], '.2f'):>19} "
        f"{statistics.median(added):>+6.1f} % {spread(added, '+.1f'):>14} {held / 1e6:>8.1f}"
    )


def spread(numbers: Sequence[float], style: str) -> str:
    """The first and the last tenth's limits."""
    low, *_, high = statistics.quantiles(numbers, n=10)
    return f"{low:{style}} to {high:{style}}"


def measure_once(bench: Bench, rounds: int) -> list[str]:
    """Lines about what is done once."""
    lines = []
    for people in PEOPLE:
        times = [bench.seconds(lambda people=people: bench.patched(people)) for _ in range(rounds)]
        lines.append(f"Apply ID Router, {people} people: {statistics.median(times):.3f} s")
    inputs = {"uniportrait": bench.weights, "clip_vision": bench.clip_vision(), "structure_scale": 0.1}
    encode = lambda photos: bench.run("FaceIDEncode", image=torch.rand(photos, 224, 224, 3), **inputs)  # noqa: E731
    lines.append(f"Encode Face ID, the first photo: {bench.seconds(lambda: encode(1)):.3f} s")
    for photos in (1, 8):
        times = [bench.seconds(lambda photos=photos: encode(photos)) for _ in range(rounds)]
        lines.append(f"Encode Face ID, {photos} photos: {statistics.median(times):.3f} s")
    return lines


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what the pack costs in a real ComfyUI.")
    parser.add_argument("--host", type=Path, required=True, help="folder of a ComfyUI checkout")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float16", "bfloat16"), default="float16", help="on a GPU")
    parser.add_argument("--full", action="store_true", help="Stable Diffusion 1.5's real size; else a narrow UNet")
    parser.add_argument("--batch", type=int, default=1, help="pictures per step")
    parser.add_argument("--rounds", type=int, default=10, help="repetitions of each measurement, 2 or more")
    return parser.parse_args()


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory(prefix="uniportrait-bench-", ignore_cleanup_errors=True) as folder:
        bench = Bench(options.host.resolve(), Path(folder).resolve(), options.device, options.dtype, options.full)
        name = torch.cuda.get_device_name() if options.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
        size = "Stable Diffusion 1.5" if options.full else "a narrow UNet"
        print(f"\n{name}, {str(bench.dtype).removeprefix('torch.')}, PyTorch {torch.__version__}, {size}")
        print(f"\nA step of {options.batch} with classifier-free guidance, {options.rounds} rounds\n{HEAD}")
        for size in SIZES:
            print("\n".join(measure_steps(bench, size, options.batch, max(options.rounds, 2))), flush=True)
        print("\nOnce\n" + "\n".join(measure_once(bench, 3)))


if __name__ == "__main__":
    main()
