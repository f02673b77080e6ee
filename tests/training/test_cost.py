"""What a step costs at Stable Diffusion 1.5's real size, counted without computing anything."""

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode

from training.config import Resampler
from training.model.adapter import Adapter
from training.model.build import new_resampler
from training.model.layout import attention_layers
from training.model.network import FaceInputs, Network, Routing

SD15 = {
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "sample_size": 64,
}
WIDTHS, INTRINSIC, STRUCTURE, RANK = (512, 1728), 49, 256, 128


def network(stage: str) -> Network:
    """Stable Diffusion 1.5 with the published sizes, without memory."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**SD15)
        resampler = new_resampler(Resampler(), WIDTHS, 768)
        made = Network(unet, Adapter(attention_layers(unet), RANK, resampler.token_shape, stage == "multi"), resampler)
    markers = {"single": ("resampler.", "_faceid.", "_lora."), "multi": ("_lora.", "_router."), "lora": ("_lora.",)}
    for name, value in made.named_parameters():
        value.requires_grad_(not name.startswith("unet.") and any(marker in name for marker in markers[stage]))
    return made


def flops(made: Network, people: int, choice: str = "straight-through") -> int:
    """Of forward and backward for one picture."""
    with torch.device("meta"):
        faces = FaceInputs(
            torch.ones(1, people, dtype=torch.bool),
            torch.empty(1, people, INTRINSIC, WIDTHS[0]),
            torch.empty(1, people, STRUCTURE, WIDTHS[1]),
            torch.empty(1, people),
            torch.empty(1, people, STRUCTURE),
        )
        noised, timesteps, text = torch.empty(1, 4, 64, 64), torch.empty(1), torch.empty(1, 77, 768)
    with FlopCounterMode(display=False) as counter:
        predicted, logits = made(noised, timesteps, text, None, faces, Routing(choice))
        (predicted.sum() + sum(layer.sum() for layer in logits)).backward()
    return counter.get_total_flops()


@pytest.fixture(scope="module")
def plain() -> int:
    """The UNet with the same LoRA, and no people."""
    made = network("lora")
    made.add_people = lambda number, weights, x, query, heads: 0
    made.tokens = lambda faces: None
    return flops(made, 1)


def test_stage_one_costs_hardly_more_than_a_lora(plain):
    share = flops(network("single"), 1) / plain
    print(f"stage I: {share:.4f} of {plain / 1e12:.3f} TFLOP a picture")
    assert 1 < share <= 1.05


def test_stage_two(plain):
    shares = [flops(network("multi"), people) / plain for people in (2, 3, 4)]
    print("stage II, two to four people:", *(f"{share:.4f}" for share in shares))
    assert shares == sorted(shares)
    assert shares[-1] <= 1.12
