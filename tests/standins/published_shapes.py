"""Keys and shapes of the published UniPortrait files and of the plain IP-Adapter, for a UNet of any width."""

from collections.abc import Iterator, Sequence

Shape = tuple[int, ...]
Table = dict[str, Shape]

TOKENS, TOKEN_DIM, TEXT_DIM, RANK = 16, 768, 768, 128
FACE_DIM, CLIP_DIM = 512, 1280
PICTURE_TOKENS, PICTURE_DIM = 4, 1024  # of the plain IP-Adapter; CLIP's projected image embedding
STRUCTURE_DIM = 64 + 128 + 256 + CLIP_DIM  # the first three maps of the backbone, then CLIP's
RESAMPLER_LAYERS = 6
BACKBONE_STAGES = ((64, 3), (128, 13), (256, 30), (512, 3))  # IR-101: channels and units of a stage


def attention_channels(multipliers: Sequence[int], base: int = 320) -> tuple[int, ...]:
    """Channels of the 16 transformer layers in the order of the files: down blocks, up blocks, middle."""
    down = [level for level in multipliers[:3] for _ in range(2)]
    up = [level for level in reversed(multipliers[:3]) for _ in range(3)]
    return tuple(base * level for level in (*down, *up, multipliers[3]))


def faceid(channels: Sequence[int]) -> dict[str, Table]:
    """`uniportrait-faceid_sd15.bin`: the resampler, the single-ID LoRA, keys and values of the ID tokens."""
    adapter: Table = {}
    for index, width in enumerate(channels):
        adapter |= _lora(index, width)
        for name in "kv":
            adapter[f"{2 * index + 1}.to_{name}_faceid.weight"] = (width, TOKEN_DIM)
    return {"faceid_proj": _resampler(), "faceid_adapter": adapter}


def router(channels: Sequence[int]) -> dict[str, Table]:
    """`uniportrait-router_sd15.bin`: the multi-ID LoRA and the router."""
    adapter: Table = {}
    for index, width in enumerate(channels):
        adapter |= _lora(index, width) | _router(f"{2 * index + 1}.", width)
    return {"faceid_adapter": adapter}


def ip_adapter(channels: Sequence[int]) -> Table:
    """`ip-adapter_sd15.safetensors`: an image embedding to tokens, and their keys and values."""
    table = _linear("image_proj.proj", PICTURE_DIM, PICTURE_TOKENS * TEXT_DIM)
    table |= {f"image_proj.norm.{leaf}": (TEXT_DIM,) for leaf in ("weight", "bias")}
    for index, width in enumerate(channels):
        table |= {f"ip_adapter.{2 * index + 1}.to_{name}_ip.weight": (width, TEXT_DIM) for name in "kv"}
    return table


def backbone() -> Table:
    """`glint360k_curricular_face_r101_backbone.bin`: an improved ResNet of 49 units."""
    table: Table = {"input_layer.0.weight": (64, 3, 3, 3), **_batch_norm("input_layer.1", 64)}
    table["input_layer.2.weight"] = (64,)
    table |= _batch_norm("output_layer.0", 512)
    table |= {"output_layer.3.weight": (512, 512 * 7 * 7), "output_layer.3.bias": (512,)}
    table |= _batch_norm("output_layer.4", 512, affine=False)
    width = 64
    for unit, depth in enumerate(depth for depth, units in BACKBONE_STAGES for _ in range(units)):
        table |= _backbone_unit(f"body.{unit}.", width, depth)
        width = depth
    return table


def _lora(index: int, width: int) -> Table:
    """Low-rank weights of one transformer layer: self-attention has the even number, cross-attention the odd one."""
    table: Table = {}
    for number, key_dim in ((2 * index, width), (2 * index + 1, TEXT_DIM)):
        for name, source in (("q", width), ("k", key_dim), ("v", key_dim), ("out", width)):
            table[f"{number}.to_{name}_lora.down.weight"] = (RANK, source)
            table[f"{number}.to_{name}_lora.up.weight"] = (width, RANK)
    return table


def _router(prefix: str, width: int) -> Table:
    """θ of the picture's features, φ of a person's tokens, and the sum over these tokens."""
    table: Table = {}
    for name, source in (("q", width), ("k", TOKEN_DIM)):
        table[f"{prefix}to_{name}_router.0.weight"] = (2 * source, source)
        table[f"{prefix}to_{name}_router.0.bias"] = (2 * source,)
        table[f"{prefix}to_{name}_router.2.weight"] = (width, 2 * source)
    return table | {f"{prefix}aggr_router.weight": (1, TOKENS), f"{prefix}aggr_router.bias": (1,)}


def _resampler() -> Table:
    """The Q-Former that turns the features of a face into tokens."""
    dim = TOKEN_DIM
    table: Table = {"latents": (1, TOKENS, dim)}
    for name, source in (("id", FACE_DIM), ("clip", STRUCTURE_DIM)):
        table |= _linear(f"proj_{name}.0", source, 2 * source) | _linear(f"proj_{name}.2", 2 * source, dim)
    for layer in range(RESAMPLER_LAYERS):
        for attention in range(2):
            table |= _perceiver_attention(f"layers.{layer}.{attention}.", dim)
        table[f"layers.{layer}.2.0.weight"] = table[f"layers.{layer}.2.0.bias"] = (dim,)
        table |= {f"layers.{layer}.2.1.weight": (4 * dim, dim), f"layers.{layer}.2.3.weight": (dim, 4 * dim)}
    return table | _linear("proj_out", dim, dim) | {"norm_out.weight": (dim,), "norm_out.bias": (dim,)}


def _perceiver_attention(prefix: str, dim: int) -> Table:
    norms = {f"{prefix}norm{number}.{leaf}": (dim,) for number in (1, 2) for leaf in ("weight", "bias")}
    matrices = {"to_q": dim, "to_kv": 2 * dim, "to_out": dim}
    return norms | {f"{prefix}{name}.weight": (rows, dim) for name, rows in matrices.items()}


def _backbone_unit(prefix: str, width: int, depth: int) -> Table:
    """Norm, convolution, norm, PReLU, convolution, norm; the shortcut is a convolution where the width changes."""
    table: Table = {}
    if width != depth:
        table[f"{prefix}shortcut_layer.0.weight"] = (depth, width, 1, 1)
        table |= _batch_norm(f"{prefix}shortcut_layer.1", depth)
    table |= _batch_norm(f"{prefix}res_layer.0", width)
    table[f"{prefix}res_layer.1.weight"] = (depth, width, 3, 3)
    table |= _batch_norm(f"{prefix}res_layer.2", depth)
    table[f"{prefix}res_layer.3.weight"] = (depth,)
    table[f"{prefix}res_layer.4.weight"] = (depth, depth, 3, 3)
    return table | _batch_norm(f"{prefix}res_layer.5", depth)


def _batch_norm(prefix: str, width: int, affine: bool = True) -> Table:
    def leaves() -> Iterator[tuple[str, Shape]]:
        for leaf in (*(("weight", "bias") if affine else ()), "running_mean", "running_var"):
            yield f"{prefix}.{leaf}", (width,)
        yield f"{prefix}.num_batches_tracked", ()

    return dict(leaves())


def _linear(prefix: str, source: int, target: int) -> Table:
    return {f"{prefix}.weight": (target, source), f"{prefix}.bias": (target,)}
