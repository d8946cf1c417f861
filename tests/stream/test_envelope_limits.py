"""The envelope's decoder refuses what would exhaust its reader."""

import zlib

import pytest

from tradelake.errors import InvalidData
from tradelake.market.records import Trade
from tradelake.stream.envelope import (
    FLAG_ZLIB,
    MAX_BODY_BYTES,
    VERSION,
    Batch,
    decode_batch,
    encode_batch,
)

BATCH = Batch("live", "us", 1, 2, 3, 4, [Trade("BTC/USD", 5, 6, i, 1.5, 0.5) for i in range(200)])


def test_a_compressed_batch_is_read_back():
    data = encode_batch(BATCH)
    assert data[1] == FLAG_ZLIB
    assert decode_batch(data) == BATCH


def test_a_compressed_batch_is_refused_when_it_is_cut_short():
    with pytest.raises(InvalidData, match="envelope"):
        decode_batch(encode_batch(BATCH)[:-1])


def test_a_body_is_refused_when_it_would_inflate_beyond_the_limit():
    bomb = bytes((VERSION, FLAG_ZLIB)) + zlib.compress(bytes(MAX_BODY_BYTES + 1))
    with pytest.raises(InvalidData, match="beyond"):
        decode_batch(bomb)


def test_a_body_is_refused_when_it_is_nested_too_deep():
    deep = bytes((VERSION, 0)) + b"\x91" * 100_000
    with pytest.raises(InvalidData, match="envelope"):
        decode_batch(deep)
