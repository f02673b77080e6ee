"""The order in which pictures are shown, and its slices for processes."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from training.data.order import Batches, epoch_order

SHARD = np.repeat(np.arange(10), [7, 3, 12, 5, 9, 1, 8, 11, 6, 2])  # of 64 samples
PLAIN = SimpleNamespace(shard=SHARD, bucket=np.zeros(64, int))
BUCKETS = SimpleNamespace(shard=SHARD, bucket=np.arange(64) % 8 // 5 * 4)  # 40 in bucket 0, 24 in bucket 4


@pytest.fixture(params=["plain", "buckets"])
def portraits(request):
    """What an order needs to know of samples."""
    return as_samples(PLAIN if request.param == "plain" else BUCKETS)


def as_samples(facts):
    class Samples:
        shard, bucket = facts.shard, facts.bucket

        def __len__(self) -> int:
            return len(self.shard)

    return Samples()


def test_an_epoch_has_every_sample_once():
    orders = [tuple(epoch_order(SHARD, seed, epoch)) for seed in (0, 1) for epoch in range(3)]
    assert all(sorted(order) == list(range(64)) for order in orders)
    assert len(set(orders)) == 6
    assert orders[1] == tuple(epoch_order(SHARD, 0, 1))


@pytest.mark.parametrize("block", [1, 3, 4])
def test_an_order_stays_within_a_few_shards(block):
    order = SHARD[epoch_order(SHARD, 5, 2, block)]
    last_seen = {shard: np.flatnonzero(order == shard)[-1] for shard in range(10)}
    for place, shard in enumerate(order):
        under_way = {other for other in order[:place] if last_seen[other] >= place} | {shard}
        assert len(under_way) <= block


def test_shards_are_shuffled_and_so_are_samples_within_a_block():
    order = epoch_order(SHARD, 0, 0, block=4)
    assert list(SHARD[order]) != sorted(SHARD)
    of_shard = order[SHARD[order] == 2]
    assert list(of_shard) != sorted(of_shard)
    assert len(set(np.flatnonzero(np.diff(SHARD[order])))) > 20  # mixed


@pytest.mark.parametrize(("processes", "batch"), [(1, 8), (2, 4), (4, 2), (8, 1)])
def test_processes_have_slices_of_one_batch(portraits, processes, batch):
    whole = list(Batches(portraits, 8, seed=3, steps=40))
    parts = [
        list(Batches(portraits, batch, seed=3, steps=40, process=process, processes=processes))
        for process in range(processes)
    ]
    assert [sum(step, []) for step in zip(*parts, strict=True)] == whole


@pytest.mark.parametrize("start", [0, 1, 7, 8, 23, 40])
def test_an_order_can_begin_anywhere(portraits, start):
    whole = list(Batches(portraits, 3, seed=3, steps=40, process=1, processes=2))
    later = Batches(portraits, 3, seed=3, steps=40, start=start, process=1, processes=2)
    assert list(later) == whole[start:] and len(later) == 40 - start


def test_more_steps_begin_the_same(portraits):
    assert list(Batches(portraits, 4, seed=3, steps=100))[:30] == list(Batches(portraits, 4, seed=3, steps=30))


def test_a_batch_is_of_one_bucket():
    samples = as_samples(BUCKETS)
    for batch in Batches(samples, 8, seed=0, steps=50):
        assert len({int(samples.bucket[number]) for number, _ in batch}) == 1


def test_every_sample_is_shown_equally_often():
    shown = Counter(number for batch in Batches(as_samples(PLAIN), 8, 0, steps=24) for number, _ in batch)
    assert len(shown) == 64 and set(shown.values()) == {3}
    batches = list(Batches(as_samples(BUCKETS), 8, 0, steps=4000))
    small = sum(BUCKETS.bucket[batch[0][0]] == 4 for batch in batches) / 4000
    assert abs(small - 24 / 64) < 4 * (24 / 64 * 40 / 64 / 4000) ** 0.5
    shown = Counter(number for batch in batches for number, _ in batch)
    for bucket in (0, 4):  # within a bucket, equally often but for the row that is under way
        counts = [shown[number] for number in np.flatnonzero(BUCKETS.bucket == bucket)]
        assert max(counts) - min(counts) <= 1


def test_a_batch_may_be_larger_than_all_samples():
    few = as_samples(SimpleNamespace(shard=np.zeros(3, int), bucket=np.zeros(3, int)))
    batches = list(Batches(few, 8, seed=0, steps=3))
    assert Counter(number for batch in batches for number, _ in batch) == {0: 8, 1: 8, 2: 8}


def test_seeds_differ_from_sample_to_sample_and_from_epoch_to_epoch(portraits):
    seeds = [seed for batch in Batches(portraits, 8, seed=1, steps=32) for _, seed in batch]
    assert len(set(seeds)) == len(seeds)
    assert seeds != [seed for batch in Batches(portraits, 8, seed=2, steps=32) for _, seed in batch]
