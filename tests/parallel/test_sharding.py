"""Shards and their tree: the same sum, bit for bit, however many ranks hold the shards, and few sums alive at once.

Hazards: a sum whose shape depends on the ranks; messages that wait for each other; samples lost or taken twice; one
gradient held for each shard.
"""

import threading
from queue import Queue

import numpy as np
import pytest

from eventsnn.parallel.communicator import Alone
from eventsnn.parallel.sharding import N_SHARDS, Share, shards

SIZES = [1, 2, 3, 5, 7, 11, 13, 15, 16, 17, 31, 32, 101]
RANKS = range(1, 17)


@pytest.mark.parametrize("n_samples", [0, *SIZES, 1001])
def test_shards_cover_every_sample_once_in_order(n_samples):
    ranges = shards(n_samples)
    assert [k for first, last in ranges for k in range(first, last)] == list(range(n_samples))
    assert len(ranges) == min(N_SHARDS, n_samples) and all(first < last for first, last in ranges)
    sizes = [last - first for first, last in ranges]
    assert not sizes or max(sizes) - min(sizes) <= 1


class Wired(Alone):
    """A rank in a thread of this process; ``mail``: {(sender, receiver): Queue}. Sending waits until it is received."""

    def __init__(self, rank, size, mail):
        self.rank, self.size, self.mail, self.sent = rank, size, mail, 0

    def send(self, arrays, rank):
        self.sent += 1
        taken = threading.Event()
        self.mail[self.rank, rank].put(([array.copy() for array in arrays], taken))
        assert taken.wait(300), "nobody receives"

    def receive(self, arrays, rank):
        values, taken = self.mail[rank, self.rank].get(timeout=300)
        taken.set()
        for array, value in zip(arrays, values, strict=True):
            array[:] = value

    def broadcast(self, arrays, rank):
        if rank != self.rank:
            return self.receive(arrays, rank)
        for other in set(range(self.size)) - {rank}:
            self.send(arrays, other)
            self.sent -= 1


class Pool:
    """Counts the tuples of arrays that are in use at once."""

    def __init__(self):
        self.alive = self.most = 0

    def take(self):
        self.alive += 1
        self.most = max(self.most, self.alive)
        return np.full(3, np.nan), np.zeros(0)

    def give(self, arrays):
        self.alive -= 1
        arrays[0][:] = np.nan  # whoever still reads it is found out


def values_of(sample):
    """Numbers of very different sizes: any other order of adding them gives other bits."""
    return np.random.default_rng(sample).normal(size=3) * 10.0 ** np.array([sample % 7, -(sample % 5), sample % 3])


def total(share):
    """(sum over the batch, most sums alive at once) as one rank gets it."""
    pool = Pool()

    def parts():
        for first, last in share.ranges:
            arrays = pool.take()
            arrays[0][:] = 0.0
            for sample in range(first, last):
                arrays[0][:] += values_of(share.samples.start + sample)
            yield arrays

    return share.add(parts(), pool.take, pool.give)[0].copy(), pool.most


def totals(n_ranks, n_samples, n_shards=N_SHARDS):
    """(sum, most alive, messages sent) of every rank."""
    mail = {(a, b): Queue() for a in range(n_ranks) for b in range(n_ranks)}
    found = [None] * n_ranks

    def run(rank):
        communicator = Wired(rank, n_ranks, mail)
        found[rank] = (*total(Share(n_samples, communicator, n_shards)), communicator.sent)

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(n_ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert None not in found, "a rank hangs"
    return found


def pairwise(values):
    """The tree as it is written down: a node is the sum of its two halves."""
    return (
        values[0] if len(values) == 1 else pairwise(values[: len(values) // 2]) + pairwise(values[len(values) // 2 :])
    )


@pytest.mark.parametrize("n_samples", SIZES)
def test_the_sum_has_the_same_bits_for_every_number_of_ranks(n_samples):
    leaves = [sum((values_of(k) for k in range(*ends)), np.zeros(3)) for ends in shards(n_samples)]
    expected = pairwise(leaves).tobytes()
    for n_ranks in RANKS:
        assert {values.tobytes() for values, _, _ in totals(n_ranks, n_samples)} == {expected}, n_ranks


def test_the_values_tell_orders_apart():
    leaves = [sum((values_of(k) for k in range(*ends)), np.zeros(3)) for ends in shards(101)]
    assert pairwise(leaves).tobytes() != sum(leaves, np.zeros(3)).tobytes()


@pytest.mark.parametrize("n_shards", [1, 5, 64])
def test_the_number_of_shards_belongs_to_the_run(n_shards):
    first, *others = (totals(n_ranks, 101, n_shards)[0][0].tobytes() for n_ranks in (1, 2, 5))
    assert others == [first, first]
    assert first != totals(1, 101)[0][0].tobytes()


@pytest.mark.parametrize("n_ranks", RANKS)
def test_the_ranks_share_every_sample_once(n_ranks):
    for n_samples in SIZES:
        taken = []
        for rank in range(n_ranks):
            share = Share(n_samples, Wired(rank, n_ranks, {}))
            own = list(range(n_samples))[share.samples]
            assert [k for ends in share.ranges for k in range(*ends)] == list(range(len(own)))
            taken += own
        assert taken == list(range(n_samples))


def test_few_sums_are_alive_and_few_messages_sent():
    assert totals(1, 32)[0][1] <= 5  # one for each level of 16 shards, not one for each shard
    for n_ranks in (2, 4, 8, 16):  # whole subtrees: each rank but one sends one sum, and has one to receive into
        found = totals(n_ranks, 32)
        assert [sent for _, _, sent in found] == [0] + [1] * (n_ranks - 1)
        assert max(most for _, most, _ in found) <= 5
    for n_ranks in RANKS:  # others send parts of subtrees: at most one for each level
        assert max(sent for _, _, sent in totals(n_ranks, 32)) <= 4
