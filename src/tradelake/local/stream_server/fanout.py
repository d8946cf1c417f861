"""SubscribeToShard: records pushed to a registered consumer as an event stream.

Framing: "Amazon event stream encoding" (AWS Common Runtime, ``vnd.amazon.eventstream``): total and
header lengths, their CRC, headers, payload, CRC of everything before.
"""

from __future__ import annotations

import struct
import time
import zlib
from typing import Final

import msgspec
from aiohttp import web

from tradelake.decoding import json_decoder
from tradelake.local.stream_server import protocol as p
from tradelake.local.stream_server.consumers import Consumers
from tradelake.local.stream_server.data_plane import DataPlane, to_record
from tradelake.local.stream_server.shards import Shard
from tradelake.local.stream_server.store import Stream

_SUBSCRIPTION_S: Final = 300.0
_HEARTBEAT_S: Final = 5.0
_RECORDS_AN_EVENT: Final = 1000
_STRING: Final = 7
_ENCODE: Final = msgspec.json.Encoder().encode
_DECODER: Final = json_decoder(p.SubscribeToShard)


class ShardEvent(msgspec.Struct, rename="pascal", omit_defaults=True):
    """A ``SubscribeToShardEvent``."""

    records: list[p.ReadRecord]
    continuation_sequence_number: str
    millis_behind_latest: int | None = None
    child_shards: list[p.ChildShard] | None = None


def encode_event(kind: str, payload: bytes) -> bytes:
    """Return one message of an event stream."""
    headers = b"".join(
        struct.pack(">B", len(name)) + name + struct.pack(">BH", _STRING, len(value)) + value
        for name, value in (
            (b":event-type", kind.encode()),
            (b":content-type", p.CONTENT_TYPE.encode()),
            (b":message-type", b"event"),
        )
    )
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = lengths + struct.pack(">I", zlib.crc32(lengths)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


class FanOut:
    """Pushes records to subscribers.

    Parameters
    ----------
    data : DataPlane
        Reads.
    consumers : Consumers
        Who may subscribe.
    """

    def __init__(self, data: DataPlane, consumers: Consumers) -> None:
        self._data = data
        self._consumers = consumers

    async def subscribe(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Push records from the starting position on, for five minutes or to the shard's end.

        Raises
        ------
        KinesisError
            Before the stream begins: no such consumer, shard or position.
        """
        asked = _DECODER.decode(body)
        stream, _ = self._consumers.find(p.ConsumerRequest(consumer_arn=asked.consumer_arn))
        shard = stream.shard(asked.shard_id)
        ordinal = self._data.start_ordinal(stream, shard, asked.starting_position)
        response = web.StreamResponse(
            headers={"Content-Type": "application/vnd.amazon.eventstream"}
        )
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            await response.write(encode_event("initial-response", b"{}"))
            await self._push(response, stream, shard, ordinal)
            await response.write_eof()
        except ConnectionResetError:  # the subscriber left
            return response
        return response

    async def _push(
        self, response: web.StreamResponse, stream: Stream, shard: Shard, ordinal: int
    ) -> None:
        log = stream.logs[shard.shard_id]
        end_s = time.monotonic() + _SUBSCRIPTION_S
        beat_s = 0.0
        while time.monotonic() < end_s:
            stored, ordinal = await self._data.read(
                stream, shard, ordinal, _RECORDS_AN_EVENT, wait_ms=1000
            )
            finished = self._data.is_finished(stream, shard, ordinal)
            if not stored and not finished and time.monotonic() < beat_s:
                continue
            event = ShardEvent(
                [to_record(shard, item) for item in stored],
                shard.sequence_number(max(ordinal - 1, 0)),
                self._data.millis_behind(log, ordinal, stored),
                self._data.child_shards(stream, shard) if finished else None,
            )
            await response.write(encode_event("SubscribeToShardEvent", _ENCODE(event)))
            beat_s = time.monotonic() + _HEARTBEAT_S
            if finished:
                return
