"""What prompts carry, with people: ControlNet, areas and masks of prompts, schedules, LoRAs that belong to a prompt."""

from itertools import combinations

import comfy.controlnet
import comfy.hooks
import pytest
import torch
from comfy.patcher_extension import WrappersMP
from safetensors.torch import save_file

import recipe
import small
from graph import pair, run_node
from oracle import both_ways, differ, ksample, published
from small import apply

SAME = 1e-5


def texts(count):
    """Prompts made of noise."""
    return [[[text[None], {}]] for text in recipe.noise("composition.text", (count, 77, 768))]


# ControlNet


def residuals(model, prompts):
    """What the UNet is handed by ControlNet in the first step, and the picture."""
    seen, model = [], model.clone()

    def spy(executor, x, timesteps, context, y=None, control=None, *rest, **kwargs):
        seen.append([t.clone() for part in sorted(control) for t in control[part] if t is not None])
        return executor(x, timesteps, context, y, control, *rest, **kwargs)

    model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "spy", spy)
    return ksample(model, **prompts), seen[0]


@pytest.mark.parametrize("people", [1, 2])
def test_a_control_net_sees_the_text_only(unet, uniportrait, core, controlled, people):
    """Neither people nor LoRA reach it: at the first step, where nothing else differs, it says the same to the bit."""
    people = small.people(core, people)
    without_people, wanted = residuals(unet, controlled)
    found, given = residuals(apply(unet, uniportrait, people), controlled)
    assert len(wanted) == 13 and all(torch.equal(a, b) for a, b in zip(given, wanted, strict=True))
    lora_only = apply(unet, uniportrait, people, id_scale=0.0)
    with published(unet, uniportrait, people):
        assert recipe.relative_error(found, ksample(lora_only, **controlled)) <= SAME
    assert differ(found, without_people) and differ(found, ksample(apply(unet, uniportrait, people)))


# Areas and masks of prompts


def area(prompt, **changes):
    settings = {"width": 64, "height": 128, "x": 0, "y": 0, "strength": 1.0, **changes}
    return run_node("ConditioningSetArea", conditioning=prompt, **settings)


def percentage(prompt, **changes):
    settings = {"width": 1.0, "height": 1.0, "x": 0.0, "y": 0.0, "strength": 1.0, **changes}
    return run_node("ConditioningSetAreaPercentage", conditioning=prompt, **settings)


def masked(prompt, mask, bounds="default"):
    settings = {"strength": 1.0, "set_cond_area": bounds}
    return run_node("ConditioningSetMask", conditioning=prompt, mask=mask, **settings)


UPPER = torch.cat([torch.ones(1, 64, 64), torch.zeros(1, 64, 64)], dim=1)
WHOLE = {
    "area": area,
    "percentage": percentage,
    "mask": lambda prompt: masked(prompt, torch.ones(1, 128, 64)),
    "mask bounds": lambda prompt: masked(prompt, torch.ones(1, 128, 64), "mask bounds"),
}
PART = {
    "area": lambda prompt: area(prompt, height=64),
    "percentage": lambda prompt: percentage(prompt, height=0.5, y=0.5),
    "mask": lambda prompt: masked(prompt, UPPER),
    "mask bounds": lambda prompt: masked(prompt, UPPER, "mask bounds"),
}


@pytest.mark.parametrize("people", [1, 2])
def test_a_prompt_for_the_whole_picture_is_an_ordinary_one(unet, uniportrait, core, people):
    people = small.people(core, people)
    patched = apply(unet, uniportrait, people)
    (prompt,) = texts(1)
    ordinary = ksample(patched, positive=prompt)
    for whole in WHOLE.values():
        assert recipe.relative_error(ksample(patched, positive=whole(prompt)), ordinary) <= SAME


@pytest.mark.parametrize(("kind", "people"), [*((kind, 2) for kind in PART), ("area", 1), ("mask", 1)])
def test_a_prompt_for_a_part_of_the_picture(unet, uniportrait, core, kind, people):
    """An area has a UNet call of its own, with a smaller latent; a mask is a third half in the same call."""
    people = small.people(core, people)
    first, second = texts(2)
    prompts = {"positive": run_node("ConditioningCombine", conditioning_1=first, conditioning_2=PART[kind](second))}
    found, wanted = both_ways(unet, uniportrait, people, **prompts)
    assert recipe.relative_error(found, wanted) <= SAME
    assert differ(found, ksample(apply(unet, uniportrait, people), positive=first))


def test_the_part_of_a_mask_is_mixed_by_hand(unet, uniportrait, core):
    """With one step the host's rule is simple: where the mask is, the mean of the two prompts' pictures."""
    patched = apply(unet, uniportrait, small.people(core, 2))
    first, second = texts(2)
    combined = run_node("ConditioningCombine", conditioning_1=first, conditioning_2=masked(second, UPPER))
    found, one, other = (ksample(patched, positive=p, steps=1) for p in (combined, first, second))
    wanted = torch.where(torch.arange(16)[:, None] < 8, (one + other) / 2, one)
    assert recipe.relative_error(found, wanted) <= SAME


# Schedules


def test_prompts_in_turn(unet, uniportrait, core):
    people = small.people(core, 2)
    first, second = texts(2)
    ranges = [
        run_node("ConditioningSetTimestepRange", conditioning=prompt, start=start, end=end)
        for prompt, start, end in ((first, 0.0, 0.6), (second, 0.3, 1.0))  # for a while both
    ]
    prompts = {"positive": run_node("ConditioningCombine", conditioning_1=ranges[0], conditioning_2=ranges[1])}
    found, wanted = both_ways(unet, uniportrait, people, steps=3, **prompts)
    assert recipe.relative_error(found, wanted) <= SAME
    for prompt in (first, second):
        assert differ(found, ksample(apply(unet, uniportrait, people), steps=3, positive=prompt))


# LoRAs that belong to a prompt


@pytest.fixture(scope="module")
def lora_file(base):
    """A user's LoRA on what people use too: the queries of cross-attention."""
    name = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_q"
    lora = {f"{name}.lora_up.weight": recipe.noise("hook.up", (small.WIDTH, 4))}
    lora[f"{name}.lora_down.weight"] = 0.1 * recipe.noise("hook.down", (4, small.WIDTH))
    (base / "models" / "loras").mkdir(parents=True, exist_ok=True)
    save_file(lora, base / "models" / "loras" / "hook.safetensors")
    return "hook.safetensors"


def hook_lora(lora_file, keyframes=()):
    hooks = run_node("CreateHookLoraModelOnly", lora_name=lora_file, strength_model=0.8)
    frames = {}
    for strength, start in keyframes:
        frame = run_node("CreateHookKeyframe", strength_mult=strength, start_percent=start, **frames)
        frames = {"prev_hook_kf": frame}
    return run_node("SetHookKeyframes", hooks=hooks, hook_kf=frame) if keyframes else hooks


def on_both(hooks):
    prompts = {f"{name}_NEW": prompt for name, prompt in small.prompts().items()}
    return pair("PairConditioningSetProperties", **prompts, strength=1.0, set_cond_area="default", hooks=hooks)


def test_a_lora_on_both_prompts_is_an_ordinary_one(unet, uniportrait, core, lora_file):
    patched = apply(unet, uniportrait, small.people(core, 2))
    ordinary = ksample(run_node("LoraLoaderModelOnly", model=patched, lora_name=lora_file, strength_model=0.8))
    found = ksample(patched, **on_both(hook_lora(lora_file)))
    assert recipe.relative_error(found, ordinary) <= SAME
    assert differ(found, ksample(patched))


def test_a_lora_on_one_prompt(unet, uniportrait, core, lora_file):
    """The host then calls the UNet for each prompt apart, with other weights, and at every keyframe anew."""
    two = small.people(core, 2)
    settings = {"strength": 1.0, "set_cond_area": "default"}
    found = {}
    for keyframes in ((), ((1.0, 0.0), (0.0, 0.4))):
        hooks = hook_lora(lora_file, keyframes)
        positive = run_node("ConditioningSetProperties", cond_NEW=small.prompts()["positive"], hooks=hooks, **settings)
        found[keyframes], wanted = both_ways(unet, uniportrait, two, positive=positive, steps=3)
        assert recipe.relative_error(found[keyframes], wanted) <= SAME
    patched = apply(unet, uniportrait, two)
    pictures = [*found.values(), ksample(patched, steps=3), ksample(patched, steps=3, **on_both(hook_lora(lora_file)))]
    assert all(differ(a, b) for a, b in combinations(pictures, 2))


def test_a_model_as_a_lora_on_both_prompts(unet, uniportrait, core):
    """The host moves every weight towards another checkpoint's, beside our LoRA; its node wants a whole checkpoint."""
    two = small.people(core, 2)
    towards = {
        f"diffusion_model.{key}": tensor.roll(1, 0)
        for key, tensor in unet.model.diffusion_model.state_dict().items()
        if "attn2.to_q" in key
    }
    hooks = comfy.hooks.create_hook_model_as_lora(towards, None, strength_model=0.5, strength_clip=0.0)
    found, wanted = both_ways(unet, uniportrait, two, **on_both(hooks))
    assert recipe.relative_error(found, wanted) <= SAME
    assert differ(found, ksample(apply(unet, uniportrait, two)))
