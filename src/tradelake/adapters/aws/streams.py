"""Kinesis as a ``StreamWriter``.

PutRecords gives no promise of order: a record may fail while a later one of the same key is
accepted. So no request holds two records of one key. A call is a series of waves, each with the
next record of every key; a record that failed heads its key in the following wave.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from tradelake.adapters.aws.clients import client as make_client
from tradelake.adapters.aws.clients import translate
from tradelake.errors import Fatal, Throttled, Transient
from tradelake.feed.backoff import full_jitter
from tradelake.ports import Outgoing

MAX_REQUEST_RECORDS: Final = 500
MAX_REQUEST_BYTES: Final = 10 * 1024 * 1024
MAX_RECORD_BYTES: Final = 1024 * 1024
ATTEMPTS: Final = 6
_THROTTLED: Final = "ProvisionedThroughputExceededException"


class KinesisWriter:
    """Puts records on one Kinesis stream.

    Parameters
    ----------
    stream : str
        Physical name.
    client : boto3 Kinesis client, optional
        Made with one attempt a request where not given: attempts are counted here.
    attempts : int
        Requests in a row that accept nothing before ``put`` gives up.
    rng : random.Random, optional
        Jitter of the waits between them.
    sleep : callable
        Waits so many seconds.
    """

    def __init__(
        self,
        stream: str,
        client: Any = None,  # noqa: ANN401 - boto3 clients have no static type
        *,
        attempts: int = ATTEMPTS,
        rng: random.Random | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._stream = stream
        self._client = client or make_client(
            "kinesis", read_timeout=10, retries={"mode": "standard", "total_max_attempts": 1}
        )
        self._attempts = attempts
        self._rng = rng or random.Random()
        self._sleep = sleep

    def check(self) -> None:
        """Make sure that the stream is there, and connect, so that the first put is quick.

        Raises
        ------
        Fatal
            There is no such stream, or no permission.
        Transient
            Kinesis does not answer.
        """
        try:
            self._client.list_shards(StreamName=self._stream, MaxResults=1)
        except (ClientError, BotoCoreError) as error:
            raise translate(error, f"ListShards on {self._stream}") from error

    def put(self, records: Sequence[Outgoing]) -> None:
        """Put records; on return all are durable and records of equal key are in the given order.

        A request whose answer is lost is sent again, so the last record of a key may be on the
        stream twice in a row; never is one missing before it.

        Raises
        ------
        Transient
            ``attempts`` requests in a row accepted nothing. What was accepted has no holes per key.
        Fatal
            The request itself is refused, or a record exceeds 1 MiB.
        """
        waiting: dict[str, deque[Outgoing]] = {}
        for record in records:
            check_size(record, self._stream)
            waiting.setdefault(record.key, deque()).append(record)
        waits = full_jitter(self._rng, first_s=0.05, cap_s=2.0)
        failures = 0
        while waiting:
            wave = _next_wave(waiting)
            failed, error = self._request(wave)
            for record in wave:
                if record.key not in failed:
                    queue = waiting.pop(record.key)
                    queue.popleft()
                    if queue:
                        waiting[record.key] = queue
            if error is None:
                continue
            failures = failures + 1 if len(failed) == len(wave) else 0
            if failures >= self._attempts:
                raise error
            self._sleep(next(waits))

    def _request(self, wave: list[Outgoing]) -> tuple[set[str], Transient | None]:
        what = f"PutRecords on {self._stream}"
        entries = [{"Data": record.data, "PartitionKey": record.key} for record in wave]
        try:
            answer = self._client.put_records(StreamName=self._stream, Records=entries)
        except (ClientError, BotoCoreError) as refused:
            translated = translate(refused, what)
            if isinstance(translated, Transient):
                return {record.key for record in wave}, translated
            raise translated from refused
        failed: dict[str, Transient] = {}
        for record, result in zip(wave, answer["Records"], strict=True):
            error = refusal_of(
                what, record.key, result.get("ErrorCode"), result.get("ErrorMessage")
            )
            if error is not None:
                failed[record.key] = error
        if not failed:
            return set(), None
        worst = next((e for e in failed.values() if isinstance(e, Throttled)), None)
        first = next(iter(failed.values()))
        message = f"{what}: {len(failed)} of {len(wave)} records failed, the first with {first}"
        return set(failed), Transient(message) if worst is None else Throttled(message)


def refusal_of(what: str, key: str, code: str | None, message: str | None) -> Transient | None:
    """Return why one record of a request was refused, None when it was accepted."""
    if not code:
        return None
    text = f"{what}: key {key}: {code}: {message or ''}"
    return Throttled(text) if code == _THROTTLED else Transient(text)


def check_size(record: Outgoing, stream: str) -> int:
    """Return the bytes a record takes in a request.

    Raises
    ------
    Fatal
        More than Kinesis takes.
    """
    size = len(record.data) + len(record.key.encode())
    if size > MAX_RECORD_BYTES:
        raise Fatal(
            f"{stream}: expected records up to {MAX_RECORD_BYTES} bytes,"
            f" found {size} under key {record.key!r}"
        )
    return size


def _next_wave(waiting: dict[str, deque[Outgoing]]) -> list[Outgoing]:
    wave: list[Outgoing] = []
    size = 0
    for key, queue in waiting.items():
        record = queue[0]
        size += len(record.data) + len(key.encode())
        if wave and (len(wave) >= MAX_REQUEST_RECORDS or size > MAX_REQUEST_BYTES):
            break
        wave.append(record)
    return wave
