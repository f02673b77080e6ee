"""Where the autoencoder's training begins: not at random, but at the mean colours of 8×8 pixels, smoothly enlarged.

Its networks have a way through that is linear but for the norm and SiLU before their last convolutions: residual blocks
that add nothing yet, convolutions that halve and double. Six channels carry red, green and blue along it, each beside
its negative: a norm leaves such pairs around 0, and SiLU(x) − SiLU(−x) = x. The other channels begin at random.
"""

import torch
from diffusers import AutoencoderKL
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn

PLUS, MINUS = (0, 2, 4), (1, 3, 5)  # channels that carry a colour, and its negative
OTHERS = 0.5  # share of the random weights of the other channels, so that norms are mostly of the colours
CONTRAST = 0.55  # the usual root mean square of colours −1..1, which norms divide by
CERTAIN = -6.0  # log-variance of the latents


@torch.no_grad()
def start_with_means(vae: AutoencoderKL) -> AutoencoderKL:
    """Change a new autoencoder's weights, in place. Returns it."""
    mean = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]) / 4
    smooth = torch.outer(torch.tensor([1.0, 2.0, 1.0]), torch.tensor([1.0, 2.0, 1.0])) / 16
    for module in vae.modules():
        if isinstance(module, ResnetBlock2D):
            _nothing(module.conv2)
            if module.conv_shortcut is not None:
                _carry(module.conv_shortcut, torch.ones(1, 1))
        elif isinstance(module, Downsample2D):
            _carry(module.conv, mean)
        elif isinstance(module, Upsample2D):
            _carry(module.conv, smooth)
    for part in (vae.encoder, vae.decoder):
        _nothing(part.mid_block.attentions[0].to_out[0])
        _enter(part.conv_in)
    encoded = vae.encoder.conv_out
    encoded.weight[len(encoded.weight) // 2 :] = 0
    encoded.bias.zero_()[len(encoded.weight) // 2 :] = CERTAIN
    _leave(encoded, 1.0)
    vae.decoder.conv_out.weight *= 0.1
    vae.decoder.conv_out.bias.zero_()
    _leave(vae.decoder.conv_out, CONTRAST)
    for around in (vae.quant_conv, vae.post_quant_conv):
        around.weight.copy_(torch.eye(len(around.weight))[:, :, None, None])
        around.bias.zero_()
    return vae


def _nothing(layer: nn.Module) -> None:
    layer.weight.zero_()
    layer.bias.zero_()


def _carry(conv: nn.Conv2d, kernel: Tensor) -> None:
    """The colours pass, each through the kernel."""
    conv.weight *= OTHERS
    conv.bias.zero_()
    for channel in (*PLUS, *MINUS):
        conv.weight[channel] = 0
        conv.weight[channel, channel] = kernel


def _enter(conv: nn.Conv2d) -> None:
    """From three colours to six channels."""
    conv.weight *= OTHERS
    conv.bias.zero_()
    for colour, (plus, minus) in enumerate(zip(PLUS, MINUS, strict=True)):
        for channel, sign in ((plus, 1.0), (minus, -1.0)):
            conv.weight[channel] = 0
            conv.weight[channel, colour, 1, 1] = sign


def _leave(conv: nn.Conv2d, contrast: float) -> None:
    """From six channels to three colours."""
    for colour, (plus, minus) in enumerate(zip(PLUS, MINUS, strict=True)):
        conv.weight[colour] *= 0.1
        conv.weight[colour, plus, 1, 1], conv.weight[colour, minus, 1, 1] = contrast, -contrast
