"""What is not left to chance: random networks whose pictures can be read.

A wholly random UNet is no denoiser, and its pictures are noise. A few channels are therefore set by hand, and the rest
stays as drawn:

- the first channels of the last UNet block carry the UNet's own input, as pairs (v, −v), since
  SiLU(v) − SiLU(−v) = v. With them the predicted noise is `DENOISING · input` plus what the random layers say: the
  initial noise goes, what the random layers say of prompt, people and control picture stays, as soft fields of colour;
- the tiny autoencoder carries the colours of the picture in the same way, ReLU(v) − ReLU(−v) = v, so that encoding and
  decoding a picture gives it back blurred;
- the ControlNet hands the edges of its picture to the channels that carry the input, where they become visible lines;
- random networks see much the same in every face. The backbone is made nearly linear about an average face, and two of
  the adapter's MLPs are made odd, GELU(v) − GELU(−v) = v, so that what differs between people is not lost beside what
  they share.
"""

import torch

from weights import State

LATENTS, CARRIED = 4, 10  # latent channels; channels set aside for them: one group of the last norm
ANCHOR = 20.0  # two opposite constants in that group, so large that the norm is almost linear in the others
DENOISING = 1.4  # 1 leaves half of a unit of the initial noise, more leaves less
TEXTURE = 0.22  # of the random layers in the predicted noise
DETAIL = {6: 0.5, 7: 0.5, 8: 0.5, 9: 0.1, 10: 0.1, 11: 0.1}  # of skip connections by output block: less, larger fields
CONTROL = 0.15  # of the control picture in the predicted noise
COLOURS = torch.tensor([[0.2, 0.2, 0.2], [0.12, 0.0, -0.12], [0.06, -0.12, 0.06], [0.0, 0.0, 0.0]])  # RGB per latent
AVERAGE_FACE = (0.3, 0.05, -0.1)  # R, G, B in −1..1
HOST_SCALE = 0.18215  # the host divides Stable Diffusion's latents by this before it decodes them
LEVEL_STARTS, DECODER_BLOCKS = (7, 12, 17), (3, 4, 5, 8, 9, 10, 13, 14, 15, 18)
ENCODER_STRIDES, ENCODER_BLOCKS = (2, 6, 10), (1, 3, 4, 5, 7, 8, 9, 11, 12, 13)


def shape_unet(state: State) -> None:
    """Let the UNet carry its input past the random layers, in place."""
    first, block, out = "input_blocks.0.0", "output_blocks.11", "out.2"
    _clear(state, first)
    _pairs(state[f"{first}.weight"], 0, 1.0)

    _clear(state, f"{block}.0.skip_connection")
    for index, gain in DETAIL.items():
        skip = _width(state, index - 1)  # a block's input is the last block's output, then the skip connection
        for name in ("in_layers.2", "skip_connection"):
            state[f"output_blocks.{index}.0.{name}.weight"][:, skip:] *= gain
    skip = _width(state, 10)
    for channel in range(2 * LATENTS):
        state[f"{block}.0.skip_connection.weight"][channel, skip + channel] = 1
    state[f"{block}.0.skip_connection.bias"][2 * LATENTS : CARRIED] = torch.tensor([ANCHOR, -ANCHOR])
    for name in ("0.out_layers.3", "1.proj_out"):
        _clear(state, f"{block}.{name}")

    state["out.0.weight"][:CARRIED], state["out.0.bias"][:CARRIED] = 1, 0
    weight = state[f"{out}.weight"].mul_(TEXTURE)
    weight[:, :CARRIED] = 0
    norm = ANCHOR * (2 / CARRIED) ** 0.5
    for latent in range(LATENTS):
        weight[latent, latent, 1, 1] = DENOISING * norm
        weight[latent, latent + LATENTS, 1, 1] = -DENOISING * norm


def shape_backbone(state: State) -> None:
    """Take the average face off before the first activation, in place."""
    response = state["input_layer.0.weight"].float().sum(dim=(2, 3)) @ torch.tensor(AVERAGE_FACE)
    state["input_layer.1.running_mean"].copy_(response)


def shape_resampler(state: State) -> None:
    """Make the projection of the intrinsic features an odd function, in place."""
    _make_odd(state, "proj_id.0", "proj_id.2")


def shape_routers(state: State) -> None:
    """Make θ an odd function of the picture's features, so that it divides them between people, in place."""
    for key in list(state):
        if key.endswith("to_q_router.0.weight"):
            prefix = key.removesuffix("0.weight")
            _make_odd(state, f"{prefix}0", f"{prefix}2")


def shape_controlnet(state: State) -> None:
    """Let the ControlNet add features of its picture to the channels that carry the UNet's input, in place."""
    _clear(state, "input_blocks.0.0")
    _clear(state, "zero_convs.0.0")
    weight = state["zero_convs.0.0.weight"]
    for latent in range(LATENTS):
        weight[latent, latent] = CONTROL
        weight[latent + LATENTS, latent] = -CONTROL


def shape_tiny_autoencoder(state: State) -> None:
    """Let encoder and decoder carry colours, in place."""
    state["vae_scale"].fill_(HOST_SCALE)
    state["vae_shift"].fill_(0)
    _carry_to_latents(state)
    _carry_to_colours(state)


def _carry_to_latents(state: State) -> None:
    """Pairs (v, −v) of R, G and B about grey, averaged 2×2 three times, then mixed to latents."""
    first, last = "taesd_encoder.0", "taesd_encoder.14"
    _clear(state, first)
    for colour in range(3):
        for channel, sign in ((colour, 1.0), (colour + 3, -1.0)):
            state[f"{first}.weight"][channel, colour, 1, 1] = sign
            state[f"{first}.bias"][channel] = -0.5 * sign
    for index in ENCODER_BLOCKS:
        _clear(state, f"taesd_encoder.{index}.conv.4")
    for index in ENCODER_STRIDES:
        _average(state[f"taesd_encoder.{index}.weight"], torch.tensor([0.0, 0.5, 0.5]))
    mix = torch.linalg.pinv(COLOURS).T
    state[f"{last}.weight"].zero_()
    state[f"{last}.weight"][:, :3, 1, 1] = mix.half()
    state[f"{last}.weight"][:, 3:6, 1, 1] = -mix.half()


def _carry_to_colours(state: State) -> None:
    """Pairs (v, −v) of the latents, blurred at every size, then mixed to R, G and B about grey."""
    first, last = "taesd_decoder.1", "taesd_decoder.19"
    blur = torch.tensor([0.25, 0.5, 0.25])
    _clear(state, first)
    for latent in range(LATENTS):
        state[f"{first}.weight"][latent, latent] = torch.outer(blur, blur)
        state[f"{first}.weight"][latent + LATENTS, latent] = -torch.outer(blur, blur)
    for index in DECODER_BLOCKS:
        _clear(state, f"taesd_decoder.{index}.conv.4")
    for index in LEVEL_STARTS:
        _average(state[f"taesd_decoder.{index}.weight"], blur)
    state[f"{last}.weight"].zero_()
    state[f"{last}.bias"].fill_(0.5)
    state[f"{last}.weight"][:, :LATENTS, 1, 1] = COLOURS.T.half()
    state[f"{last}.weight"][:, LATENTS : 2 * LATENTS, 1, 1] = -COLOURS.T.half()


def _make_odd(state: State, first: str, last: str) -> None:
    """Turn Linear, GELU, Linear into a linear map: the second half of the inner units mirrors the first."""
    inner, outer = state[f"{first}.weight"], state[f"{last}.weight"]
    half = len(inner) // 2
    inner[half:] = -inner[:half]
    outer[:, half:] = -outer[:, :half]
    for layer in (first, last):
        if f"{layer}.bias" in state:
            state[f"{layer}.bias"].zero_()


def _width(state: State, index: int) -> int:
    """Channels that leave an output block."""
    return state[f"output_blocks.{index}.0.out_layers.3.weight"].shape[0]


def _clear(state: State, layer: str) -> None:
    """Set the outputs that are carried to zero."""
    state[f"{layer}.weight"][:CARRIED] = 0
    state[f"{layer}.bias"][:CARRIED] = 0


def _pairs(weight: torch.Tensor, offset: int, value: float) -> None:
    """Outputs v and −v of every latent."""
    for latent in range(LATENTS):
        weight[latent, offset + latent, 1, 1] = value
        weight[latent + LATENTS, offset + latent, 1, 1] = -value


def _average(weight: torch.Tensor, taps: torch.Tensor) -> None:
    """Make a convolution average every carried channel on its own."""
    weight[:CARRIED] = 0
    for channel in range(CARRIED):
        weight[channel, channel] = torch.outer(taps, taps)
