"""Running small graphs on the host's own executor, with Python objects going in and coming out."""

import asyncio
import inspect
import itertools

import execution
import nodes

GIVEN: dict[str, object] = {}
TAKEN: dict[str, object] = {}
_run_number = itertools.count()


class AnyType(str):
    """A socket type that matches every other."""

    def __ne__(self, other: object) -> bool:
        return False


ANY = AnyType("*")


class Give:
    """Hands an object of the test to the graph."""

    RETURN_TYPES = (ANY,)
    FUNCTION = "run"
    CATEGORY = "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"name": ("STRING", {})}}

    def run(self, name: str):
        return (GIVEN[name],)


class Take:
    """Hands an object of the graph to the test."""

    RETURN_TYPES = ()
    FUNCTION = "run"
    CATEGORY = "test"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"name": ("STRING", {}), "value": (ANY, {})}}

    def run(self, name: str, value: object):
        TAKEN[name] = value
        return {}


class TakeList(Take):
    """Hands a list, whose items other nodes would run for one by one, to the test."""

    INPUT_IS_LIST = True

    def run(self, name: list[str], value: list):
        TAKEN[name[0]] = value
        return {}


class GraphError(Exception):
    """A graph did not run; the message is what a user would see.

    Attributes:
        kinds: the name of the exception's class; or what the host calls the errors that it found before it ran.
    """

    def __init__(self, message: str, *kinds: str):
        super().__init__(message)
        self.kinds = kinds


class _Server:
    """What the executor needs of a server: somebody to tell."""

    client_id = None
    last_node_id = None
    sockets_metadata: dict = {}

    def send_sync(self, *_args) -> None:
        pass


def cache_settings() -> dict:
    """Newer hosts want the limits of their caches, of which a single run needs none."""
    newer = "cache_args" in inspect.signature(execution.PromptExecutor).parameters
    return {"cache_args": {"lru": 0, "ram": 0.0, "ram_inactive": 0.0}} if newer else {}


class Graph:
    """A prompt under construction: `graph.add("Node", input=value)` gives the node's first output."""

    def __init__(self):
        nodes.NODE_CLASS_MAPPINGS.update(TestGive=Give, TestTake=Take, TestTakeList=TakeList)
        self.prompt: dict[str, dict] = {}
        self.shown: dict[str, dict] = {}

    def add(self, class_type: str, **inputs: object) -> list:
        node_id = str(len(self.prompt) + 1)
        self.prompt[node_id] = {"class_type": class_type, "inputs": inputs}
        return [node_id, 0]

    def give(self, value: object) -> list:
        name = f"{next(_run_number)}"
        GIVEN[name] = value
        return self.add("TestGive", name=name)

    def take(self, link: list, name: str = "value") -> None:
        self.add("TestTake", name=name, value=link)

    def take_list(self, link: list, name: str = "value") -> None:
        self.add("TestTakeList", name=name, value=link)

    def run(self) -> dict[str, object]:
        """Validate and execute; returns what `take` nodes took, and leaves in `shown` what nodes show under themselves.

        Raises:
            GraphError: the prompt was refused, or a node failed.
        """
        prompt_id = f"test-{next(_run_number)}"
        valid, error, outputs, node_errors = asyncio.run(execution.validate_prompt(prompt_id, self.prompt, None))
        if not valid:
            each = [error, *(one for about in node_errors.values() for one in about["errors"])]
            raise GraphError(f"{error} {node_errors}", *(one["type"] for one in each))
        TAKEN.clear()
        executor = execution.PromptExecutor(_Server(), **cache_settings())
        executor.execute(self.prompt, prompt_id, execute_outputs=outputs)
        for event, data in executor.status_messages:
            if event in ("execution_error", "execution_interrupted"):
                raise GraphError(data.get("exception_message", event).strip(), data.get("exception_type", event))
        self.shown = executor.history_result["outputs"]
        return dict(TAKEN)


def run_node(class_type: str, **inputs: object) -> object:
    """Run one node and return its first output; inputs that are not plain values are handed in as objects."""
    graph = Graph()
    plain = (str, int, float, bool)
    links = {key: value if isinstance(value, plain) else graph.give(value) for key, value in inputs.items()}
    graph.take(graph.add(class_type, **links))
    return graph.run()["value"]


def pair(class_type: str, **inputs: object) -> dict[str, object]:
    """Both outputs of a node that gives a positive and a negative prompt."""
    graph = Graph()
    plain = (str, int, float)
    links = {key: value if isinstance(value, plain) else graph.give(value) for key, value in inputs.items()}
    positive = graph.add(class_type, **links)
    graph.take(positive, "positive")
    graph.take([positive[0], 1], "negative")
    return graph.run()
