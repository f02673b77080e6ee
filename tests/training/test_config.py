"""Settings that are read, and faults that are named."""

from pathlib import Path

import pytest

from training.config import read_config
from uniportrait_core.errors import UniPortraitError

CONFIGS = Path(__file__).parents[2] / "training" / "configs"
SMALLEST = """
[base]
model = "base"
clip_vision = "clip"
face_backbone = "backbone.safetensors"
[data]
shards = ["shards"]
[run]
output = "out"
steps = 10
batch = 2
"""


def read(tmp_path: Path, text: str, stage: str = "single"):
    path = tmp_path / "config.toml"
    path.write_text(text)
    return read_config(path, stage)


def test_defaults_are_the_papers(tmp_path):
    config = read(tmp_path, SMALLEST)
    assert (config.optimizer.learning_rate, config.optimizer.lora_factor, config.router.loss_weight) == (1e-5, 0.1, 0.1)
    assert (config.features.drop_path, config.features.drop_token, config.data.second_photo) == (0.33, 0.33, 0.1)
    assert (config.guidance.drop_faces, config.run.lora_rank, config.preview.guidance) == (0.05, 128, 7.5)


def test_paths_count_from_the_file(tmp_path):
    shards = 'shards = ["shards", "s3://bucket/more"]\ndetector = "yunet:yunet.onnx"'
    config = read(tmp_path, SMALLEST.replace('shards = ["shards"]', shards))
    assert config.base.model == tmp_path / "base"
    assert config.data.shards == [str(tmp_path / "shards"), "s3://bucket/more"]
    assert config.data.detector == f"yunet:{tmp_path / 'yunet.onnx'}"
    assert config.run.output == tmp_path / "out"
    assert config.run.stage_one == ""


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_settings_that_come_along(path):
    stage = "multi" if "multi" in path.stem else "single"
    config = read_config(path, stage)
    assert f"training {stage} training/configs/{path.name}" in path.read_text("utf-8")
    if path.stem.startswith("paper"):
        assert (config.run.steps, config.run.batch * 8) == ({"single": 300_000, "multi": 150_000}[stage], 128)


@pytest.mark.parametrize(
    "change, said",
    (
        ("\n[optimiser]\nrate = 1", "optimiser is no key that is known"),
        ("\n[optimizer]\nrate = 1", "optimizer.rate is no key that is known"),
        ("\n[optimizer]\nlearning_rate = -1", "optimizer.learning_rate is -1: input should be greater than 0"),
        (
            "\n[features]\nintrinsic = 'some'",
            "features.intrinsic is 'some': input should be 'local', 'global' or 'none'",
        ),
        ("\n[features]\nstructure = []", "features.structure is []: list should have at least 1 item"),
        (
            "\n[features]\nstructure = ['clip', 'clip']",
            "features.structure is ['clip', 'clip'], needed is shallow, clip, or both",
        ),
        ("\n[features]\ndrop_path = 0.8", "features.drop_path and features.drop_token add up to more than 1"),
        ("\n[guidance]\ndrop_faces = 0.95", "guidance.drop_faces, drop_text and drop_both add up to 1.05"),
        ("\n[router]\nchoice = 'soft'", "router has no effect in stage I"),
        ("\n[optimizer]\nlora_factor = 0.5", "optimizer.lora_factor has no effect in stage I"),
        ("\n[optimizer]\nidentity_factor = 0.5", "optimizer.identity_factor has no effect in stage I"),
        ("\n[optimizer]\neight_bit = true", "optimizer.eight_bit needs bitsandbytes"),
        ("\nstage_one = 'file'", "run.stage_one has no effect in stage I"),
        ("\n[resampler]\ndim = 100", "resampler.dim is 100: input should be a multiple of 64"),
    ),
)
def test_faults_name_the_key(tmp_path, change, said):
    with pytest.raises(UniPortraitError) as error:
        read(tmp_path, SMALLEST + change)
    assert said in str(error.value)
    assert "docs/training.md" in str(error.value)


@pytest.mark.parametrize(
    "text, stage, said",
    (
        (SMALLEST + "start_from = 'f'\nlora_rank = 4", "single", "run.lora_rank has no effect beside run.start_from"),
        (SMALLEST, "multi", "run.stage_one is missing: stage II starts from the face-ID weights"),
        (SMALLEST.replace("steps = 10", ""), "single", "run.steps is missing"),
        (
            SMALLEST.replace('"base"', '"base"\nip_adapter = "file"'),
            "single",
            "base.ip_adapter has no effect in stage I",
        ),
        (SMALLEST.replace('["shards"]', '["shards"]\nmax_people = 1') + "stage_one = 'f'", "multi", "max_people is 1"),
        (
            SMALLEST.replace('["shards"]', '["shards"]\nmin_people = 5') + "stage_one = 'f'",
            "multi",
            "data.min_people is 5, more than data.max_people, 4",
        ),
        (
            SMALLEST.replace('["shards"]', '["shards"]\nsecond_photo = 0.5') + "stage_one = 'f'",
            "multi",
            "data.second_photo has no effect in stage II without pictures of one person: data.min_people = 1",
        ),
        ("[base", "single", "is no TOML file"),
        (SMALLEST + "stage_one = 'f'\n[resampler]\ndim = 64", "multi", "resampler has no effect in stage II"),
        (
            SMALLEST.replace('"base"', '"base"\nip_adapter = "file"') + "stage_one = 'f'",
            "multi",
            "run.stage_one has no effect in stage II on an IP-Adapter",
        ),
        (
            SMALLEST + "stage_one = 'f'\n[router]\nchoice = 'none'\nloss_weight = 0.1",
            "multi",
            "router.loss_weight goes with a router, and router.choice is none",
        ),
    ),
)
def test_faults_of_a_stage(tmp_path, text, stage, said):
    with pytest.raises(UniPortraitError, match=said):
        read(tmp_path, text, stage)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UniPortraitError, match="cannot be read"):
        read_config(tmp_path / "none.toml", "single")
