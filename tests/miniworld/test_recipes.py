"""Training the world's networks: the loop, and all of it once in the smallest size."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from jobs_of_miniworld import job
from miniworld.config import FULL, PRESETS, TINY, Budget
from miniworld.data.pixels import to_unit
from miniworld.data.shards import scene_of
from miniworld.data.store import Store
from miniworld.files import Files
from miniworld.nets.base_model import SCALING_FACTOR, new_schedule, new_text_encoder, new_unet, new_vae
from miniworld.nets.classifiers import new_classifiers
from miniworld.nets.norms import lean
from miniworld.nets.recognisers import new_backbone, new_measuring_net
from miniworld.nets.tokens import load_tokenizer
from miniworld.nets.vae_start import start_with_means
from miniworld.nets.vision import new_vision_encoder
from miniworld.recipes import fit as loop
from miniworld.recipes.detector import centre_loss
from miniworld.recipes.lanes import RECIPES
from miniworld.recipes.stages import STAGES, WITHOUT
from miniworld.recipes.unet import noised
from miniworld.world.picture import picture
from training.frozen.faces import FaceEncoder
from training.frozen.latents import load_vae, scaled, to_moments
from training.frozen.text import TextEncoder
from uniportrait_core.faces.centre_detector import INPUT, STRIDE, CentreDetector, CentreNet, decode


@pytest.mark.parametrize("name", PRESETS)
def test_sizes_fit_the_host(name):
    preset = PRESETS[name]
    assert preset.size % 64 == 0
    assert not any(width % 32 for width in (*preset.vae, *preset.unet)), (
        "the host makes 32 groups before they are changed"
    )
    assert preset.text % 64 == 0, "heads of the pack's resampler are 64 wide"
    assert len(set(preset.backbone[1:])) == len(preset.backbone) - 1
    assert set(preset.budgets) == set(RECIPES) - set(WITHOUT) - {"photos", "features"}


@pytest.mark.parametrize("new", (new_vae, new_unet))
def test_no_channel_is_normed_alone(new):
    """It would lose its mean, and a picture how light it is."""
    norms = [module for module in new(FULL).modules() if isinstance(module, torch.nn.GroupNorm)]
    assert len(norms) > 20 and all(norm.num_channels >= 4 * norm.num_groups for norm in norms)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_the_autoencoder_begins_with_mean_colours(preset):
    torch.manual_seed(0)
    vae = start_with_means(new_vae(preset)).eval()
    pictures = to_unit(torch.from_numpy(np.stack([picture(scene_of(n, "check"), preset.size) for n in range(8)])))
    with torch.no_grad():
        latents = vae.encode(pictures).latent_dist
        drawn = vae.decode(latents.mean).sample
    assert latents.std.max() < 0.06
    wanted, found = (F.avg_pool2d(x, 8).movedim(1, 0).flatten(1) for x in (pictures, drawn))
    for colour in range(3):
        assert torch.corrcoef(torch.stack((wanted[colour], found[colour])))[0, 1] > 0.9
    # What means leave out are lines, of which small pictures have more; random weights are further off than one grey.
    assert (drawn - pictures).square().mean() < 0.7 * pictures.var()


def test_lean_norms_keep_half_precision_and_mean_the_same():
    torch.manual_seed(0)
    norm, x = torch.nn.GroupNorm(2, 8), (3 + torch.randn(2, 8, 5, 5)).bfloat16().float()
    torch.nn.init.normal_(norm.weight)
    wanted, names = norm(x), set(norm.state_dict())
    with torch.autocast("cpu", torch.bfloat16):
        found = lean(norm)(x.bfloat16())
    assert found.dtype == torch.bfloat16 and torch.allclose(found.float(), wanted, rtol=0.02, atol=0.02)
    assert torch.equal(norm(x), wanted) and set(norm.state_dict()) == names


def test_what_ships_is_small(trained):
    with torch.device("meta"):
        text = new_text_encoder(FULL, load_tokenizer(trained.tokenizer))
        networks = (
            new_vae(FULL), new_unet(FULL), text, new_vision_encoder(FULL), new_backbone(FULL),
            new_measuring_net(FULL), new_classifiers(), CentreNet(),
        )  # fmt: skip
    assert 2 * sum(p.numel() for net in networks for p in net.parameters()) < 18.8e6


def test_the_pack_and_the_trainer_read_the_weights(trained):
    text, _ = TextEncoder(trained.base)(["a person in a park"])
    assert text.shape == (1, 77, TINY.text)
    found = FaceEncoder(trained.backbone, trained.clip_vision)(torch.zeros(2, 224, 224, 3, dtype=torch.uint8))
    assert found.intrinsic.shape == (2, 49, TINY.backbone[-1]) and found.clip.shape == (2, 256, TINY.vision)
    picture = np.zeros((640, 640, 3), np.uint8)
    assert isinstance(CentreDetector(trained.detector)(picture, 0.99), list)


def test_weights_say_what_made_them(trained):
    folders = {"data", "state", *STAGES}
    files = [file for file in trained.root.rglob("*.safetensors") if not folders & set(file.parts)]
    assert len(files) == 9
    for file in files:
        with safe_open(file, "pt") as weights:
            said = weights.metadata()
            assert said["command"] == "pytest" and said["steps"] == "2" and said["seed"] == "1" and said["data"]
            assert json.loads(said["quality"])
            assert all(weights.get_tensor(key).dtype in (torch.float16, torch.int64) for key in weights.keys())  # noqa: SIM118


def test_latents_are_scaled_for_the_host(trained):
    vae = load_vae(trained.base)
    shard = load_file(trained.root / "data" / "checks" / "00000.safetensors")
    pixels = shard["pixels"].movedim(-1, 1).float() / 127.5 - 1
    latents = scaled(vae.config, to_moments(vae, pixels).chunk(2, dim=1)[0])
    assert vae.config.scaling_factor == SCALING_FACTOR
    assert latents.mean(dim=(0, 2, 3)).abs().max() < 0.02
    assert (latents.std(dim=(0, 2, 3)) - 1).abs().max() < 0.02


def test_scaling_latents_changes_no_picture(trained):
    from miniworld.recipes.vae import to_host_scale

    torch.manual_seed(0)
    vae, preset = new_vae(TINY).eval(), replace(TINY, scenes=24, people=6, photos=2, checks=6)
    scaled_vae = to_host_scale(new_vae(TINY), vae, job(trained.root, preset=preset)).eval()
    pictures = torch.rand(2, 3, 64, 64) * 2 - 1
    before, after = (net.decode(net.encode(pictures).latent_dist.mean).sample for net in (vae, scaled_vae))
    assert torch.allclose(before, after, atol=1e-4)
    spreads = [net.encode(pictures).latent_dist for net in (vae, scaled_vae)]
    ratio = spreads[1].std / spreads[0].std
    assert torch.allclose(ratio, ratio[:, :, :1, :1].expand_as(ratio), rtol=1e-3)


def test_a_training_that_was_cut_off_goes_on_as_if_nothing_had_happened(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    goal = torch.randn(4, 4)

    def run(folder: Path, breaks_at: int) -> torch.nn.Module:
        torch.manual_seed(3)
        model, calls = torch.nn.Linear(4, 4), []

        def loss(_: float) -> torch.Tensor:
            calls.append(1)
            if len(calls) > breaks_at:
                raise KeyboardInterrupt
            return ((model(torch.randn(16, 4)) - goal[0]) ** 2).mean()

        return loop.fit(job(folder), model, loss).model

    whole = run(tmp_path / "whole", 99)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", 5)
    again = run(tmp_path / "cut", 99)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_training_that_goes_on_from_weights_draws_what_the_last_one_has_not_drawn(tmp_path, monkeypatch):
    """And tells of that one, also where it was cut off after it had written weights of its own."""
    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    model, drawn = torch.nn.Linear(1, 1), []

    def loss(_: float) -> torch.Tensor:
        drawn.append(float(torch.rand(())))
        if len(drawn) == 6:
            raise KeyboardInterrupt
        return model(torch.ones(1, 1)).square().mean()

    four = job(tmp_path / "first", budget=Budget(4, 60, 1, 1e-2))
    loop.fit(four, model, loss)
    before, next_four = {"before": json.dumps([{"steps": "4"}])}, replace(four, files=Files(tmp_path / "second"))
    with pytest.raises(KeyboardInterrupt):
        loop.fit(next_four, model, loss, before=before)
    fitted = loop.fit(next_four, model, loss, before={"before": json.dumps([{"steps": "4"}, {"steps": "1"}])})
    assert len(set(drawn)) == 8, "the one that was cut off is drawn again, and no other"
    assert fitted.before == before


def test_a_training_ends_when_its_time_is_over(tmp_path):
    model = torch.nn.Linear(2, 1)
    short = job(tmp_path, budget=Budget(10**9, 0.3, 4, 1e-2))
    fitted = loop.fit(short, model, lambda _: model(torch.ones(4, 2)).square().mean())
    assert 1 < fitted.steps < 10**6 and 0.3 <= fitted.seconds < 5


def test_batch_norms_are_measured_when_the_training_is_over(tmp_path):
    """Four steps move a running mean a third of the way only."""
    norm = torch.nn.BatchNorm1d(3)
    short = job(tmp_path, budget=Budget(4, 60, 4, 1e-2))
    fitted = loop.fit(short, norm, lambda _: norm(5 + 2 * torch.randn(64, 3)).square().mean())
    assert torch.allclose(fitted.model.running_mean, torch.tensor(5.0), atol=0.3)
    assert torch.allclose(fitted.model.running_var, torch.tensor(4.0), atol=0.6)


def ideal_maps(points: torch.Tensor) -> torch.Tensor:
    """What a perfect detector says of faces, (people, 7, 2) in shares of the input."""
    side = INPUT // STRIDE
    maps = torch.full((15, side, side), -9.0)
    for face in points * side:
        x, y = face[:2].mean(dim=0).long().tolist()
        maps[0, y, x] = 9.0
        maps[1:, y, x] = ((face - torch.tensor([x + 0.5, y + 0.5])) / STRIDE).flatten()
    return maps


def test_the_detector_says_where_it_was_taught_to():
    faces = torch.tensor([[0.2, 0.2, 0.4, 0.45], [0.6, 0.3, 0.75, 0.52]]).unflatten(1, (2, 2))
    marks = faces[:, :1] + torch.tensor([[0.05, 0.07], [0.1, 0.07], [0.075, 0.1], [0.06, 0.15], [0.1, 0.15]])
    points = torch.cat((faces, marks), dim=1)
    maps = ideal_maps(points)
    found = sorted(decode(maps, 0.5, scale=1.0), key=lambda face: face.box[0])
    assert len(found) == 2
    for face, wanted in zip(found, points * INPUT, strict=True):
        assert np.allclose(face.box, wanted[:2].flatten(), atol=1e-3)
        assert np.allclose(face.landmarks, wanted[2:], atol=1e-3)
    right = centre_loss(maps[None], points[None], torch.tensor([2]))
    wrong = centre_loss(maps[None].roll(3, -1), points[None], torch.tensor([2]))
    assert right < 0.05 < wrong


def test_a_folder_may_hold_more_pictures_than_are_wanted(tmp_path):
    """Of an earlier run with more; waiting for all of fewer has to end."""
    for number in range(3):
        save_file({"pixels": torch.full((4, 1), number)}, tmp_path / f"{number:05d}.safetensors")
    store = Store(tmp_path, 2, torch.device("cpu"), ("pixels",)).wait()
    assert store.complete and store["pixels"].flatten().tolist() == [0] * 4 + [1] * 4


def test_high_noise_is_drawn_most_often():
    """And of every level what its share of the picture says."""
    torch.manual_seed(0)
    vae = new_vae(TINY)
    kept = new_schedule().alphas_cumprod
    moments = torch.ones(4000, 2 * vae.config.latent_channels, 1, 1)
    time, noise, noisy = noised(moments, vae, kept)
    assert (time >= 800).float().mean().item() == pytest.approx(0.3 + 0.7 * 0.2, abs=0.03)
    assert time.min() < 10 and time.max() == 999
    assert noisy.shape == noise.shape == (4000, vae.config.latent_channels, 1, 1)
