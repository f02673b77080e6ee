"""Pictures in an order, read by processes of their own."""

from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader

from uniportrait_core.errors import UniPortraitError

from ..data.batch import Batch, collate
from ..data.order import Batches
from ..data.portraits import Portraits


def read_batches(portraits: Portraits, order: Batches, workers: int, device: torch.device) -> Iterator[Batch]:
    """The batches of an order, on the CPU.

    Args:
        workers: processes that read; 0 reads in this one.
        device: that they are for.

    Raises:
        UniPortraitError: a picture cannot be read.
    """
    loader = DataLoader(
        portraits,
        batch_sampler=order,
        collate_fn=collate,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        multiprocessing_context="spawn" if workers else None,
    )
    try:
        yield from loader
    except UniPortraitError as error:  # of a reading process it comes with that process's traceback in front
        raise UniPortraitError(str(error).rstrip().rsplit(f"{UniPortraitError.__name__}: ", 1)[-1]) from None
