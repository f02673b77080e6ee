"""What training exports, through the nodes: the prediction is that of training."""

import sys
from pathlib import Path

import comfy.sample
import comfy.utils
import pytest
import torch

import other_models
import recipe
import small
from graph import Graph

sys.path.append(str(Path(__file__).parents[2]))  # last: the pack's `nodes` must not hide the host's

from diffusers import DDPMScheduler, UNet2DConditionModel  # noqa: E402

from training.config import Config, Preview, Resampler  # noqa: E402
from training.model.adapter import Adapter  # noqa: E402
from training.model.build import new_resampler  # noqa: E402
from training.model.layout import attention_layers, kind_of  # noqa: E402
from training.model.network import FaceInputs, Network, Routing  # noqa: E402
from training.run.export import export  # noqa: E402
from training.run.sampler import Prompt, sample  # noqa: E402

WIDTHS = (512, 448 + 48)  # of what the small backbone and the small CLIP see
TOKENS, RANK, CLIP_DIM = 5, 4, 48
CROSS = {
    "sd15": {
        "block_out_channels": (small.WIDTH,) * 4,
        "cross_attention_dim": 768,
        "attention_head_dim": 8,
    },
    "sdxl": {
        "block_out_channels": (32, 64, 128),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "attention_head_dim": (1, 1, 2),
        "use_linear_projection": True,
        "cross_attention_dim": 2048,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 16,
    },
}


@pytest.fixture(scope="module", params=CROSS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def model(kind, request):
    return request.getfixturevalue({"sd15": "unet", "sdxl": "sdxl"}[kind])


@pytest.fixture(scope="module")
def network(kind, model):
    """The host's UNet as diffusers has it, with what is trained, moved away from where it begins."""
    host = model.model.diffusion_model.state_dict()
    config = dict(CROSS[kind])
    if kind == "sdxl":
        config["projection_class_embeddings_input_dim"] = other_models.SDXL["adm_in_channels"]
    unet = UNet2DConditionModel(**config).eval()
    names = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
    unet.load_state_dict({key: host[name].float() for key, name in names.items() if key in unet.state_dict()})
    resampler = new_resampler(Resampler(tokens=TOKENS, dim=64, depth=2), WIDTHS, config["cross_attention_dim"])
    adapter = Adapter(attention_layers(unet), RANK, resampler.token_shape, routed=True)
    made = Network(unet, adapter, resampler)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in made.named_parameters():
            if not name.startswith("unet."):
                value.add_(0.05 * torch.randn(value.shape, generator=generator))
    return made


@pytest.fixture(scope="module")
def weights(network, kind, small_weights, base):
    """Both files, as training exports them, loaded by the node."""
    folder = base / "models" / "uniportrait" / kind
    folder.mkdir(parents=True)
    base_model = {"model": ".", "clip_vision": ".", "face_backbone": "."}
    run = {"output": ".", "steps": 1, "batch": 1}
    config = Config.model_validate({"base": base_model, "data": {"shards": ["."]}, "run": run})
    trained = {name: value for name, value in network.named_parameters() if not name.startswith("unet.")}
    names = [
        f"{kind}/{export(trained, config, stage, kind_of(network.unet), 1, folder).name}"
        for stage in ("single", "multi")
    ]
    return small.load_uniportrait(*names)


def faces(people, rows=1):
    def noise(name, *shape):
        return recipe.noise(f"trained.{name}", (rows, people, *shape))

    return FaceInputs(
        torch.ones(rows, people, dtype=torch.bool),
        noise("intrinsic", 49, WIDTHS[0]),
        noise("structure", 256, WIDTHS[1]),
        torch.full((rows, people), 0.3),
        torch.ones(rows, people, 256),
    )


def test_what_they_are_for(weights, kind):
    assert weights.base == {"sd15": "Stable Diffusion 1.5", "sdxl": "SDXL"}[kind]


@pytest.mark.parametrize("people", (1, 3))
def test_the_host_predicts_what_training_does(network, model, weights, core, kind, people):
    x = recipe.noise("trained.x", (1, 4, 16, 8))
    text = recipe.noise("trained.text", (1, 77, network.unet.config.cross_attention_dim))
    added = y = None
    if kind == "sdxl":
        unet = network.unet
        pooled = other_models.SDXL["adm_in_channels"] - 6 * unet.config.addition_time_embed_dim
        sizes = torch.tensor([[128.0, 64, 0, 8, 128, 64]])
        added = {"text_embeds": recipe.noise("trained.pooled", (1, pooled)), "time_ids": sizes}
        y = torch.cat((added["text_embeds"], unet.add_time_proj(sizes.flatten()).reshape(1, -1)), dim=1)
    with torch.no_grad():
        wanted, logits = network(x, torch.tensor([400]), text, added, faces(people), Routing("straight-through"))
        tokens = network.tokens(faces(people))[0]
    winners = {int(n) for layer in logits for n in layer.argmax(dim=1).unique()}
    assert winners == set(range(people))  # everybody has spots
    identity = core("embedding.identity").Identity
    people = tuple(identity(cond, torch.zeros_like(cond)) for cond in tokens)
    drawn = small.apply(model, weights, people, id_scale=1.0)
    found = small.call_unet(drawn, x, 400, text, [0], y)
    assert recipe.relative_error(found, wanted) <= 1e-5
    assert recipe.relative_error(small.call_unet(model, x, 400, text, [0], y), wanted) > 1e-2


def test_the_picture_that_training_shows_is_the_hosts(network, model, weights, core, kind):
    """DDIM with guidance, from the same noise, two people."""
    if kind == "sdxl":
        pytest.skip("the host's sampling of SDXL wants sizes that only its own text encoder gives")
    text = recipe.noise("trained.text", (2, 77, 768))
    there, noise = torch.ones(1, 2, dtype=torch.bool), recipe.noise("trained.start", (1, 4, 16, 8))
    cond, uncond = recipe.noise("trained.tokens", (2, 2, TOKENS, 768))
    settings = Preview(steps=4, guidance=2.0, id_scale=0.7)
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1)
    prompts = [Prompt(text[i : i + 1], None, tokens[None], there) for i, tokens in enumerate((cond, uncond))]
    wanted, record = sample(network, scheduler, noise, *prompts, settings, "straight-through")
    assert len(record.maps()) == 4

    identity = core("embedding.identity").Identity
    people = tuple(identity(*halves) for halves in zip(cond, uncond, strict=True))
    drawn = small.apply(model, weights, people, id_scale=0.7)
    sigma = model.get_model_object("model_sampling").sigma(torch.tensor(751.0))
    found = comfy.sample.sample(
        drawn,
        noise * (1 + sigma**2).sqrt() / sigma,  # the host's first noise has no part of the picture's variance
        4,
        2.0,
        "ddim",
        "ddim_uniform",
        *([[text[i : i + 1], {}]] for i in range(2)),
        torch.zeros_like(noise),
        seed=0,
    )
    # Latents leave the host unscaled. Networks of random weights are no denoisers: rounding grows with every step.
    assert recipe.relative_error(found * 0.18215, wanted) <= 1e-4


def test_the_host_encodes_faces_as_training_does(network, weights, kind, tmp_path, base):
    """From a crop to tokens: CLIP of transformers and of the host, the backbone, and the resampler."""
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    from training.frozen.faces import FaceEncoder

    size = {key: recipe.clip_config()[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers")}
    size |= {"num_attention_heads": recipe.clip_config()["num_attention_heads"], "hidden_act": "gelu"}
    vision = CLIPVisionModelWithProjection(CLIPVisionConfig(image_size=224, patch_size=14, projection_dim=24, **size))
    vision.save_pretrained(tmp_path)
    CLIPImageProcessor().save_pretrained(tmp_path)
    encoder = FaceEncoder(base / "models" / "uniportrait" / small.BACKBONE, tmp_path)
    crops = recipe.golden("encode_small")["crops"][:1]
    made = encoder(crops)
    assert made.clip.shape[-1] == CLIP_DIM
    structure = torch.cat((made.shallow, made.clip), dim=-1)
    people = FaceInputs(
        torch.ones(1, 1, dtype=torch.bool),
        made.intrinsic[None],
        structure[None],
        torch.tensor([[0.3]]),
        torch.ones(1, 1, 256),
    )
    with torch.no_grad():
        wanted = network.tokens(people)[0, 0]
    clip = small.clip_vision({**recipe.clip_config(), "hidden_act": "gelu", "projection_dim": 24}, load=False)
    missing, _ = clip.load_sd(vision.state_dict())
    assert not missing
    graph = Graph()
    graph.take(
        graph.add(
            "FaceIDEncode",
            uniportrait=graph.give(weights),
            clip_vision=graph.give(clip),
            image=graph.give(crops.float() / 255),
            structure_scale=0.3,
        )
    )
    (person,) = graph.run()["value"]
    assert recipe.relative_error(person.cond, wanted) <= 1e-5
