"""What every ``AsyncStreamWriter`` promises, on a Kinesis that misbehaves, on moto and on ours."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from email.utils import formatdate

import boto3
import pytest
from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.server import ThreadedMotoServer

from tradelake.adapters.aws.async_streams import AsyncKinesisWriter
from tradelake.adapters.aws.signing import Credential, Signer
from tradelake.adapters.aws.streams import MAX_RECORD_BYTES, MAX_REQUEST_RECORDS
from tradelake.adapters.system import SystemClock
from tradelake.errors import ConfigError, Fatal, Throttled, Transient
from tradelake.ports import Outgoing

STREAM = "tradelake-test-ticks"
HOUR_NS = 3_600_000_000_000
REGION = "us-east-1"


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.delenv("AWS_PROFILE", raising=False)


def numbered(count: int) -> list[Outgoing]:
    return [Outgoing(f"k{i}", f"{i}".encode()) for i in range(count)]


def expected_authorization(request: web.Request, body: bytes, key: str, secret: str) -> str:
    """What botocore would have signed this request with."""
    auth = SigV4Auth(Credentials(key, secret), "kinesis", REGION)
    signed = {
        name: request.headers[name]
        for name in ("content-type", "x-amz-date", "x-amz-target", "host")
    }
    if "x-amz-security-token" in request.headers:
        signed["x-amz-security-token"] = request.headers["x-amz-security-token"]
    asked = AWSRequest("POST", str(request.url), headers=signed, data=body)
    asked.context["timestamp"] = request.headers["x-amz-date"]
    names = auth.signed_headers(auth.headers_to_sign(asked))
    text = auth.string_to_sign(asked, auth.canonical_request(asked))
    scope = auth.scope(asked)
    signature = auth.signature(text, asked)
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}"


class Kinesis:
    """Checks signatures as AWS does, keeps what it accepts, and answers as its script says."""

    def __init__(self) -> None:
        self.secrets = {"AKIDEXAMPLE": "wJalrXUtnFEMI"}
        self.skew_s = 0.0
        self.requests: list[dict] = []
        self.script: list[Callable[[web.Request], Awaitable[web.Response] | web.Response]] = []
        self.refuse: dict[str, str] = {}

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        now = time.time() + self.skew_s
        date = {"Date": formatdate(now, usegmt=True)}
        authorization = request.headers["Authorization"]
        key = authorization.partition("Credential=")[2].partition("/")[0]
        if key not in self.secrets:
            return _refusal(400, "UnrecognizedClientException", date)
        assert authorization == expected_authorization(request, body, key, self.secrets[key])
        stamp = time.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
        if abs(now - _utc(stamp)) > 300:
            return _refusal(400, "InvalidSignatureException", date)
        asked = json.loads(body)
        self.requests.append(asked)
        if self.script:
            answer = self.script.pop(0)(request)
            return answer if isinstance(answer, web.Response) else await answer
        assert asked["StreamName"] == STREAM
        results = [
            {"ErrorCode": code, "ErrorMessage": "no"}
            if (code := self.refuse.get(record["PartitionKey"]))
            else {"SequenceNumber": "1", "ShardId": "s"}
            for record in asked["Records"]
        ]
        return web.json_response({"FailedRecordCount": 0, "Records": results})

    def data(self) -> list[bytes]:
        return [
            base64.b64decode(record["Data"])
            for request in self.requests
            for record in request["Records"]
        ]


def _utc(stamp: time.struct_time) -> float:
    import calendar

    return calendar.timegm(stamp)


def _refusal(status: int, code: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"__type": f"com.amazonaws.kinesis#{code}", "message": "no"}
    return web.json_response(body, status=status, headers=headers)


@asynccontextmanager
async def served(kinesis: Kinesis, monkeypatch, **options) -> AsyncIterator[AsyncKinesisWriter]:
    app = web.Application(client_max_size=32 << 20)
    app.router.add_post("/", kinesis.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", f"http://127.0.0.1:{runner.addresses[0][1]}")
    writer = AsyncKinesisWriter(STREAM, SystemClock(), **options)
    try:
        yield writer
    finally:
        await writer.close()
        await runner.cleanup()


def offer(kinesis: Kinesis, records: list[Outgoing], monkeypatch, **options):
    async def run():
        async with served(kinesis, monkeypatch, **options) as writer:
            return list(await writer.offer(records))

    return asyncio.run(run())


@pytest.mark.parametrize("token", [None, "a-token"])
def test_a_signature_is_botocores_and_the_key_of_the_day_is_kept(token, monkeypatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", token or "")
    if token is None:
        monkeypatch.delenv("AWS_SESSION_TOKEN")
    kinesis = Kinesis()
    assert offer(kinesis, numbered(3), monkeypatch) == [None] * 3
    assert kinesis.data() == [b"0", b"1", b"2"]
    signer = Signer("kinesis", REGION, "https://kinesis.us-east-1.amazonaws.com/")
    once, again = (
        signer.headers(Credential("a", "b", token), "t", "c", b"body", 1_700_000_000 * 10**9 + at)
        for at in (0, 86_400 * 10**9)
    )
    assert once["host"] == "kinesis.us-east-1.amazonaws.com"
    assert once["authorization"] != again["authorization"]


def test_secrets_are_not_shown_when_a_credential_is_printed():
    assert "hidden" not in repr(Credential("key", "hidden-secret", "hidden-token"))


def test_each_record_gets_its_own_outcome_when_some_are_refused(monkeypatch):
    kinesis = Kinesis()
    throttled = "ProvisionedThroughputExceededException"
    kinesis.refuse = {"k1": throttled, "k3": "InternalFailure"}
    outcome = offer(kinesis, numbered(4), monkeypatch)
    assert [type(error) for error in outcome] == [type(None), Throttled, type(None), Transient]
    assert f"k1: {throttled}: no" in str(outcome[1])


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "ProvisionedThroughputExceededException", Throttled),
        (400, "LimitExceededException", Throttled),
        (500, "InternalFailure", Transient),
        (503, "anything", Transient),
        (400, "ExpiredTokenException", Transient),
        (400, "AccessDeniedException", Fatal),
        (400, "ResourceNotFoundException", Fatal),
    ],
)
def test_a_refused_request_is_translated_when_kinesis_says_why(status, code, error, monkeypatch):
    kinesis = Kinesis()
    kinesis.script = [lambda _: _refusal(status, code)]
    with pytest.raises(error) as raised:
        offer(kinesis, numbered(2), monkeypatch)
    assert type(raised.value) is error
    assert f"PutRecords on {STREAM}: {code}" in str(raised.value)


def test_a_request_is_transient_when_the_answer_is_lost_late_or_garbage(monkeypatch):
    async def never(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        raise AssertionError

    def cut(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    kinesis = Kinesis()
    kinesis.script = [cut, never, lambda _: web.Response(body=b"<html>")]
    kinesis.script.append(lambda _: web.json_response({"Records": []}))

    async def run() -> list[str]:
        said = []
        async with served(kinesis, monkeypatch, timeout_s=0.3) as writer:
            for _ in range(4):
                with pytest.raises(Transient) as raised:
                    await writer.offer(numbered(1))
                said.append(str(raised.value))
            assert list(await writer.offer(numbered(1))) == [None]
        return said

    said = asyncio.run(run())
    for words, text in zip(("", "Timeout", "unreadable", "0 answers"), said, strict=True):
        assert words in text


def test_requests_are_signed_with_the_servers_time_when_our_clock_is_wrong(monkeypatch):
    kinesis = Kinesis()
    kinesis.skew_s = 3_600.0
    assert offer(kinesis, numbered(2), monkeypatch) == [None] * 2


def test_new_credentials_are_found_when_the_old_ones_were_replaced(monkeypatch):
    kinesis = Kinesis()

    async def run() -> list[Transient | None]:
        async with served(kinesis, monkeypatch) as writer:
            await writer.offer(numbered(1))
            kinesis.secrets = {"AKIDNEW": "another"}
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDNEW")
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
            return list(await writer.offer(numbered(1)))

    assert asyncio.run(run()) == [None]


def test_offer_is_fatal_when_the_credentials_are_unknown_and_there_are_no_others(monkeypatch):
    kinesis = Kinesis()
    kinesis.secrets = {}
    with pytest.raises(Fatal, match="UnrecognizedClient"):
        offer(kinesis, numbered(1), monkeypatch)


def test_writer_refuses_to_start_when_there_are_no_credentials(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "absent"))
    boto3.setup_default_session()
    with pytest.raises(ConfigError, match="no AWS credentials"):
        AsyncKinesisWriter(STREAM, SystemClock())
    boto3.setup_default_session()


class Expired:
    """Credentials that are renewed and expired all the same, as botocore says it."""

    def get_frozen_credentials(self) -> None:
        raise RuntimeError("Credentials were refreshed, but the refreshed ones are still expired.")


class ExpiredSession:
    def get_credentials(self) -> Expired:
        return Expired()


def test_records_wait_when_credentials_stay_expired(monkeypatch):
    kinesis = Kinesis()
    with pytest.raises(Transient, match="still expired"):
        offer(kinesis, numbered(1), monkeypatch, session=ExpiredSession())
    assert kinesis.requests == []


def test_requests_respect_the_limits_when_there_are_many_or_large_records(monkeypatch):
    many, large = Kinesis(), Kinesis()
    assert offer(many, numbered(1_201), monkeypatch) == [None] * 1_201
    assert [len(r["Records"]) for r in many.requests] == [MAX_REQUEST_RECORDS] * 2 + [201]
    records = [Outgoing(f"k{i}", b"x" * 1_000_000) for i in range(11)]
    assert offer(large, records, monkeypatch) == [None] * 11
    assert len(large.requests) == 6
    with pytest.raises(Fatal, match="1048577"):
        offer(large, [Outgoing("k", b"x" * MAX_RECORD_BYTES)], monkeypatch)


def test_what_was_accepted_stays_accepted_when_a_later_request_of_the_same_offer_fails(monkeypatch):
    kinesis = Kinesis()
    fine = web.json_response({"Records": [{"SequenceNumber": "1", "ShardId": "s"}] * 2})
    kinesis.script = [lambda _: fine, lambda _: web.Response(status=503, body=b"{}")]
    records = [Outgoing(f"k{i}", b"x" * 1_000_000) for i in range(5)]
    outcomes = offer(kinesis, records, monkeypatch)
    assert outcomes[:2] == [None, None]
    assert all(isinstance(outcome, Transient) for outcome in outcomes[2:])
    assert len(kinesis.requests) == 2


def test_nothing_is_requested_when_there_is_nothing_to_put(monkeypatch):
    kinesis = Kinesis()
    assert offer(kinesis, [], monkeypatch) == []
    assert kinesis.requests == []


@pytest.fixture
def stream_server(tmp_path) -> Iterator[str]:
    command = [sys.executable, "-m", "tradelake.local.stream_server", "--fsync", "never"]
    server = subprocess.Popen(
        [*command, "--folder", str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    yield json.loads(server.stdout.readline())["url"]
    server.terminate()
    server.wait(timeout=20)
    server.stdout.close()


@pytest.fixture
def moto_server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.mark.parametrize("kind", ["stream_server", "moto_server"])
def test_records_of_a_key_are_in_order_when_offered_one_after_another(kind, request, monkeypatch):
    url = request.getfixturevalue(kind)
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    kinesis = boto3.client("kinesis", endpoint_url=url, region_name=REGION)
    kinesis.create_stream(StreamName=STREAM, ShardCount=3)
    kinesis.get_waiter("stream_exists").wait(StreamName=STREAM)

    async def run() -> None:
        writer = AsyncKinesisWriter(STREAM, SystemClock())
        for turn in range(20):
            wave = [Outgoing(f"k{i}", bytes([i, turn])) for i in range(5)]
            assert list(await writer.offer(wave)) == [None] * 5
        await writer.close()

    asyncio.run(run())
    found: dict[str, list[bytes]] = {}
    for shard in kinesis.list_shards(StreamName=STREAM)["Shards"]:
        where = {"StreamName": STREAM, "ShardId": shard["ShardId"]}
        iterator = kinesis.get_shard_iterator(**where, ShardIteratorType="TRIM_HORIZON")
        page = kinesis.get_records(ShardIterator=iterator["ShardIterator"], Limit=1_000)
        for record in page["Records"]:
            found.setdefault(record["PartitionKey"], []).append(record["Data"])
    kinesis.close()
    assert found == {f"k{i}": [bytes([i, turn]) for turn in range(20)] for i in range(5)}
