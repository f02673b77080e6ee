"""The settings of a training: a TOML file, checked before anything is loaded.

Defaults are the paper's where it names a value, and otherwise ours (`docs/training.md` says which are which).
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from uniportrait_core.errors import UniPortraitError

STAGES = {"single": "stage I", "multi": "stage II", "pictures": "stage II on an IP-Adapter"}
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class Table(BaseModel):
    """A table of the TOML file: other keys than these are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Base(Table):
    """The frozen networks.

    Attributes:
        model: folder in the layout of diffusers: Stable Diffusion 1.5 of any width, 2, or SDXL.
        clip_vision: folder of CLIP ViT-H/14 in the layout of transformers; needed with cached features too, for what
            stands for nobody.
        face_backbone: weight file of the face backbone.
        ip_adapter: weight file of a plain IP-Adapter, whose tokens take the place of the faces' in stage II; "" for
            faces.
    """

    model: Path
    clip_vision: Path
    face_backbone: Path
    ip_adapter: Path | Literal[""] = ""


class Data(Table):
    """The pictures.

    Attributes:
        shards: folders that `python -m training prepare` made, or addresses of such (s3://, https://); or folders of
            pictures with captions, which are then prepared beside themselves.
        cached: use the features in the shards, where there are any.
        detector: as for `prepare`, "yunet:FILE" or "insightface:FOLDER"; prepares folders of pictures, and compares
            drawn faces with their photos. "" does neither.
        resolution: height and width of the pictures, in pixels.
        buckets: whether pictures keep their proportions, in groups of like shape.
        min_people, max_people: pictures with fewer or more are left out of stage II.
        second_photo: how often another photo of the person feeds the intrinsic branch, if there is one.
        extra_person: how often somebody who is not in the picture is one more candidate of the router.
        workers: processes that read, per training process.
    """

    shards: Annotated[list[str], Field(min_length=1)]
    cached: bool = True
    detector: str = ""
    resolution: Annotated[int, Field(ge=64, multiple_of=8)] = 512
    buckets: bool = False
    min_people: Count = 2
    max_people: Count = 4
    second_photo: Share = 0.1
    extra_person: Share = 0.1
    workers: Annotated[int, Field(ge=0)] = 4


class Features(Table):
    """What the ID embedding module sees (Table 3 of the paper).

    Attributes:
        intrinsic: "local", the backbone's last map; "global", the face embedding in its place; "none", nothing.
        structure: "shallow", the backbone's other maps; "clip", CLIP's features; one of them or both.
        drop_path: how often the structure branch is left out.
        drop_token: how often some of its tokens are dropped.
        token_share: how many tokens are dropped then.
    """

    intrinsic: Literal["local", "global", "none"] = "local"
    structure: Annotated[list[Literal["shallow", "clip"]], Field(min_length=1)] = ["shallow", "clip"]
    drop_path: Share = 0.33
    drop_token: Share = 0.33
    token_share: Share = 0.5


class Resampler(Table):
    """Sizes of the resampler.

    Attributes:
        tokens: ID tokens of a person.
        dim: width, a multiple of 64.
        depth: layers.
    """

    tokens: Count = 16
    dim: Annotated[int, Field(ge=64, multiple_of=64)] = 768
    depth: Count = 6


class Reading(Table):
    """What comes before stage I, if anything: the resampler alone learns to keep who somebody is (`run/reading.py`).

    Attributes:
        steps: of its optimizer; 0 for none.
        batch: pictures per process; no UNet takes part, so many more fit than in `run.batch`.
        learning_rate: after a short warm-up; it falls to nothing until the last step.
    """

    steps: Annotated[int, Field(ge=0)] = 0
    batch: Annotated[int, Field(ge=2)] = 64
    learning_rate: Positive = 1e-3


class Guidance(Table):
    """How often conditions are dropped, so that guidance works: only the faces, only the text, or both."""

    drop_faces: Share = 0.05
    drop_text: Share = 0.05
    drop_both: Share = 0.05


class Router(Table):
    """The router, in stage II.

    Attributes:
        choice: "straight-through", one person per spot with the gradient of the shares; "soft", the shares
            themselves; "none", no router: everybody is added everywhere, which is an ablation and makes no file that
            the nodes take.
        temperature: τ of equation 3.
        teacher: every spot is given to whoever's face is nearest, as the boxes say, whatever the router says. It then
            learns from the routing loss alone, and nothing else learns from that; everybody of a process's batch is
            one of its candidates. Where nothing else is trained a step needs no gradient of the UNet.
        loss_weight: λ of the routing loss; 0 trains without it (Table 4).
        hidden: width inside φ; 0 for twice the tokens' width, as published. SDXL's many wide layers want less.
    """

    choice: Literal["straight-through", "soft", "none"] = "straight-through"
    temperature: Positive = 1.0
    teacher: bool = False
    loss_weight: Annotated[float, Field(ge=0)] = 0.1
    hidden: Annotated[int, Field(ge=0)] = 0


class Loss(Table):
    """Options of the diffusion loss.

    Attributes:
        offset_noise: standard deviation of a noise that is the same for all spots of a channel.
        min_snr: γ of Min-SNR weighting (arXiv 2303.09556); 0 weights all noise levels alike. Below 1 it gives weight
            to high noise, where a small picture's people are decided.
        noisy_share: how often a noise level is drawn of the noisier ones only.
        noisy_from: where these begin, as a share of all levels.
        face_weight: how much more an error in a face box counts; 0 counts all alike.
        likeness: weight of `1 − cos` between the face embeddings of the picture that is predicted and of the photo
            (`run/likeness.py`); 0 for none.
        likeness_levels: from which noise level to which that counts, as shares of all levels: below, the noisy picture
            itself shows who is there; above, the prediction is a blur, and exaggeration alone makes it like anybody.
        likeness_window: side of what is decoded around a face, in spots of the latent.
    """

    offset_noise: Annotated[float, Field(ge=0)] = 0.0
    min_snr: Annotated[float, Field(ge=0)] = 0.0
    noisy_share: Share = 0.0
    noisy_from: Annotated[float, Field(ge=0, lt=1)] = 0.5
    face_weight: Annotated[float, Field(ge=0)] = 0.0
    likeness: Annotated[float, Field(ge=0)] = 0.0
    likeness_levels: tuple[Share, Share] = (0.2, 0.65)
    likeness_window: Annotated[int, Field(ge=4)] = 32


class Optimizer(Table):
    """AdamW.

    Attributes:
        learning_rate: after `warmup` steps, constant.
        lora_factor: of the learning rate, for the LoRA in stage II; 0 leaves that of stage I as it is.
        identity_factor: likewise for resampler, ID keys and values; 0 leaves those of stage I as they are.
        eight_bit: states in eight bits, by bitsandbytes.
        max_norm: gradients are scaled down to this norm; 0 leaves them.
    """

    learning_rate: Positive = 1e-5
    lora_factor: Annotated[float, Field(ge=0)] = 0.1
    identity_factor: Annotated[float, Field(ge=0)] = 0.0
    betas: tuple[Share, Share] = (0.9, 0.999)
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup: Annotated[int, Field(ge=0)] = 500
    eight_bit: bool = False
    max_norm: Annotated[float, Field(ge=0)] = 1.0


class Run(Table):
    """The course of the training.

    Attributes:
        output: folder of checkpoints, logs and exported weights.
        steps: of the optimizer.
        seconds: after which a start ends with what it has, if it has not taken all steps before; 0 for no limit.
        batch: pictures per process and pass.
        accumulation: passes per step.
        precision: "no" is float32.
        gradient_checkpointing: computes again instead of keeping, for less memory.
        cuda_graphs: records what a GPU does in a step, and plays it again: for networks so small that the CPU is slower
            at launching kernels than the GPU at computing them. With cached features only.
        seed: of everything that is left to chance.
        ema: decay of the moving average of the weights, which is what is exported; 0 for none.
        stage_one: exported face-ID weights, which stage II starts from.
        start_from: exported weights of the same stage, or published ones, that are trained further; "" begins anew.
            Sizes of resampler and LoRA are theirs then.
        lora_rank: of stage I; stage II takes its.
        checkpoint_every: steps.
        keep: checkpoints; older ones are deleted.
    """

    output: Path
    steps: Count
    seconds: Annotated[float, Field(ge=0)] = 0.0
    batch: Count
    accumulation: Count = 1
    precision: Literal["no", "fp16", "bf16"] = "no"
    gradient_checkpointing: bool = False
    cuda_graphs: bool = False
    seed: Annotated[int, Field(ge=0)] = 0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.9999
    stage_one: Path | Literal[""] = ""
    start_from: Path | Literal[""] = ""
    lora_rank: Count = 128
    checkpoint_every: Count = 1000
    keep: Count = 3


class Preview(Table):
    """Pictures on the way, at fixed seeds.

    Attributes:
        every: steps; 0 for none.
        count: pictures, of the first samples.
        steps: of DDIM.
        guidance: scale.
        id_scale: strength of the faces.
        structure_scale: weight of the structure branch.
    """

    every: Annotated[int, Field(ge=0)] = 1000
    count: Count = 4
    steps: Count = 20
    guidance: Annotated[float, Field(ge=1)] = 7.5
    id_scale: Annotated[float, Field(ge=0)] = 0.7
    structure_scale: Share = 0.1


class Config(Table):
    """All settings, table by table."""

    base: Base
    data: Data
    features: Features = Features()
    resampler: Resampler = Resampler()
    reading: Reading = Reading()
    guidance: Guidance = Guidance()
    router: Router = Router()
    loss: Loss = Loss()
    optimizer: Optimizer = Optimizer()
    run: Run
    preview: Preview = Preview()

    @model_validator(mode="after")
    def _goes_together(self) -> "Config":
        drops = self.guidance.drop_faces + self.guidance.drop_text + self.guidance.drop_both
        if drops > 1:
            raise ValueError(f"guidance.drop_faces, drop_text and drop_both add up to {drops:g}, at most 1 can be")
        if self.features.drop_path + self.features.drop_token > 1:
            raise ValueError("features.drop_path and features.drop_token add up to more than 1")
        if self.features.structure not in (["shallow", "clip"], ["shallow"], ["clip"]):
            raise ValueError(
                f"features.structure is {self.features.structure}, needed is shallow, clip, or both in this order"
            )
        run = self.run
        if run.cuda_graphs and (run.gradient_checkpointing or run.accumulation > 1 or run.precision == "fp16"):
            raise ValueError(
                'run.cuda_graphs is on, which goes with neither run.gradient_checkpointing, accumulation nor "fp16"'
            )
        if self.router.choice == "none" and "loss_weight" in self.router.model_fields_set:
            raise ValueError("router.loss_weight goes with a router, and router.choice is none")
        return self


def read_config(path: Path, stage: str) -> Config:
    """Read and check the settings.

    Args:
        path: the TOML file; paths in it count from its folder.
        stage: "single" or "multi".

    Raises:
        UniPortraitError: the file cannot be read, or a key is unknown, missing, out of range or goes with no other.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UniPortraitError(f"{path} cannot be read ({error.strerror}). Give the path of a TOML file.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UniPortraitError(f"{path} is no TOML file ({error}). Correct that line.") from error
    try:
        config = Config.model_validate(tables)
    except ValidationError as error:
        found = "; ".join(_fault(fault) for fault in error.errors())
        raise UniPortraitError(f"{path.name}: {found}. Correct the keys; docs/training.md explains each.") from error
    _check_stage(config, stage, path.name)
    return _from_folder(config, path.parent)


def _fault(fault: dict) -> str:
    key = ".".join(str(part) for part in fault["loc"] if part != "literal['']")
    if fault["type"] == "extra_forbidden":
        return f"{key} is no key that is known"
    if fault["type"] == "missing":
        return f"{key} is missing"
    said = fault["msg"].removeprefix("Value error, ")
    return f"{key} is {fault['input']!r}: {said[0].lower()}{said[1:]}" if key else said


WITHOUT_EFFECT = {
    "single": (
        "router",
        "optimizer.lora_factor",
        "optimizer.identity_factor",
        "data.min_people",
        "data.extra_person",
        "run.stage_one",
        "base.ip_adapter",
    ),
    "multi": ("resampler", "reading", "run.lora_rank"),
    "pictures": ("resampler", "reading", "data.second_photo", "optimizer.identity_factor", "run.stage_one", "features"),
}
"""Keys and tables that a stage does not read; stage II on an IP-Adapter's pictures is "pictures"."""


def _check_stage(config: Config, stage: str, name: str) -> None:
    kind = "pictures" if stage == "multi" and config.base.ip_adapter else stage
    faults = [f"{key} has no effect in {STAGES[kind]}" for key in WITHOUT_EFFECT[kind] if _is_set(config, key)]
    if config.run.start_from:
        decided = ("resampler", "reading", "run.lora_rank", "router.hidden")
        sizes = (key for key in decided if key not in WITHOUT_EFFECT[kind])
        faults += [f"{key} has no effect beside run.start_from, whose it is" for key in sizes if _is_set(config, key)]
    if kind == "multi" and not config.run.stage_one:
        faults.append("run.stage_one is missing: stage II starts from the face-ID weights that stage I exported")
    data = config.data
    if kind == "multi" and data.min_people > 1 and _is_set(config, "data.second_photo"):
        faults.append("data.second_photo has no effect in stage II without pictures of one person: data.min_people = 1")
    if stage == "multi" and not data.min_people <= data.max_people:
        faults.append(f"data.min_people is {data.min_people}, more than data.max_people, {data.max_people}")
    if stage == "multi" and data.max_people < 2:
        faults.append(f"data.max_people is {data.max_people}, needed are 2 or more for stage II")
    if config.optimizer.eight_bit and not find_spec("bitsandbytes"):
        faults.append("optimizer.eight_bit needs bitsandbytes, which is not installed: run `pip install bitsandbytes`")
    if faults:
        raise UniPortraitError(f"{name}: {'; '.join(faults)}. Correct the keys; docs/training.md explains each.")


def _is_set(config: Config, key: str) -> bool:
    table, _, field = key.partition(".")
    return table in config.model_fields_set and (not field or field in getattr(config, table).model_fields_set)


def _from_folder(config: Config, folder: Path) -> Config:
    """The settings with paths that count from a folder."""

    def absolute(table: Table) -> Table:
        return table.model_copy(update={key: folder / value for key, value in table if isinstance(value, Path)})

    data, (kind, _, path) = config.data, config.data.detector.partition(":")
    shards = [place if "://" in place else str(folder / place) for place in data.shards]
    data = data.model_copy(update={"shards": shards, "detector": f"{kind}:{folder / path}" if path else kind})
    return config.model_copy(update={"base": absolute(config.base), "data": data, "run": absolute(config.run)})
