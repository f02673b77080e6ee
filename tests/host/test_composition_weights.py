"""The UniPortrait LoRA among other changes to the weights: LoRAs, merged models, partial loading, other precisions."""

import comfy.model_management
import comfy.sd
import pytest
import torch
from comfy.model_patcher import ModelPatcher

import recipe
import small
from graph import run_node
from oracle import attn2_modules, blank, both_ways, differ, ksample, published
from small import apply

SAME = 1e-5
PROJECTIONS = {"q": "to_q", "k": "to_k", "v": "to_v", "out": "to_out.0"}


@pytest.fixture(scope="module")
def base_weights(unet):
    """The UNet's weights as its file has them."""
    comfy.model_management.unload_all_models()
    return {key: tensor.clone() for key, tensor in unet.model.diffusion_model.state_dict().items()}


@pytest.fixture(scope="module")
def other_weights(base_weights):
    """Another checkpoint's: the same numbers in other places."""
    return {key: tensor.roll(1, 0) for key, tensor in base_weights.items()}


@pytest.fixture(scope="module")
def other_unet(other_weights):
    return load(other_weights)


def load(weights, dtype=torch.float32):
    return small.load_unet(weights, dtype)


def merged_weights(model):
    """The weights as the host has them when it samples."""
    comfy.model_management.load_models_gpu([model])
    return model.model.diffusion_model.state_dict()


def differences(lora):
    """up @ down of every weight that a UniPortrait LoRA changes, after the published order of the layers."""
    blocks = [f"input_blocks.{i}.1" for i in (1, 2, 4, 5, 7, 8)] + [f"output_blocks.{i}.1" for i in range(3, 12)]
    paths = [
        f"{block}.transformer_blocks.0.{attn}" for block in [*blocks, "middle_block.1"] for attn in ("attn1", "attn2")
    ]
    return {
        f"{path}.{PROJECTIONS[name]}.weight": pair.up @ pair.down
        for path, pairs in zip(paths, lora, strict=True)
        for name, pair in pairs.items()
    }


def largest_error(found, wanted):
    """Over all weights, each against its largest number."""
    return max(((found[key] - weight).abs().max() / weight.abs().max()).item() for key, weight in wanted.items())


# LoRAs

USER_KEY = "input_blocks.1.1.transformer_blocks.0.attn2.to_q.weight"
USER_NAME = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_q"


def user_lora(model):
    lora = {f"{USER_NAME}.lora_up.weight": recipe.noise("lora.up", (small.WIDTH, 4))}
    lora[f"{USER_NAME}.lora_down.weight"] = recipe.noise("lora.down", (4, small.WIDTH))
    return comfy.sd.load_lora_for_models(model, None, lora, 0.5, 0.0)[0]


@pytest.mark.parametrize("people", [1, 2])
def test_user_loras_add_up_in_either_order(unet, uniportrait, core, base_weights, people):
    face_id = small.people(core, people)
    first, last = apply(user_lora(unet), uniportrait, face_id), user_lora(apply(unet, uniportrait, face_id))
    ours = differences((uniportrait.router if people > 1 else uniportrait).lora)
    users = 0.5 * recipe.noise("lora.up", (small.WIDTH, 4)) @ recipe.noise("lora.down", (4, small.WIDTH))
    for model in (first, last):
        found = merged_weights(model)
        wanted = {key: weight + ours.get(key, 0) for key, weight in base_weights.items()}
        wanted[USER_KEY] = wanted[USER_KEY] + users
        assert largest_error(found, wanted) <= SAME
    picture = ksample(first)
    assert recipe.relative_error(ksample(last), picture) <= SAME
    assert differ(picture, ksample(apply(unet, uniportrait, face_id)))
    assert differ(picture, ksample(user_lora(unet)))


# Merged models


def weighted(a, b, ratio):
    return {key: ratio(key) * weight + (1 - ratio(key)) * b[key] for key, weight in a.items()}


def with_lora(weights, lora):
    added = differences(lora)
    return {key: weight + added.get(key, 0) for key, weight in weights.items()}


BLOCKS = {"input": 0.8, "middle": 0.3, "out": 0.4}


def block_ratio(key):
    """The host's rule: what belongs to none of the three goes with `input`."""
    return next((ratio for name, ratio in BLOCKS.items() if key.startswith(name)), BLOCKS["input"])


@pytest.mark.parametrize(
    ("node", "settings", "ratio"),
    [("ModelMergeSimple", {"ratio": 0.6}, lambda _: 0.6), ("ModelMergeBlocks", BLOCKS, block_ratio)],
)
def test_merged_models(unet, uniportrait, core, other_unet, base_weights, other_weights, node, settings, ratio):
    """Either model counts with its LoRA."""
    model1 = apply(unet, uniportrait, small.people(core, 2))
    model2 = apply(other_unet, uniportrait, small.people(core, 1))
    wanted = weighted(
        with_lora(base_weights, uniportrait.router.lora), with_lora(other_weights, uniportrait.lora), ratio
    )
    merged = run_node(node, model1=model1, model2=model2, **settings)
    assert largest_error(merged_weights(merged), wanted) <= SAME


def test_people_in_merged_models(unet, uniportrait, core, other_unet):
    """The host takes everything but weights from model1, so its people are kept and those of model2 are dropped."""
    two, one = small.people(core, 2), small.people(core, 1, tag="another")

    def merged(id_scale1, id_scale2):
        model1 = apply(unet, uniportrait, two, id_scale=id_scale1)
        model2 = apply(other_unet, uniportrait, one, id_scale=id_scale2)
        return run_node("ModelMergeSimple", model1=model1, model2=model2, ratio=0.6)

    found, nobody = ksample(merged(0.7, 0.7)), merged(0.0, 0.7)
    with published(unet, uniportrait, two):
        wanted = ksample(nobody)
    assert recipe.relative_error(found, wanted) <= SAME
    assert recipe.relative_error(ksample(nobody), ksample(merged(0.0, 0.0))) <= SAME


def test_people_on_a_merged_model(unet, uniportrait, core, other_unet, base_weights, other_weights):
    two = small.people(core, 2)
    merged = run_node("ModelMergeSimple", model1=unet, model2=other_unet, ratio=0.6)
    found, wanted = both_ways(merged, uniportrait, two)
    assert recipe.relative_error(found, wanted) <= SAME
    weights = with_lora(weighted(base_weights, other_weights, lambda _: 0.6), uniportrait.router.lora)
    assert largest_error(merged_weights(apply(merged, uniportrait, two)), weights) <= SAME


# Partial loading


@pytest.mark.parametrize(("short_of", "people"), [(1.0, 1), (0.07, 2)])
def test_partially_loaded_models(unet, uniportrait, core, monkeypatch, people, short_of):
    """The host refuses --lowvram together with the CPU, so its loading is told that there is too little memory."""
    people = small.people(core, people)
    whole = ksample(apply(unet, uniportrait, people))
    modules = unet.model.diffusion_model.named_modules()
    changed = [module for name, module in modules if ".attn" in name and isinstance(module, torch.nn.Linear)]
    plainly, cast = ModelPatcher.partially_load, []

    def little(self, device_to, extra_memory=0, force_patch_weights=False):
        free = (1 - short_of) * self.model_size() - self.model.model_loaded_weight_memory
        return plainly(self, device_to, max(0, min(extra_memory, free)), force_patch_weights)

    def look(*_):
        cast.append(sum(bool(module.comfy_cast_weights and module.weight_function) for module in changed))

    comfy.model_management.unload_all_models()
    monkeypatch.setattr(ModelPatcher, "partially_load", little)
    hook = unet.model.diffusion_model.out.register_forward_hook(look)
    try:
        part = ksample(apply(unet, uniportrait, people))
    finally:
        hook.remove()
        comfy.model_management.unload_all_models()
    # The LoRA is then not merged but added at every use, in all attention layers or in some of them.
    assert set(cast) == {len(changed)} if short_of == 1.0 else 0 < min(cast) <= max(cast) < len(changed)
    assert recipe.relative_error(part, whole) <= SAME


# Precisions


@pytest.mark.parametrize(
    ("dtype", "people"),
    [(torch.float16, 1), (torch.bfloat16, 2), (torch.float8_e4m3fn, 2)],
)
def test_weights_in_other_precisions(uniportrait, core, base_weights, dtype, people):
    """A CPU computes in float32 whatever the weights are stored as, and people are as exact as ever."""
    people = small.people(core, people)
    unet = load(base_weights, dtype)
    assert attn2_modules(unet)[0].to_q.weight.dtype == dtype
    found, wanted = both_ways(unet, uniportrait, people)
    assert found.isfinite().all()
    assert recipe.relative_error(found, wanted) <= SAME


@pytest.mark.parametrize("people", [1, 2])
def test_computing_in_bfloat16(known_unet, known_uniportrait, core, people):
    """Bfloat16 moves this picture by 3 % and 11 %, since random weights amplify it; people may add nothing to that.

    A narrow UNet has too few values for two roundings to be compared by the largest.

    The latent is 16 wide: PyTorch's CPU kernel of the last downsampling returns NaN now and then, in bfloat16, for
    feature maps only two wide.
    """
    unet, uniportrait, square = known_unet, known_uniportrait, blank(height=16, width=16)
    people = small.people(core, people)
    patched, lora_only = (apply(unet, uniportrait, people, id_scale=scale) for scale in (0.7, 0.0))
    seen = []
    hook = attn2_modules(unet)[0].to_out.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    try:
        found = ksample(run_node("ModelComputeDtype", model=patched, dtype="bf16"), latent_image=square)
    finally:
        hook.remove()
    assert set(seen) == {torch.bfloat16}
    with published(unet, uniportrait, people):
        wanted = ksample(run_node("ModelComputeDtype", model=lora_only, dtype="bf16"), latent_image=square)
    exact = ksample(patched, latent_image=square)
    rounding = recipe.relative_error(wanted, exact)
    assert recipe.relative_error(found, exact) <= 1.3 * rounding
    assert (
        recipe.relative_error(ksample(lora_only, latent_image=square), exact) > 2 * rounding
    )  # the people are still there
