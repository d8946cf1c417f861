"""Shards as arithmetic: hash ranges, sequence numbers, splits, merges and uniform scaling.

No I/O.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

import msgspec

HASH_SPACE: Final = 1 << 128
_ORDINAL_DIGITS: Final = 34


@lru_cache(maxsize=65_536)
def hash_key(partition_key: str) -> int:
    """Return the MD5 of a partition key as an integer in [0, 2**128).

    >>> hash_key("0") == int("cfcd208495d565ef66e7dff9f98764da", 16)
    True
    """
    return int.from_bytes(hashlib.md5(partition_key.encode(), usedforsecurity=False).digest())


class Shard(msgspec.Struct, kw_only=True):
    """A shard of a stream.

    Parameters
    ----------
    index : int
        Position in the stream's history; never used twice.
    low, high : str
        First and last hash key of its range, both included; decimal, because JSON integers stop at
        64 bits here.
    created_ms : int
        When it was opened.
    parent, adjacent_parent : str or None
        What it continues; two where it is a merger.
    closed_ms : int or None
        When a reshard closed it.
    end : int or None
        Last ordinal given out when it was closed.
    """

    index: int
    low: str
    high: str
    created_ms: int
    parent: str | None = None
    adjacent_parent: str | None = None
    closed_ms: int | None = None
    end: int | None = None

    @property
    def shard_id(self) -> str:
        """Name of the shard."""
        return f"shardId-{self.index:012d}"

    @property
    def is_open(self) -> bool:
        """Whether writes still go here."""
        return self.closed_ms is None

    @property
    def parents(self) -> list[str]:
        """Shards it continues."""
        return [name for name in (self.parent, self.adjacent_parent) if name is not None]

    @property
    def sequence_prefix(self) -> str:
        """First digits of every sequence number of the shard; grows from parent to child."""
        return f"49{self.created_ms:014d}{self.index:06d}"

    def sequence_number(self, ordinal: int) -> str:
        """Return the sequence number of a record: 56 digits, so that text order is number order."""
        return f"{self.sequence_prefix}{ordinal:0{_ORDINAL_DIGITS}d}"

    def ordinal(self, sequence_number: str) -> int:
        """Return the ordinal in a sequence number of this shard.

        Raises
        ------
        ValueError
            It is none of this shard's.
        """
        prefix = self.sequence_prefix
        rest = sequence_number.removeprefix(prefix)
        if rest == sequence_number or len(rest) != _ORDINAL_DIGITS or not rest.isdecimal():
            raise ValueError(f"{sequence_number!r} is no sequence number of {self.shard_id}")
        return int(rest)


def uniform_ranges(count: int) -> list[tuple[int, int]]:
    """Return ``count`` equal ranges that cover the hash space, in order.

    >>> [hex(low)[:4] for low, _ in uniform_ranges(4)]
    ['0x0', '0x40', '0x80', '0xc0']
    """
    bounds = [HASH_SPACE * index // count for index in range(count + 1)]
    return [(low, high - 1) for low, high in itertools.pairwise(bounds)]


class RangeStep(msgspec.Struct, frozen=True):
    """One step of a reshard plan: close the ranges in ``close``, open those in ``open``.

    One of the two has one member.
    """

    close: tuple[tuple[int, int], ...]
    open: tuple[tuple[int, int], ...]


def scaling_plan(current: Iterable[tuple[int, int]], target: int) -> list[RangeStep]:
    """Return splits, then merges, that turn the open ranges into ``target`` uniform ones.

    Parameters
    ----------
    current : iterable of (int, int)
        Open ranges; together they cover the hash space.
    target : int
        Shards wanted.

    Returns
    -------
    list of RangeStep
        To be applied in order; empty where the ranges are uniform already.
    """
    ranges = sorted(current)
    wanted = uniform_ranges(target)
    steps: list[RangeStep] = []
    for low, _ in wanted:
        at = next(index for index, (first, last) in enumerate(ranges) if first <= low <= last)
        first, last = ranges[at]
        if first != low:
            halves = ((first, low - 1), (low, last))
            steps.append(RangeStep(((first, last),), halves))
            ranges[at : at + 1] = halves
    for low, high in wanted:
        inside = [item for item in ranges if low <= item[0] and item[1] <= high]
        while len(inside) > 1:
            merged = (inside[0][0], inside[1][1])
            steps.append(RangeStep((inside[0], inside[1]), (merged,)))
            inside[:2] = [merged]
    return steps


def covering(shards: Sequence[Shard]) -> tuple[list[int], list[Shard]]:
    """Return (first hash keys, shards) of the open shards by range, for bisection."""
    ranked = sorted((shard for shard in shards if shard.is_open), key=lambda shard: int(shard.low))
    return [int(shard.low) for shard in ranked], ranked
