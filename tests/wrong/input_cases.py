"""One node after another with wrong inputs, in a host that is loaded in this process."""

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import folder_paths
import nodes as host_nodes
import numpy as np
import torch

import recipe
import small
import styles
from graph import Graph, GraphError, run_node

from .demands import faults_of_text
from .file_cases import PATIENCE, Outcome, limited
from .guard import Guard, forget_peak, peak
from .inputs import Odd, Pool, finite, wrong_value

MOST = 700_000_000  # bytes that any run may take for a while
NODE_INPUTS = Path(__file__).resolve().parents[1] / "host" / "node_inputs.json"
# How the host itself says before it runs that a prompt is wrong.
REFUSALS = {"prompt_outputs_failed_validation", "required_input_missing", "bad_linked_input", "return_type_mismatch",
            "invalid_input_type", "value_smaller_than_min", "value_bigger_than_max", "value_not_in_list",
            "custom_validation_failed", "prompt_no_outputs", "missing_node_type", "dependency_cycle"}  # fmt: skip
SOUND = {"steps": {"UniPortraitStyleReference": 2}, "series": {"": 2}, "prompts": {"": "a\nb"}}


class Nodes:
    """All nodes of the pack, and a sound value for each of their sockets."""

    def __init__(self, base: Path):
        """Make the models and files that sound inputs are, in the host's folder `base`."""
        self.base = base
        self.ids = tuple(json.loads(NODE_INPUTS.read_text("utf-8")))
        small.write_weights(base / "models" / "uniportrait")
        styles.write_ip_adapter(base / "models" / "ipadapter")
        faces, outside = base / "output" / "uniportrait_faces", base / "outside"
        faces.mkdir(parents=True, exist_ok=True)
        outside.mkdir()
        self.before = set(faces.iterdir())
        (faces / "link").symlink_to(outside)
        self.pool = self._pool()
        graph = Graph()
        graph.add(
            "UniPortraitSaveFaceID", face_id=graph.give(self.pool["UNIPORTRAIT_FACE_ID"]), filename_prefix="sound"
        )
        graph.run()

    def close(self) -> None:
        """Take away what the cases have saved."""
        faces = self.base / "output" / "uniportrait_faces"
        (faces / "link").unlink()
        for entry in (*faces.iterdir(), self.base / "outside"):
            if entry not in self.before:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def _pool(self) -> Pool:
        uniportrait, unet = small.load_uniportrait(), small.unet()
        clip = small.clip_vision(recipe.clip_config())
        image = recipe.noise("wrong.image", (1, 64, 64, 3)).sigmoid()
        people = run_node("FaceIDEncode", uniportrait=uniportrait, clip_vision=clip, image=image, structure_scale=0.1)
        other = run_node(
            "FaceIDEncode", uniportrait=uniportrait, clip_vision=clip, image=image.flip(1), structure_scale=0.1
        )
        text = small.prompts()["positive"]
        window = {"start_percent": 0.0, "end_percent": 1.0}
        spoken = run_node("UniPortraitOwnWords", face_id=other, text="", strength=1.0, conditioning=text, **window)
        both = (*people, *spoken)
        graph = Graph()
        self.routed = small.apply(unet, uniportrait, both)
        drawn = graph.give(self.routed)
        record = graph.add("UniPortraitRecordRouting", model=drawn)
        latent = {"samples": torch.zeros(1, 4, 8, 8)}
        prompts = {name: graph.give(value) for name, value in small.prompts().items()}
        settings = {**small.SAMPLER, "steps": 2, "cfg": 7.0}
        sampled = graph.add("KSampler", model=record, latent_image=graph.give(latent), **prompts, **settings)
        graph.take(sampled, "sampled")
        graph.take([record[0], 1], "routing")
        graph.take([graph.add("UniPortraitLoadMiniWorld")[0], 1], "clip")
        made = graph.run()
        vae = styles.autoencoder()
        style = run_node(
            "UniPortraitStyleReference", model=unet, vae=vae, image=image, latent=latent, method="fixed noise", steps=2,
            guidance=2.0, fixed_noise=0, positive=text, negative=text,
        )  # fmt: skip
        return {
            "MODEL": unet, "UNIPORTRAIT": uniportrait, "UNIPORTRAIT_FACE_ID": both, "CLIP_VISION": clip, "IMAGE": image,
            "UNIPORTRAIT_DETECTOR": run_node(
                "UniPortraitFaceDetector", backend="mini world", model="mini-world-face_detector", provider="auto"
            ),
            "MASK": torch.rand(2, 8, 8), "LATENT": {"samples": torch.zeros(2, 4, 8, 8)}, "VAE": vae,
            "CLIP": made["clip"], "CONDITIONING": text, "UNIPORTRAIT_ROUTING": made["routing"],
            "UNIPORTRAIT_STYLE": style,
            "UNIPORTRAIT_IP_ADAPTER": run_node("UniPortraitLoadIPAdapter", ip_adapter=styles.IP_ADAPTER),
        }  # fmt: skip

    def run_case(self, seed: int, number: int, guard: Guard, only: str = "") -> Outcome:
        """Run a node with the wrong inputs of this number, and judge."""
        dice = Random(f"{seed}:{number}")
        node = only or dice.choice(self.ids)
        schema = host_nodes.NODE_CLASS_MAPPINGS[node].define_schema()
        sockets = {socket.id: socket for socket in schema.inputs or ()}
        inputs = self.sound_inputs(node, sockets, dice)
        changed = dice.sample(list(sockets), min(len(sockets), dice.choice([1, 1, 1, 2, 3])))
        for name in changed:
            if dice.random() < 0.05:
                inputs.pop(name, None)
            else:
                inputs[name] = wrong_value(str(sockets[name].get_io_type()), sockets[name], self.pool, dice)
        if dice.random() < 0.03:
            inputs["more"] = 3
            changed.append("more")
        run = dice.choice([self._in_graph, self._in_graph, self._called])
        told = ", ".join(f"{name}={_shown(inputs[name])}" for name in changed if name in inputs)
        outcome = Outcome(f"{number}: {node}, {run.__name__[1:]}, {told or changed}")
        forget_peak()
        start = peak()
        before = sorted((self.base / "outside").iterdir())
        wired = {name for name in inputs if dice.random() < 0.5}
        with guard.watch(self.base / "output", self.base / "temp", Path(folder_paths.get_temp_directory())) as seen:
            try:
                with limited(PATIENCE):
                    given = run(node, inputs, wired, dice)
                if not finite(given) and node != "UniPortraitFaceSimilarity":
                    outcome.faults.append("gives numbers that are not finite")
            except GraphError as error:
                outcome.result, outcome.message = "refused", str(error)
                outcome.faults += self._judge(error, [*changed, schema.display_name])
            except Exception as error:
                outcome.result, outcome.message = "refused", str(error)
                outcome.faults += self._judge(
                    GraphError(str(error), type(error).__name__), [*changed, schema.display_name]
                )
        outcome.faults += seen
        outcome.faults += [f"it took {used // 10**6} MB"] if (used := peak() - start) > MOST else []
        outcome.faults += ["something is outside"] if before != sorted((self.base / "outside").iterdir()) else []
        return outcome

    def sound_inputs(self, node: str, sockets: dict[str, Any], dice: Random) -> dict[str, object]:
        """What a node works with; optional inputs are there or not."""
        inputs = {}
        for name, socket in sockets.items():
            kind = str(socket.get_io_type())
            if socket.optional and dice.random() < 0.5:
                continue
            default = getattr(socket, "default", None)
            inputs[name] = self.pool[kind] if kind in self.pool else default
            if name in SOUND:
                inputs[name] = SOUND[name].get(node, SOUND[name].get("", inputs[name]))
        files = {"faceid": small.NARROW_FACEID, "router": small.NARROW_ROUTER, "face_backbone": small.BACKBONE}
        own = {
            "UniPortraitStyleReference": {"positive": self.pool["CONDITIONING"]},
            "UniPortraitRecordRouting": {"model": self.routed},
            "LoadUniPortrait": files,
            "UniPortraitLoadIPAdapter": {"ip_adapter": styles.IP_ADAPTER},
            "UniPortraitLoadFaceID": {"face_id_file": "sound_00001_.safetensors"},
            "UniPortraitFaceDetector": {"backend": "mini world", "model": "mini-world-face_detector"},
            "UniPortraitOwnWords": {} if "conditioning" in inputs else {"text": "in red", "clip": self.pool["CLIP"]},
        }
        if "ip_adapter" in inputs or "clip_vision" in inputs:
            inputs |= {name: self.pool[str(sockets[name].get_io_type())] for name in ("ip_adapter", "clip_vision")
                       if name in sockets and name not in own.get(node, {})}  # fmt: skip
        return inputs | own.get(node, {})

    def _in_graph(self, node: str, inputs: dict[str, object], wired: set[str], _: Random) -> object:
        """As the host runs it, plain values as widgets or by a wire."""
        graph = Graph()
        links = {}
        for name, value in inputs.items():
            plain = value is None or isinstance(value, str | int | float | bool | dict | list)
            links[name] = value if plain and name not in wired and _is_json(value) else graph.give(value)
        link = graph.add(node, **links)
        if host_nodes.NODE_CLASS_MAPPINGS[node].RETURN_TYPES:
            graph.take(link)
        return graph.run().get("value")

    def _called(self, node: str, inputs: dict[str, object], _: set[str], dice: Random) -> object:
        """As other code may call it, in inference mode or not; a model that comes out is then used."""
        kind = host_nodes.NODE_CLASS_MAPPINGS[node]
        with torch.inference_mode(dice.random() < 0.5):
            output = kind.PREPARE_CLASS_CLONE(None).EXECUTE_NORMALIZED(**inputs)
        result = getattr(output, "result", None) or output.args
        if node in ("IDRouterApply",) and result:
            text = recipe.noise("wrong.text", (2, 77, 768))
            small.call_unet(result[0], torch.zeros(2, 4, 8, 8), 500.0, text, [0, 1])
        return result

    def _judge(self, error: GraphError, named: list[str]) -> list[str]:
        found = []
        for kind in error.kinds or ("nothing",):
            if kind in REFUSALS:
                continue
            names = [name for name in named if name in str(error)]
            found += faults_of_text(kind, str(error), "" if names else named[0])
        return found


def _is_json(value: object) -> bool:
    try:
        return json.loads(json.dumps(value)) == value or value != value
    except (TypeError, ValueError, RecursionError):
        return False


def _shown(value: object) -> str:
    if isinstance(value, Odd):
        return "an odd object"
    if isinstance(value, torch.Tensor):
        return f"tensor {value.dtype} {value.device} {'parts' if value.is_nested else tuple(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"array {value.shape}"
    try:
        return ascii(value)[:150]
    except Exception:
        return type(value).__name__
