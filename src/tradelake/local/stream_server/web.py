"""HTTP: Kinesis' JSON 1.1 protocol at ``/`` and two routes of our own under ``/_streams``.

``POST /_streams/fault`` takes a :class:`~tradelake.local.stream_server.faults.FaultRequest`; ``GET
/_streams/status`` tells per stream and shard how many records are kept and which was the last.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from tradelake.decoding import json_decoder
from tradelake.local.stream_server import protocol as p
from tradelake.local.stream_server.consumers import Consumers
from tradelake.local.stream_server.control_plane import ControlPlane
from tradelake.local.stream_server.data_plane import DataPlane
from tradelake.local.stream_server.fanout import FanOut
from tradelake.local.stream_server.faults import FaultRequest, Faults
from tradelake.local.stream_server.store import StreamStore

_MAX_BODY: Final = 32 << 20
_ENCODE: Final = msgspec.json.Encoder().encode

Operation = Callable[[web.Request, bytes], Awaitable[Any]]


class WebServer:
    """Routes requests to the planes.

    Parameters
    ----------
    store : StreamStore
        For the status route.
    data : DataPlane
        Writes and reads.
    control : ControlPlane
        Streams, shards, tags.
    consumers : Consumers
        Registered consumers.
    fan_out : FanOut
        Pushes records to them.
    faults : Faults
        Faults on demand.
    """

    def __init__(
        self,
        store: StreamStore,
        data: DataPlane,
        control: ControlPlane,
        consumers: Consumers,
        fan_out: FanOut,
        faults: Faults,
    ) -> None:
        self._store = store
        self._data = data
        self._faults = faults
        self._operations: dict[str, Operation] = {
            "PutRecords": _simple(p.PutRecords, data.put_records),
            "PutRecord": _simple(p.PutRecord, data.put_record),
            "GetRecords": self._get_records(),
            "GetShardIterator": _simple(
                p.GetShardIterator,
                lambda request: {"ShardIterator": data.get_shard_iterator(request)},
            ),
            "CreateStream": _simple(p.CreateStream, control.create_stream),
            "DeleteStream": _simple(p.DeleteStream, control.delete_stream),
            "ListStreams": _simple(p.ListStreams, control.list_streams),
            "DescribeStream": _simple(p.DescribeStream, control.describe_stream),
            "DescribeStreamSummary": _simple(p.StreamRequest, control.describe_stream_summary),
            "DescribeLimits": _simple(p.StreamRequest, lambda _: control.describe_limits()),
            "ListShards": _simple(p.ListShards, control.list_shards),
            "SplitShard": _simple(p.SplitShard, control.split_shard),
            "MergeShards": _simple(p.MergeShards, control.merge_shards),
            "UpdateShardCount": _simple(p.UpdateShardCount, control.update_shard_count),
            "IncreaseStreamRetentionPeriod": _simple(p.RetentionPeriod, control.increase_retention),
            "DecreaseStreamRetentionPeriod": _simple(p.RetentionPeriod, control.decrease_retention),
            "AddTagsToStream": _simple(p.AddTags, control.add_tags),
            "RemoveTagsFromStream": _simple(p.RemoveTags, control.remove_tags),
            "ListTagsForStream": _simple(p.ListTags, control.list_tags),
            "RegisterStreamConsumer": _simple(p.RegisterConsumer, consumers.register),
            "DescribeStreamConsumer": _simple(p.ConsumerRequest, consumers.describe),
            "ListStreamConsumers": _simple(p.ListConsumers, consumers.list),
            "DeregisterStreamConsumer": _simple(p.ConsumerRequest, consumers.deregister),
            "SubscribeToShard": fan_out.subscribe,
        }

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        application = web.Application(client_max_size=_MAX_BODY)
        application.router.add_post("/", self._handle)
        application.router.add_post("/_streams/fault", self._begin_fault)
        application.router.add_get("/_streams/status", self._status)
        return application

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            operation = self._operation_of(request)
            answer = await operation(request, await request.read())
        except msgspec.DecodeError as error:
            return _error(p.KinesisError("ValidationException", str(error)))
        except p.KinesisError as error:
            return _error(error)
        if isinstance(answer, web.StreamResponse):
            return answer
        return _answer(b"{}" if answer is None else _ENCODE(answer))

    def _operation_of(self, request: web.Request) -> Operation:
        if self._faults.is_away():
            raise p.KinesisError("ServiceUnavailable", "away on demand", 503)
        target = request.headers.get("X-Amz-Target", "")
        operation = self._operations.get(target.removeprefix(p.TARGET_PREFIX))
        if operation is None or not target.startswith(p.TARGET_PREFIX):
            raise p.KinesisError("UnknownOperationException", f"no operation {target!r}")
        return operation

    def _get_records(self) -> Operation:
        decode = json_decoder(p.GetRecords).decode

        async def operation(request: web.Request, body: bytes) -> p.GetRecordsAnswer:
            wait = request.headers.get(p.WAIT_HEADER, "0")
            return await self._data.get_records(decode(body), int(wait) if wait.isdecimal() else 0)

        return operation

    async def _begin_fault(self, request: web.Request) -> web.Response:
        try:
            self._faults.begin(json_decoder(FaultRequest).decode(await request.read()))
        except msgspec.DecodeError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"ok": True})

    async def _status(self, _: web.Request) -> web.Response:
        streams = {}
        for name in self._store.names():
            stream = self._store.get(name)
            streams[name] = {
                shard.shard_id: {
                    "open": shard.is_open,
                    "records": (log := stream.logs[shard.shard_id]).records,
                    "last": shard.sequence_number(log.committed),
                    "last_arrival_ms": log.last_arrival_ms,
                }
                for shard in stream.record.shards
            }
        return web.json_response({"streams": streams})


def _simple(kind: type[Any], act: Callable[[Any], Any]) -> Operation:
    decode = json_decoder(kind).decode

    async def operation(_: web.Request, body: bytes) -> object:
        answer = act(decode(body))
        return await answer if isinstance(answer, Awaitable) else answer

    return operation


def _answer(body: bytes, status: int = 200) -> web.Response:
    return web.Response(
        body=body,
        status=status,
        headers={"Content-Type": p.CONTENT_TYPE, "x-amzn-RequestId": str(uuid.uuid4())},
    )


def _error(error: p.KinesisError) -> web.Response:
    return _answer(_ENCODE({"__type": error.code, "message": error.message}), error.status)
