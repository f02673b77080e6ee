"""Work of a GPU as CUDA graphs: recorded once, and played again without the CPU, which launches kernels one by one.

A small network's thousands of small kernels take far longer to launch than to compute.
"""

import logging
from collections.abc import Callable, Hashable
from typing import TypeVar

import torch

from ..data.tensors import changed, parts

T = TypeVar("T")
A = TypeVar("A")
logger = logging.getLogger(__name__)


def record(work: Callable[[], T]) -> Callable[[], T]:
    """Work as one CUDA graph; where it cannot be recorded, the work itself.

    Args:
        work: does the same on the device every time, and asks nothing of it. Random numbers may be others.

    Returns:
        What does it, and gives what `work` gave, in the same memory every time.
    """
    try:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):  # whatever is made at first use is made here
                work()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            value = work()
    except RuntimeError:
        logger.exception("not recorded")
        torch.cuda.synchronize()
        return work

    def replay() -> T:
        graph.replay()
        return value

    return replay


class Recorded:
    """A function as recordings, one for each kind of argument that comes."""

    def __init__(
        self,
        function: Callable[[A], T],
        forget: Callable[[], None],
        record: Callable[[Callable[[], T]], Callable[[], T]] = record,
    ):
        """
        Args:
            function: of an argument in dataclasses that hold tensors. It reads nothing else of them: whatever is no
                tensor stays that of the first argument of its kind.
            forget: undoes what calls have left behind, as recording calls the function, too.
            record: how to record.
        """
        self._function, self._forget, self._record = function, forget, record
        self._known: dict[Hashable, tuple[A, Callable[[], T]]] = {}

    def __call__(self, argument: A) -> T:
        """What the function gives for the argument, in memory that the next call of its kind writes over."""
        given = parts(argument)
        kind = tuple(None if part is None else (part.shape, part.dtype) for part in given)
        if kind not in self._known:
            place = changed(argument, torch.clone)
            play = self._record(lambda: self._function(place))
            self._forget()
            self._known[kind] = place, play
        place, play = self._known[kind]
        for there, new in zip(parts(place), given, strict=True):
            if there is not None:
                there.copy_(new)
        return play()
