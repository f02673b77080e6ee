"""The UniPortrait LoRAs as ordinary weight patches of the host: merged on loading, free at every step."""

import comfy.lora
from comfy.model_patcher import ModelPatcher

from ...uniportrait_core.attention.adapter import LoRA
from ...uniportrait_core.errors import UniPortraitError
from .layers import a_checkpoint_of, transformer_blocks

PREFIX = "uniportrait."  # of the names of the matrices
MODULES = {"q": "to_q", "k": "to_k", "v": "to_v", "out": "to_out.0"}


def add_lora(model: ModelPatcher, lora: LoRA, scale: float, base: str) -> None:
    """Add `scale · up @ down` to q, k, v and out of every attention layer of `model`, which the caller has cloned.

    `base` is the kind of model that the LoRA is for, in words.

    Raises:
        UniPortraitError: the LoRA is not for this model.
    """
    matrices, targets = {}, {}
    for index, path in enumerate(_attention_paths(model)):
        for projection, pair in lora[index].items() if index < len(lora) else ():
            name = f"{PREFIX}{index}.{projection}"
            matrices[f"{name}.lora_up.weight"], matrices[f"{name}.lora_down.weight"] = pair.up, pair.down
            targets[name] = f"diffusion_model.{path}.{MODULES[projection]}.weight"
    added = model.add_patches(comfy.lora.load_lora(matrices, targets), scale)
    if len(added) != len(targets) or len(targets) != len(MODULES) * len(lora):
        raise UniPortraitError(
            f"The UniPortrait LoRA has {len(MODULES) * len(lora)} matrices, of which {len(added)} found their place in "
            f"the model at Apply ID Router. Use {a_checkpoint_of(base)}, as it was loaded."
        )


def _attention_paths(model: ModelPatcher) -> list[str]:
    blocks = transformer_blocks(model.model.diffusion_model)
    return [f"{path}.{attention}" for path, _ in blocks for attention in ("attn1", "attn2")]
