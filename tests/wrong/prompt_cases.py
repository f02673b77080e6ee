"""Prompts of the pack's own workflows as other versions of it would have saved them, or nobody: what the host, which
asks the nodes, says of them before anything runs."""

import asyncio
import copy
import json
from pathlib import Path
from random import Random
from typing import Any

import execution
import nodes as host_nodes

from workflow_prompts import PROMPTS

from .demands import faults_of_text
from .file_cases import PATIENCE, Outcome, limited
from .guard import Guard
from .input_cases import NODE_INPUTS, REFUSALS, _is_json
from .inputs import NUMBERS, TEXTS

PACK = str(PROMPTS.parents[1])
OURS = tuple(json.loads(NODE_INPUTS.read_text("utf-8")))
VALUES = [value for value in (*NUMBERS, *TEXTS) if _is_json(value)] + [
    [], {}, [["1", 0]], ["1", 0], ["1", 99], ["1", -1], ["99", 0], ["1", "0"], [None, 0], [1, 2, 3], {"a": {}}, [[]],
    {"__value__": 1}, {"__value__": ["1", 0]},
]  # fmt: skip
FILES = {"ckpt_name": "checkpoints", "vae_name": "vae", "clip_name": "clip_vision", "control_net_name": "controlnet",
         "ip_adapter": "ipadapter", "faceid": "uniportrait", "router": "uniportrait", "face_backbone": "uniportrait",
         "image": "../input"}  # fmt: skip


def run_case(seed: int, number: int, base: Path, guard: Guard) -> Outcome:
    """Have the host check the wrong prompt of this number, and judge. `base` is the host's folder."""
    dice = Random(f"{seed}:{number}")
    path = dice.choice(sorted(PROMPTS.glob("*.json")))
    prompt = json.loads(path.read_text("utf-8"))
    made = _make_files(prompt, base)
    told = [_change(prompt, dice) for _ in range(dice.choice([1, 1, 2, 4]))]
    outcome = Outcome(f"{number}: {path.stem}, {'; '.join(told)}")
    before = copy.deepcopy(prompt)
    with guard.watch(base / "temp") as seen:
        try:
            with limited(PATIENCE):
                outcome = _judged(prompt, outcome)
        except Exception as error:
            outcome.result = "refused"
            outcome.faults.append(f"the host fails: {type(error).__name__}: {error}"[:300])
    for path in made:
        path.unlink()
    outcome.faults += seen
    outcome.faults += ["the prompt was changed"] if repr(before) != repr(prompt) and not told else []
    return outcome


def _judged(prompt: dict[str, Any], outcome: Outcome) -> Outcome:
    valid, error, _, about = asyncio.run(execution.validate_prompt("wrong", prompt, None))
    if valid and not about:
        return outcome
    outcome.result, outcome.message = "refused", json.dumps([error, about], default=str)[:500]
    for one in about.values():
        for problem in one["errors"]:
            if problem["type"] == "custom_validation_failed" and one["class_type"] in OURS:
                # The host puts the input's name before what the node says.
                text = problem["details"].split(" - ", 1)[-1]
                outcome.faults += faults_of_text("UniPortraitError", text)
            elif problem["type"] not in REFUSALS and PACK in str(problem.get("extra_info")):
                # A wire that leads nowhere makes the host itself fail, which it tells in the same way.
                outcome.faults.append(f"{one['class_type']}: {problem['type']}: {problem['details']}"[:400])
    return outcome


def _change(prompt: dict[str, Any], dice: Random) -> str:
    """Change a node of the pack; returns what was done."""
    ours = [node for node, about in prompt.items() if about.get("class_type") in OURS]
    node = dice.choice(ours)
    about = prompt[node]
    inputs, kind = about["inputs"], about["class_type"]
    way = dice.choice(["missing", "value", "value", "value", "more", "swapped", "node", "circle"])
    name = dice.choice(sorted(inputs) or ["x"])
    if way == "missing":
        inputs.pop(name, None)
    elif way == "value":
        inputs[name] = dice.choice(VALUES)
    elif way == "more":
        name = dice.choice(["more", "", "id_scale", "seed", "\x00"])
        inputs[name] = dice.choice(VALUES)
    elif way == "swapped":
        # What a workflow does whose widgets stand in other places.
        values = list(inputs.values())
        dice.shuffle(values)
        about["inputs"] = dict(zip(inputs, values, strict=True))
    elif way == "node":
        about["class_type"] = dice.choice([*OURS, "UniPortraitGone", "KSampler"])
    else:
        inputs[name] = [node, 0]
    return f"{kind}: {way} {name} {ascii(inputs.get(name))[:80]}"


def _make_files(prompt: dict[str, Any], base: Path) -> list[Path]:
    """Make the files that a sound prompt names, empty: nothing is loaded. Returns those that were not there."""
    made = []
    for about in prompt.values():
        for name, folder in FILES.items():
            file = about["inputs"].get(name)
            if isinstance(file, str) and file != "none":
                path = base / "models" / folder / file
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    path.touch()
                    made.append(path)
    return made


assert set(OURS) <= set(host_nodes.NODE_CLASS_MAPPINGS), "the pack is not loaded"
