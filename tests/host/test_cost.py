"""What the pack costs: FLOPs per step against the floor, memory while sampling, and time at the host's start."""

import comfy.model_management
import pytest
from comfy.ldm.modules.attention import SpatialTransformer
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import recipe
import small

LATENT = (16, 24)
TOKENS, DIM = 16, 768


def step_flops(model, rows=2):
    """FLOPs of one UNet call with conditional and unconditional rows."""
    x, text = recipe.noise("cost.x", (rows, 4, *LATENT)), recipe.noise("cost.text", (rows, 77, DIM))
    comfy.model_management.load_models_gpu([model])  # merging the LoRA is not part of a step
    # The counter knows the parts of attention, not its fused form on a CPU.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        small.call_unet(model, x, 500.0, text, [1, 0])
    return counter.get_total_flops()


def floor(people, unet):
    """The FLOPs that ID attention cannot do without, for one conditional and one unconditional row.

    In unconditional rows everybody has the same tokens, so one person's attention is enough there. Two FLOPs make a
    multiply-add.
    """
    multiply_adds = 0
    for channels, spots in cross_attentions(unet):
        attention = 2 * spots * TOKENS * channels
        router = 2 * spots * channels * channels + 2 * spots * channels * people if people > 1 else 0
        multiply_adds += people * attention + router + attention
    return 2 * multiply_adds


def cross_attentions(unet):
    """(channels, spots) of every cross-attention layer, seen while a call passes through it."""
    sizes, hooks = [], []
    for module in unet.model.diffusion_model.modules():
        if isinstance(module, SpatialTransformer):
            query = module.transformer_blocks[0].attn2.to_q
            hooks.append(query.register_forward_hook(lambda _m, _i, q: sizes.append((q.shape[2], q.shape[1]))))
    step_flops(unet)
    for hook in hooks:
        hook.remove()
    return sizes


@pytest.mark.parametrize("people", [1, 2, 4])
def test_flops_reach_the_floor(unet, uniportrait, core, people):
    face_id = small.people(core, people, shared_uncond=True)
    added = step_flops(small.apply(unet, uniportrait, face_id)) - step_flops(unet)
    assert 0.9 * floor(people, unet) <= added <= 1.1 * floor(people, unet)
