"""Steps: how they add up, what they stop at, and that they teach something."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from accelerate.utils import DistributedType

from trainers import batches, ip_adapter, move, trainer
from training.data.tensors import changed
from training.model.network import FaceInputs
from training.run import checkpoint, course
from training.run.export import FILES, export
from uniportrait_core.errors import UniPortraitError
from uniportrait_core.files.checkpoint import load_faceid, load_ip_adapter, load_router

STAGES = ("single", "multi")


def train(made) -> dict[str, torch.Tensor]:
    move(made)
    for step in batches(made):
        made.take_step(step)
    return {name: value.detach().clone() for name, value in made.trained.items()}


@pytest.mark.parametrize("stage", STAGES)
def test_accumulated_passes_are_one_large_batch(tmp_path, stage):
    rate = {
        "learning_rate": 1e-4
    }  # Adam makes a step of the rate out of a gradient that is next to nothing but rounding
    once = train(trainer(stage, tmp_path / "once", optimizer=rate, run={"batch": 4}))
    parts = train(trainer(stage, tmp_path / "parts", optimizer=rate, run={"batch": 2, "accumulation": 2}))
    began = trainer(stage, tmp_path / "began").trained
    for name, value in once.items():
        assert (value - parts[name]).norm() <= 1e-5 * value.norm(), name
    assert any(not torch.equal(value, began[name]) for name, value in once.items())


def test_the_loras_learning_rate_in_stage_two(tmp_path):
    made = trainer("multi", tmp_path, optimizer={"learning_rate": 1e-3, "warmup": 4, "lora_factor": 0.1})
    found = made.take_step(batches(made)[0])
    assert found["learning_rate/routers"] == pytest.approx(1e-3 / 4)
    assert found["learning_rate/lora"] == pytest.approx(1e-4 / 4)
    for group in made.optimizer.param_groups:
        names = [name for name, value in made.trained.items() if any(value is own for own in group["params"])]
        assert {"_lora." in name for name in names} == {group["part"] == "lora"}
        assert group["lr"] == found[f"learning_rate/{group['part']}"]


def test_routers_alone_need_no_gradient_of_the_unet(tmp_path):
    made = trainer("multi", tmp_path, router={"teacher": True}, optimizer={"lora_factor": 0.0}, run={"ema": 0})
    began = {name: value.detach().clone() for name, value in made.trained.items()}
    batch = batches(made)[0][0]
    assert not made.look(batch).diffusion.requires_grad
    made.take_step([batch])
    moved = {name for name, value in made.trained.items() if not torch.equal(value, began[name])}
    assert moved == {name for name in began if "_router." in name} != set(began)
    router = load_router(export(made.weights(), made.config, "multi", "toy", 1, tmp_path / "run"))
    assert torch.equal(router.lora[0]["q"].down, began["adapter.0.to_q_lora.down.weight"])
    made.save()
    again = trainer("multi", tmp_path, router={"teacher": True}, optimizer={"lora_factor": 0.0}, run={"ema": 0})
    again.resume()
    assert all(torch.equal(value, made.trained[name]) for name, value in again.trained.items())


def changed_rows(batch, count: int):
    """The first pictures of a batch."""
    return changed(replace(batch, keys=batch.keys[:count], captions=batch.captions[:count]), lambda t: t[:count])


def gradients(made) -> dict[str, torch.Tensor]:
    made.learn(batches(made)[0][0])
    return {name: value.grad for name, value in made.trained.items()}


def test_a_teacher_gives_the_spots_and_only_routers_learn_from_its_loss(tmp_path):
    """Elsewhere gradients are the same whatever the routing loss counts; without a teacher they are not."""
    made = {
        (teacher, weight): trainer(
            "multi",
            tmp_path,
            router={"teacher": teacher, "loss_weight": weight},
            optimizer={"identity_factor": 1.0},
        )
        for teacher in (True, False)
        for weight in (0.0, 5.0)
    }
    for one in made.values():
        move(one)
    found = {key: gradients(one) for key, one in made.items()}
    for teacher in (True, False):
        weak, strong = found[teacher, 0.0], found[teacher, 5.0]
        same = {name: torch.equal(weak[name], strong[name]) for name in weak}
        assert not any(same[name] for name in same if "_router." in name)
        assert all(same[name] for name in same if "_router." not in name) == teacher
    assert all(not value.any() for name, value in found[True, 0.0].items() if "_router." in name)


def test_with_a_teacher_the_router_changes_no_prediction(tmp_path):
    made = trainer("multi", tmp_path, router={"teacher": True})
    move(made)
    batch = batches(made)[0][0]
    before = made.look(batch)
    with torch.no_grad():
        for name, value in made.trained.items():
            value.add_(torch.randn_like(value) * ("_router." in name))
    after = made.look(batch)
    assert torch.equal(before.diffusion, after.diffusion)
    assert not torch.allclose(before.routing.loss, after.routing.loss)


def test_routers_begin_where_what_they_read_is(tmp_path):
    """Each unit's input to GELU has mean 0 and deviation 1 over spots, and over people."""
    made = trainer("multi", tmp_path, run={"steps": 8})
    seen = [batch for step in batches(made) for batch in step]
    tokens = []
    made.begin(seen)
    for batch in seen:
        made.look(batch)
        tokens.append(made.bare.people)
    for weights in made.bare.adapter.layers():
        if weights.router() is not None:
            inside = weights.to_k_router[0](weights.aggr_router(torch.cat(tokens).mT).squeeze(-1))
            torch.testing.assert_close(inside.std(dim=0), torch.ones(inside.shape[1]), atol=1e-3, rtol=0)
            torch.testing.assert_close(inside.mean(dim=0), torch.zeros(inside.shape[1]), atol=1e-3, rtol=0)
    name = "adapter.1.to_q_router.0.weight"
    assert torch.equal(made.average[name], made.trained[name])
    first = made.bare.unet.get_submodule("down_blocks.0.attentions.0.transformer_blocks.0.attn2")
    spots = []
    with first.to_q.register_forward_pre_hook(lambda _module, inputs: spots.append(inputs[0].flatten(0, 1))):
        for batch in seen:
            made.look(batch)
    inside = made.bare.adapter.layers()[1].to_q_router[0](torch.cat(spots))
    assert (inside.std(dim=0) - 1).abs().max() < 0.2 and inside.mean(
        dim=0
    ).abs().max() < 0.2  # whom spots go to differs


def test_one_person_is_nothing_to_begin_with(tmp_path):
    made = trainer("multi", tmp_path)
    before = {name: value.detach().clone() for name, value in made.trained.items()}
    batch = batches(made)[0][0]
    alone = replace(batch, present=torch.zeros_like(batch.present).index_fill(1, torch.tensor([0]), True))
    made.begin([changed_rows(alone, 1)])
    assert all(torch.equal(value, before[name]) for name, value in made.trained.items())


def test_stage_two_can_train_identity_further(tmp_path):
    made = trainer("multi", tmp_path, optimizer={"identity_factor": 0.5})
    found = made.take_step(batches(made)[0])
    assert found["learning_rate/identity"] == found["learning_rate/routers"] / 2
    path = export(made.weights(), made.config, "multi", "toy", 1, tmp_path / "run")
    router, faceid = load_router(path), load_faceid(path.with_name(FILES["single"]))
    began = load_faceid(tmp_path / FILES["single"])
    for new, old in zip(faceid.layers, began.layers, strict=True):
        assert not torch.equal(new.to_k, old.to_k) and not torch.equal(new.to_v, old.to_v)
    assert torch.equal(faceid.lora[0]["q"].up, router.lora[0]["q"].up)
    left = trainer("multi", tmp_path / "left")
    export(left.weights(), left.config, "multi", "toy", 1, tmp_path / "left" / "run")
    assert not (tmp_path / "left" / "run" / FILES["single"]).exists()


def test_half_precision_that_goes_on_failing_stops(tmp_path, monkeypatch):
    made = trainer("single", tmp_path, run={"ema": 0.5})
    average = {name: value.clone() for name, value in made.average.items()}
    made.optimizer.step = lambda: None
    monkeypatch.setattr(type(made.optimizer), "step_was_skipped", property(lambda _: True))
    batch = batches(made)[0]
    with pytest.raises(UniPortraitError, match="in the last 50 steps, up to step 50"):
        for _ in range(60):
            made.take_step(batch)
    assert all(torch.equal(value, average[name]) for name, value in made.average.items())


def test_a_narrow_router(tmp_path):
    made = trainer("multi", tmp_path, router={"hidden": 6})
    assert made.trained["adapter.1.to_k_router.0.weight"].shape == (6, 64)
    assert math.isfinite(made.take_step(batches(made)[0])["loss/routing"])


def test_the_moving_average(tmp_path):
    """The decay rises with the steps, (1 + n) / (10 + n), up to what is set."""
    made = trainer("single", tmp_path, run={"ema": 0.5, "steps": 3})
    wanted = {name: value.detach().clone() for name, value in made.trained.items()}
    for number, step in enumerate(batches(made)):
        made.take_step(step)
        decay = min(0.5, (1 + number) / (10 + number)) if number else 0.0
        wanted = {name: decay * wanted[name] + (1 - decay) * value.detach() for name, value in made.trained.items()}
    for name, value in made.weights().items():
        torch.testing.assert_close(value, wanted[name])
    assert trainer("single", tmp_path, run={"ema": 0}).weights().keys() == wanted.keys()


@pytest.mark.parametrize("precision", ("bf16", "fp16"))
def test_half_precision(tmp_path, precision):
    if precision == "fp16" and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    made = trainer("multi", tmp_path, run={"precision": precision, "steps": 2})
    for step in batches(made):
        found = made.take_step(step)
    assert math.isfinite(found["loss/diffusion"]) and math.isfinite(found["loss/routing"])
    assert all(value.dtype == torch.float32 for value in made.trained.values())


@pytest.mark.parametrize("where", ("moments", "text"))
def test_a_loss_that_is_no_number_stops_the_training(tmp_path, where):
    made = trainer("single", tmp_path, guidance={"drop_text": 0, "drop_both": 0})
    good, bad, *_ = batches(made)
    made.take_step(good)
    made.save()
    before = {name: value.detach().clone() for name, value in made.trained.items()}
    getattr(bad[0], where)[1] = math.nan
    with pytest.raises(UniPortraitError, match=rf"is no number at step 2; the pictures were .*{bad[0].keys[1]}"):
        made.take_step(bad)
    assert all(torch.equal(value, before[name]) for name, value in made.trained.items())
    assert [path.name for path in checkpoint.checkpoints(made.config.run.output)] == ["checkpoint-00000001"]


def test_stage_two_without_a_router(tmp_path):
    made = trainer("multi", tmp_path, router={"choice": "none"})
    assert not any("_router." in name for name in made.trained)
    found = made.take_step(batches(made)[0])
    assert "loss/routing" not in found and math.isfinite(found["loss/diffusion"])


@pytest.mark.parametrize(
    "features, widths",
    (
        ({"intrinsic": "global"}, (20, 68)),
        ({"intrinsic": "none"}, (24, 68)),
        ({"structure": ["clip"]}, (24, 32)),
        ({"structure": ["shallow"]}, (24, 36)),
    ),
)
def test_the_features_of_table_three(tmp_path, features, widths):
    made = trainer("single", tmp_path, features=features)
    assert (made.bare.resampler.intrinsic_dim, made.bare.resampler.structure_dim) == widths
    assert math.isfinite(made.take_step(batches(made)[0])["loss/diffusion"])


def test_a_router_on_the_tokens_of_an_ip_adapter(tmp_path):
    """Only routers and a LoRA are trained; keys and values are the IP-Adapter's."""
    adapter = load_ip_adapter(ip_adapter(tmp_path))
    made = trainer("multi", tmp_path, base={"ip_adapter": str(tmp_path / "ip-adapter.safetensors")}, run={"ema": 0})
    assert {"_router." in name or "_lora." in name for name in made.trained} == {True}
    crossing = [weights for weights in made.bare.adapter.layers() if hasattr(weights, "aggr_router")]
    for weights, layer in zip(crossing, adapter.layers, strict=True):
        assert torch.equal(weights.id_layer().to_k, layer.to_k) and torch.equal(weights.id_layer().to_v, layer.to_v)
    batch = batches(made)[0][0]
    tokens = made.bare.tokens(FaceInputs(batch.present, image=batch.faces.image))
    torch.testing.assert_close(tokens[0], adapter.tokens(batch.faces.image[0]))
    found = made.take_step([batch])
    assert math.isfinite(found["loss/routing"])
    path = export(made.weights(), made.config, "multi", "toy", 1, tmp_path)
    router = load_router(path)
    assert router.metadata.tokens == "ip-adapter" and router.layers[0].aggregate[0].shape == (1, 3)


def test_engines_that_share_weights_out_are_refused():
    for kind in (DistributedType.FSDP, DistributedType.DEEPSPEED):
        with pytest.raises(UniPortraitError, match=f"accelerate is set to {kind.value}"):
            course._check_engine(SimpleNamespace(distributed_type=kind))
    course._check_engine(SimpleNamespace(distributed_type=DistributedType.MULTI_GPU))
