"""In which order pictures are shown: the same for any number of processes, and known at any step."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from .portraits import Portraits

BLOCK = 16  # shards that are shuffled together


def epoch_order(shard: np.ndarray, seed: int, epoch: int, block: int = BLOCK) -> np.ndarray:
    """An order of all samples, shuffled so that reading stays within a few shards for a while.

    Args:
        shard: number of the shard that each sample is in, (samples,).
        seed: of the run.
        epoch: each has an order of its own.
        block: the shards are shuffled, then the samples of every so many of them.

    Returns:
        Numbers of samples, (samples,).
    """
    dice = np.random.default_rng((seed, epoch))
    shards, of_sample = np.unique(shard, return_inverse=True)
    blocks = dice.permutation(len(shards))[of_sample] // block
    return np.lexsort((dice.permutation(len(shard)), blocks))


class Batches(Sampler[list[tuple[int, int]]]):
    """The batches of one process, each a list of samples' numbers and seeds, for `Portraits`.

    The pictures of each bucket are an endless row: one epoch's order after the other. Every step of the optimizer takes
    its bucket by lot, weighted by the number of pictures, and the next of that bucket's row. So nothing is left over at
    the end of an epoch, all pictures are equally likely, whoever begins at any step finds the same as who came there,
    and who computes which part of a step, in how many passes, makes no difference.
    """

    def __init__(
        self,
        portraits: Portraits,
        batch: int,
        seed: int,
        steps: int,
        start: int = 0,
        process: int = 0,
        processes: int = 1,
        passes: int = 1,
        block: int = BLOCK,
    ):
        """
        Args:
            portraits: the samples.
            batch: of one process and pass; all together take batch · processes · passes samples in a step.
            seed: of the run.
            steps: the last step, not included.
            start: the first.
            process: number of this process, which has the so manieth slice of the samples of a pass.
            processes: how many there are.
            passes: whose gradients are accumulated in a step.
            block: see `epoch_order`.
        """
        self._portraits, self._batch, self._seed, self._block = portraits, batch, seed, block
        self._steps, self._start, self._passes = steps, start, passes
        self._process, self._processes = process, processes
        self._groups = [np.flatnonzero(portraits.bucket == number) for number in np.unique(portraits.bucket)]

    def __len__(self) -> int:
        return max(self._steps - self._start, 0) * self._passes

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        lots = np.random.default_rng(self._seed).random(self._steps)
        shares = np.cumsum([len(group) for group in self._groups]) / len(self._portraits)
        chosen = np.searchsorted(shares[:-1], lots, side="right")
        taken = np.bincount(chosen[: self._start], minlength=len(self._groups))
        orders: dict[tuple[int, int], np.ndarray] = {}
        for group in chosen[self._start :].tolist():
            for number in range(self._passes):
                passes = int(taken[group]) * self._passes + number
                place = (passes * self._processes + self._process) * self._batch
                yield [self._sample(group, place + row, orders) for row in range(self._batch)]
            taken[group] += 1

    def _sample(self, group: int, place: int, orders: dict[tuple[int, int], np.ndarray]) -> tuple[int, int]:
        """The sample at a place of a bucket's row.

        Args:
            orders: of the epochs that are under way, by bucket and epoch.
        """
        samples = self._groups[group]
        epoch, place = divmod(place, len(samples))
        if (group, epoch) not in orders:
            orders.pop((group, epoch - 2), None)
            orders[group, epoch] = epoch_order(self._portraits.shard[samples], self._seed, epoch, self._block)
        number = int(samples[orders[group, epoch][place]])
        return number, int(np.random.SeedSequence((self._seed, epoch, number)).generate_state(1)[0])
