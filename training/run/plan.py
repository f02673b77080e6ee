"""What a training will do, in words, before its first step."""

from collections.abc import Sequence

from ..config import Config
from ..model.build import PARTS, Built, parameters_of
from ..model.layout import attention_layers

STAGES = {"single": "Stage I, one person", "multi": "Stage II, several people"}


def describe(config: Config, stage: str, built: Built, pictures: int, processes: int, seconds: float) -> str:
    """The plan.

    Args:
        pictures: in the data, of those that the stage can use.
        processes: that share the work.
        seconds: that a pass takes, measured.
    """
    run, network = config.run, built.network
    batch = processes * run.batch * run.accumulation
    total = sum(value.numel() for value in network.parameters())
    layers = attention_layers(network.unet)
    steps = run.steps
    each = seconds * run.accumulation
    lines = [
        (STAGES[stage], f"{built.kind}, {len(layers)} attention layers ({config.base.model})"),
        ("trained", f"{_parts(built)}; all together {million(total)} parameters with what is frozen"),
        ("on", f"{pictures:,} pictures at {config.data.resolution}×{config.data.resolution}"),
        ("each step", f"{batch} pictures: {processes} processes × {run.batch} × {run.accumulation} passes"),
        ("for", f"{steps:,} steps, {steps * batch / pictures:.1f} times through the pictures"),
        ("time", f"{duration(steps * each)}, at {each:.2f} s a step as measured now (worked out)"),
        ("into", str(run.output)),
    ]
    if stage == "multi":
        weight = config.router.loss_weight
        lines.insert(2, ("router", f"{config.router.choice}, routing loss × {weight:g}"))
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


def _parts(built: Built) -> str:
    counts = {
        part: sum(value.numel() for _, value in parameters_of(built.network, part) if value.requires_grad)
        for part in PARTS
    }
    return ", ".join(f"{part} {million(count)}" for part, count in counts.items() if count)
