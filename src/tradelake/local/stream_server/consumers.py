"""Registered consumers (enhanced fan-out)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tradelake.local.stream_server import protocol as p
from tradelake.local.stream_server.store import Consumer, Stream, StreamStore

Answer = dict[str, Any]


class Consumers:
    """Registers consumers of streams.

    Parameters
    ----------
    store : StreamStore
        The streams.
    now_ms : callable
        Milliseconds since 1970 UTC.
    """

    def __init__(self, store: StreamStore, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._now_ms = now_ms

    def register(self, request: p.RegisterConsumer) -> Answer:
        """Register a consumer; it is ACTIVE at once."""
        stream = self._store.get(request.name())
        name = request.consumer_name
        if any(consumer.name == name for consumer in stream.record.consumers):
            raise p.in_use(f"consumer {name} of stream {stream.record.name} already exists")
        now_ms = self._now_ms()
        arn = f"{self._store.arn(stream.record.name)}/consumer/{name}:{now_ms // 1000}"
        consumer = Consumer(name=name, arn=arn, created_ms=now_ms)
        stream.record.consumers = [*stream.record.consumers, consumer]
        self._store.save()
        return {"Consumer": _describe(consumer)}

    def describe(self, request: p.ConsumerRequest) -> Answer:
        """Return a consumer."""
        stream, consumer = self.find(request)
        description = _describe(consumer) | {"StreamARN": self._store.arn(stream.record.name)}
        return {"ConsumerDescription": description}

    def list(self, request: p.ListConsumers) -> Answer:
        """Return a page of a stream's consumers, sorted by name."""
        stream = self._store.get(request.name())
        after = request.next_token or ""
        ranked = sorted(stream.record.consumers, key=lambda consumer: consumer.name)
        rest = [consumer for consumer in ranked if consumer.name > after]
        page = rest[: request.max_results]
        answer: Answer = {"Consumers": [_describe(consumer) for consumer in page]}
        if len(rest) > len(page):
            answer["NextToken"] = page[-1].name
        return answer

    def deregister(self, request: p.ConsumerRequest) -> None:
        """Remove a consumer."""
        stream, gone = self.find(request)
        stream.record.consumers = [item for item in stream.record.consumers if item is not gone]
        self._store.save()

    def find(self, request: p.ConsumerRequest) -> tuple[Stream, Consumer]:
        """Return the stream and the consumer that a request means.

        Raises
        ------
        KinesisError
            ``ResourceNotFoundException``.
        """
        arn = request.consumer_arn
        if arn is not None:
            request.stream_arn = arn.partition("/consumer/")[0]
        stream = self._store.get(request.name())
        for consumer in stream.record.consumers:
            if consumer.arn == arn or (arn is None and consumer.name == request.consumer_name):
                return stream, consumer
        raise p.not_found(f"consumer {arn or request.consumer_name} not found")


def _describe(consumer: Consumer) -> Answer:
    return {
        "ConsumerName": consumer.name,
        "ConsumerARN": consumer.arn,
        "ConsumerStatus": "ACTIVE",
        "ConsumerCreationTimestamp": consumer.created_ms / 1000,
    }
