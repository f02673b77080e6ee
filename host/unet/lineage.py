"""What a node of the host's graph makes, known by all that leads to it.

The host takes a result from its cache where class and inputs of a node and of all before it are the same, also when
other prompts have run in between. A name made of the same things finds what belongs to such a result.
"""

from collections.abc import Iterator
from hashlib import sha256

from comfy_execution.graph import DynamicPrompt
from comfy_execution.graph_utils import is_link
from comfy_execution.progress import get_progress_state
from comfy_execution.utils import get_executing_context

Name = tuple[str, int]
"""Of a run of a node: its lineage, and which item of a list it runs for, from 0."""


def running_now() -> Name | None:
    """The name of what runs now; None outside the host's execution."""
    context = get_executing_context()
    if context is None:
        return None
    prompt = get_progress_state().dynprompt
    # What a node has put in its own place is known by that node.
    return _lineage(prompt, prompt.get_real_node_id(context.node_id), {}), context.list_index or 0


def runs_before(name: str) -> list[Name]:
    """Names of all runs that may have led to an input of the node that runs now, the nearest first."""
    context = get_executing_context()
    if context is None:
        return []
    prompt, known, index = get_progress_state().dynprompt, {}, context.list_index or 0
    lineages = [_lineage(prompt, node, known) for node in _before(prompt, context.node_id, name)]
    # For each item of a list its own run; a node that ran once has made what all items have.
    return [(lineage, item) for lineage in lineages for item in dict.fromkeys((index, 0))]


def _before(prompt: DynamicPrompt, node: str, name: str) -> Iterator[str]:
    """Nodes that lead to an input, the nearest first."""
    waiting = [prompt.get_node(node)["inputs"].get(name)]
    seen = set()
    for link in waiting:
        if is_link(link) and link[0] not in seen and prompt.has_node(link[0]):
            seen.add(link[0])
            yield link[0]
            waiting += prompt.get_node(link[0])["inputs"].values()


def _lineage(prompt: DynamicPrompt, node: str, known: dict[str, str]) -> str:
    if node not in known:
        about = prompt.get_node(node) if prompt.has_node(node) else {"class_type": None, "inputs": {}}
        inputs = [
            (name, _lineage(prompt, value[0], known), value[1]) if is_link(value) else (name, value)
            for name, value in sorted(about["inputs"].items())
        ]
        known[node] = sha256(repr((about["class_type"], inputs)).encode()).hexdigest()
    return known[node]
