"""AdamW over the trained parameters, each part at its own learning rate."""

from collections.abc import Mapping

import torch
from torch import nn
from torch.optim import Optimizer

from ..config import Optimizer as Settings
from ..model.build import PARTS


def make_optimizer(settings: Settings, stage: str, trained: Mapping[str, nn.Parameter]) -> Optimizer:
    """The optimizer of a stage.

    Args:
        trained: parameters by name in the network.
    """
    kind = torch.optim.AdamW
    if settings.eight_bit:
        import bitsandbytes

        kind = bitsandbytes.optim.AdamW8bit
    parts: dict[str, list[nn.Parameter]] = {"lora": [], "identity": [], "routers": []}
    for name, value in trained.items():
        parts[_part(name)].append(value)
    factors = {"lora": settings.lora_factor, "identity": settings.identity_factor} if stage == "multi" else {}
    groups = [{"part": part, "params": values, "factor": factors.get(part, 1.0)} for part, values in parts.items()]
    return kind(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
    )


def set_learning_rates(optimizer: Optimizer, settings: Settings, step: int) -> dict[str, float]:
    """Those of a step, counted from 0: they rise over the warm-up, and stay. Returns them for the log, by part."""
    rate = settings.learning_rate * min((step + 1) / max(settings.warmup, 1), 1)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    return {f"learning_rate/{group['part']}": group["lr"] for group in optimizer.param_groups}


def _part(name: str) -> str:
    found = next(part for part, markers in PARTS.items() if any(marker in name for marker in markers))
    return {"LoRA": "lora", "routers": "routers"}.get(found, "identity")
