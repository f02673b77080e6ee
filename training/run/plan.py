"""What a training will do, in words, before its first step."""

from collections.abc import Sequence

from ..config import Config
from ..data.portraits import Portraits
from ..model.build import PARTS, parameters_of
from ..model.layout import attention_layers, kind_of
from ..model.network import Network

STAGES = {"single": "Stage I, one person", "multi": "Stage II, several people"}


def describe(
    config: Config, stage: str, network: Network, portraits: Portraits, processes: int, done: int, seconds: float
) -> str:
    """The plan.

    Args:
        portraits: the data.
        processes: that share the work.
        done: steps that were taken before.
        seconds: that a pass takes, measured.
    """
    run = config.run
    batch = processes * run.batch * run.accumulation
    total = sum(value.numel() for value in network.parameters())
    layers = attention_layers(network.unet)
    pictures, steps = len(portraits), run.steps
    left_out = "; ".join(f"{count:,} have {reason}" for reason, count in portraits.left_out.items() if count)
    each = seconds * run.accumulation
    lines = [
        (STAGES[stage], f"{kind_of(network.unet)}, {len(layers)} attention layers ({config.base.model})"),
        ("trained", f"{_parts(network)}; all together {million(total)} parameters with what is frozen"),
        ("on", f"{pictures:,} pictures at {config.data.resolution}×{config.data.resolution}"),
        *([("left out", left_out)] if left_out else []),
        ("each step", f"{batch} pictures: {processes} processes × {run.batch} × {run.accumulation} passes"),
        ("for", f"{steps:,} steps, {steps * batch / pictures:.1f} times through the pictures"),
        ("time", f"{duration(max(steps - done, 0) * each)}, at {each:.2f} s a step as measured now (worked out)"),
        ("into", str(run.output)),
    ]
    if stage == "multi":
        none = "none: an ablation, whose file Load UniPortrait does not take"
        routed = f"{config.router.choice}, routing loss × {config.router.loss_weight:g}"
        lines.insert(2, ("router", none if config.router.choice == "none" else routed))
    return "\n".join(f"{name:20} {text}" for name, text in lines)


def duration(seconds: float) -> str:
    """A time in the two units that matter."""
    units: Sequence[tuple[str, int]] = (("days", 86400), ("h", 3600), ("min", 60), ("s", 1))
    for (name, size), (smaller, part) in zip(units, units[1:], strict=False):
        if seconds >= size:
            return f"{seconds // size:.0f} {name} {seconds % size // part:.0f} {smaller}"
    return f"{seconds:.0f} s"


def million(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e5 else f"{count:,}"


def _parts(network: Network) -> str:
    counts = {
        part: sum(value.numel() for _, value in parameters_of(network, part) if value.requires_grad) for part in PARTS
    }
    return ", ".join(f"{part} {million(count)}" for part, count in counts.items() if count)
