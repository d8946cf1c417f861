"""Joins batches of one invocation to as few records of a stream as they fit into."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tradelake.errors import InvalidData
from tradelake.ports import Outgoing
from tradelake.stream.envelope import Batch, Fragment, encode_fragments, fragment

MAX_OUTGOING_BYTES: Final = 1024 * 1024 - 256
"""Kinesis takes records of 1 MiB, key included."""
_HEAD_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class _Piece:
    fragment: Fragment
    encoded: bytes | None


class Bundles:
    """Fragments by bucket, in their order.

    A record holds as much as fits before compression: whatever the content, none is too large, and
    whoever reads has a bounded amount in hand.
    """

    def __init__(self) -> None:
        self._pieces: dict[int, list[_Piece]] = {}

    def add(self, bucket: int, content: Fragment, *, encoded: bytes | None = None) -> None:
        """Add a fragment behind the others of its bucket.

        Parameters
        ----------
        bucket : int
            Symbol bucket of every batch in it.
        content : Fragment
            What to add.
        encoded : bytes, optional
            The fragment as a record of its own, where there is one: used when it stays alone.
        """
        self._pieces.setdefault(bucket, []).append(_Piece(content, encoded))

    def add_batch(self, batch: Batch) -> None:
        """Add a batch behind the others of its bucket.

        Raises
        ------
        InvalidData
            Rule ``oversize``: compressed it does not fit into a record; nothing was added.
        """
        content = fragment([batch])
        encoded = None
        if len(content.data) > MAX_OUTGOING_BYTES - _HEAD_BYTES:
            encoded = encode_fragments([content])
            if len(encoded) > MAX_OUTGOING_BYTES:
                raise InvalidData(
                    "oversize",
                    f"expected at most {MAX_OUTGOING_BYTES} bytes, found {len(encoded)}"
                    f" of {len(batch.records)} records of {batch.source_key}",
                )
        self.add(batch.bucket, content, encoded=encoded)

    def outgoing(self) -> list[Outgoing]:
        """Return the records, under the key ``str(bucket)``; those of a bucket in order."""
        return [
            Outgoing(str(bucket), data)
            for bucket, pieces in self._pieces.items()
            for data in _records(pieces)
        ]


def _records(pieces: list[_Piece]) -> Iterator[bytes]:
    group: list[_Piece] = []
    size = _HEAD_BYTES
    for piece in pieces:
        if group and size + len(piece.fragment.data) > MAX_OUTGOING_BYTES:
            yield _record(group)
            group, size = [], _HEAD_BYTES
        group.append(piece)
        size += len(piece.fragment.data)
    if group:
        yield _record(group)


def _record(group: list[_Piece]) -> bytes:
    if len(group) == 1 and group[0].encoded is not None:
        return group[0].encoded
    return encode_fragments([piece.fragment for piece in group])
