"""Kinesis as an ``AsyncStreamWriter``: signed JSON over kept connections, without boto3's threads.

A PutRecords through boto3 costs milliseconds of CPU and a thread; this one a tenth. botocore still
says where Kinesis is and who we are: profiles, roles of tasks, ``AWS_ENDPOINT_URL`` and
``AWS_ENDPOINT_URL_KINESIS``, the CA bundle. Credentials that expire are renewed by botocore;
credentials that were replaced are found when the old ones are refused.
"""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import botocore.httpsession
import botocore.session
import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from tradelake.adapters.aws.clients import client as make_client
from tradelake.adapters.aws.clients import translate
from tradelake.adapters.aws.signing import Credential, Signer
from tradelake.adapters.aws.streams import (
    MAX_REQUEST_RECORDS,
    check_size,
    refusal_of,
)
from tradelake.decoding import json_decoder
from tradelake.errors import ConfigError, Transient
from tradelake.ports import Clock, Outgoing

_TARGET: Final = "Kinesis_20131202.PutRecords"
_CONTENT_TYPE: Final = "application/x-amz-json-1.1"
_KEEPALIVE_S: Final = 60.0
_AT_ONCE_BYTES: Final = 512 * 1024
_SKEWED: Final = frozenset({"InvalidSignatureException", "RequestExpired", "RequestTimeTooSkewed"})
_REPLACED: Final = frozenset(
    {"ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException"}
)
_EXPIRED: Final = "ExpiredTokenException"
_MAX_SKEW_NS: Final = 120_000_000_000
_LOST: Final = (aiohttp.ClientError, OSError, TimeoutError)


class _Entry(msgspec.Struct, rename="pascal"):
    data: bytes
    partition_key: str


class _Request(msgspec.Struct, rename="pascal"):
    stream_name: str
    records: list[_Entry]


_REQUEST_BYTES: Final = 2 * 1024 * 1024
"""Kinesis takes five times as much at once; a request that is lost should not lose so much."""


class _Result(msgspec.Struct, rename="pascal"):
    error_code: str | None = None
    error_message: str | None = None


class _Answer(msgspec.Struct, rename="pascal"):
    records: list[_Result]


class _Refusal(msgspec.Struct):
    kind: str = msgspec.field(name="__type", default="unknown")
    message: str = ""
    message_too: str = msgspec.field(name="Message", default="")


_ENCODER: Final = msgspec.json.Encoder()
_ANSWER: Final = json_decoder(_Answer)
_REFUSAL: Final = json_decoder(_Refusal)


class AsyncKinesisWriter:
    """Offers records to one Kinesis stream.

    Parameters
    ----------
    stream : str
        Physical name.
    clock : Clock
        Signatures carry the time; where the server's clock differs, the server's is used.
    session : botocore session, optional
        Where credentials come from.
    connections : int
        Requests in flight at most.
    timeout_s : float
        After which a request without an answer counts as lost.

    Raises
    ------
    ConfigError
        There are no credentials or no region.
    """

    def __init__(
        self,
        stream: str,
        clock: Clock,
        *,
        session: Any = None,  # noqa: ANN401 - botocore has no static types
        connections: int = 8,
        timeout_s: float = 10.0,
    ) -> None:
        self._stream, self._clock = stream, clock
        self._session = session
        self._connections, self._timeout_s = connections, timeout_s
        self._offset_ns = 0
        self._http: aiohttp.ClientSession | None = None
        self._what = f"PutRecords on {stream}"
        try:
            probe = make_client("kinesis")
            self._url, region = str(probe.meta.endpoint_url), str(probe.meta.region_name)
            probe.close()
            self._credentials = self._find_credentials()
        except BotoCoreError as error:
            raise ConfigError(f"{self._what}: {error}") from error
        self._signer = Signer("kinesis", region, self._url)

    async def offer(self, records: Sequence[Outgoing]) -> Sequence[Transient | None]:
        """Put records of different keys, once; None for each that is durable, else the refusal.

        Many bytes go in several requests, one after the other, so that a slow stream takes at least
        some of them: what was accepted before a request failed stays accepted.

        Raises
        ------
        Transient
            Kinesis does not answer, or refuses the first request as a whole for now.
        Fatal
            It refuses for good, or a record exceeds 1 MiB.
        """
        refusals: list[Transient | None] = []
        for part in _requests(records, self._stream):
            try:
                refusals += await self._request(part)
            except Transient as error:
                if not refusals:
                    raise
                return refusals + [error] * (len(records) - len(refusals))
        return refusals

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def _request(self, records: Sequence[Outgoing]) -> list[Transient | None]:
        entries = [_Entry(record.data, record.key) for record in records]
        body = _ENCODER.encode(_Request(self._stream, entries))
        status, headers, answer = await self._post(body)
        if status != HTTPStatus.OK and await self._mend(status, headers, answer):
            status, headers, answer = await self._post(body)
        if status != HTTPStatus.OK:
            code, message = _code(answer)
            error = translate(_client_error(status, code, message), self._what)
            if code == _EXPIRED:
                error = Transient(str(error))
            raise error
        try:
            results = _ANSWER.decode(answer).records
        except msgspec.DecodeError as error:
            raise Transient(f"{self._what}: unreadable answer: {error}") from error
        if len(results) != len(records):
            raise Transient(f"{self._what}: {len(results)} answers to {len(records)} records")
        return [
            refusal_of(self._what, record.key, result.error_code, result.error_message)
            for record, result in zip(records, results, strict=True)
        ]

    async def _post(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        credential = await self._credential()
        now_ns = self._clock.now_ns() + self._offset_ns
        headers = self._signer.headers(credential, _TARGET, _CONTENT_TYPE, body, now_ns)
        try:
            # aiohttp writes bytes at once and a file in pieces, which lets the loop go on
            data = body if len(body) <= _AT_ONCE_BYTES else io.BytesIO(body)
            async with (
                asyncio.timeout(self._timeout_s),
                self._connected().post(self._url, data=data, headers=headers) as answer,
            ):
                return answer.status, answer.headers, await answer.read()
        except _LOST as error:
            raise Transient(f"{self._what}: {type(error).__name__}: {error}") from error

    async def _mend(self, status: int, headers: Mapping[str, str], answer: bytes) -> bool:
        """Correct our clock or our credentials after a refusal; True: asking again makes sense."""
        code, _ = _code(answer)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return False
        if code in _SKEWED and "Date" in headers:
            server_ns = int(parsedate_to_datetime(headers["Date"]).timestamp()) * 1_000_000_000
            offset_ns = server_ns - self._clock.now_ns()
            if abs(offset_ns - self._offset_ns) > _MAX_SKEW_NS:
                self._offset_ns = offset_ns
                return True
        if code in _REPLACED:
            before = await self._credential()
            try:
                self._credentials = await asyncio.to_thread(self._find_credentials)
            except (BotoCoreError, ConfigError) as error:
                raise Transient(f"{self._what}: credentials: {error}") from error
            return await self._credential() != before
        return False

    async def _credential(self) -> Credential:
        credentials = self._credentials
        try:
            if getattr(credentials, "refresh_needed", bool)():
                frozen = await asyncio.to_thread(credentials.get_frozen_credentials)
            else:
                frozen = credentials.get_frozen_credentials()
        except (BotoCoreError, RuntimeError) as error:
            # botocore's RuntimeError: credentials that are renewed and expired all the same
            raise Transient(f"{self._what}: credentials: {error}") from error
        return Credential(frozen.access_key, frozen.secret_key, frozen.token)

    def _find_credentials(self) -> Any:  # noqa: ANN401 - botocore has no static types
        session = self._session or botocore.session.get_session()
        credentials = session.get_credentials()
        if credentials is None:
            raise ConfigError(f"{self._what}: no AWS credentials were found")
        return credentials

    def _connected(self) -> aiohttp.ClientSession:
        if self._http is None:
            connector = aiohttp.TCPConnector(
                limit=self._connections, keepalive_timeout=_KEEPALIVE_S, ssl=_tls(self._url)
            )
            timeout = aiohttp.ClientTimeout(total=None)
            self._http = aiohttp.ClientSession(
                connector=connector, timeout=timeout, auto_decompress=False
            )
        return self._http


def _requests(records: Sequence[Outgoing], stream: str) -> Iterator[Sequence[Outgoing]]:
    part: list[Outgoing] = []
    size = 0
    for record in records:
        record_size = check_size(record, stream)
        if part and (len(part) >= MAX_REQUEST_RECORDS or size + record_size > _REQUEST_BYTES):
            yield part
            part, size = [], 0
        part.append(record)
        size += record_size
    if part:
        yield part


def _tls(url: str) -> ssl.SSLContext | bool:
    if not url.startswith("https:"):
        return True
    bundle = botocore.session.get_session().get_config_variable("ca_bundle")
    return ssl.create_default_context(cafile=bundle or botocore.httpsession.get_cert_path(True))


def _code(answer: bytes) -> tuple[str, str]:
    try:
        refusal = _REFUSAL.decode(answer)
    except msgspec.DecodeError:
        return "unknown", answer[:200].decode(errors="replace")
    return refusal.kind.rpartition("#")[2], refusal.message or refusal.message_too


def _client_error(status: int, code: str, message: str) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status},
        },
        "PutRecords",
    )
