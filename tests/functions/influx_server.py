"""As much of InfluxDB v2 on a local port as the hot store uses."""

import base64
import json
import re
import threading
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

TOKEN = "secret-token"
_SELECT = re.compile(r"SELECT (\*|\w+) FROM (\w+) WHERE (.*?)(?: ORDER BY time DESC LIMIT (\d+))?$")
_TAG = re.compile(r"(\w+) = '((?:[^'\\]|\\.)*)'")
_TIME = re.compile(r"time (>=|<=) (-?\d+)")


class InfluxInMemory:
    """Points by (measurement, tags, time); a ``status`` other than 0 answers every request."""

    def __init__(self) -> None:
        self.points: dict[tuple, dict] = {}
        self.authorizations: list[dict] = []
        self.status = 0
        self.written: list[str] = []

    def write(self, body: str) -> None:
        for line in body.splitlines():
            self.written.append(line)
            head, fields, time = re.split(r"(?<!\\) ", line)
            measurement, *tags = re.split(r"(?<!\\),", head)
            pairs = [re.split(r"(?<!\\)=", tag) for tag in tags]
            key = (measurement, tuple((k, re.sub(r"\\(.)", r"\1", v)) for k, v in pairs), int(time))
            values = dict(pair.split("=", 1) for pair in fields.split(","))
            self.points.setdefault(key, {}).update({k: _value(v) for k, v in values.items()})

    def select(self, query: str) -> dict:
        what, measurement, where, limit = _SELECT.fullmatch(query).groups()
        tags = {name: re.sub(r"\\(.)", r"\1", value) for name, value in _TAG.findall(where)}
        times = [(sign, int(number)) for sign, number in _TIME.findall(where)]
        rows = []
        for (name, pairs, time), fields in sorted(self.points.items(), key=lambda item: item[0][2]):
            inside = all(time >= n if sign == ">=" else time <= n for sign, n in times)
            if name == measurement and inside and tags.items() <= dict(pairs).items():
                rows.append(
                    {"time": time} | (fields | dict(pairs) if what == "*" else {what: fields[what]})
                )
        if limit:
            rows = rows[::-1][: int(limit)]
        if not rows:
            return {"results": [{"statement_id": 0}]}
        columns = sorted({name for row in rows for name in row})
        values = [[row.get(name) for name in columns] for row in rows]
        return {
            "results": [{"series": [{"name": measurement, "columns": columns, "values": values}]}]
        }


def _value(text: str):
    if text.startswith('"'):
        return text[1:-1]
    return int(text[:-1]) if text.endswith("i") else float(text)


SIGN_IN = "Basic " + base64.b64encode(b"admin:pass").decode()


def _route(store: InfluxInMemory, method: str, url: str, headers: Message, body: str):
    """(status, JSON or None) of a request."""
    path = urlsplit(url).path
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    session = headers.get("Cookie") == "session=s1"
    token = headers.get("Authorization") == f"Token {TOKEN}"
    if store.status:
        return store.status, None
    match method, path:
        case "POST", "/api/v2/signin" if headers.get("Authorization") == SIGN_IN:
            return 204, None
        case "GET", "/api/v2/orgs" if session:
            return 200, {"orgs": [{"id": "0a"}] if query["org"] == "desk" else []}
        case "GET", "/api/v2/authorizations" if session:
            return 200, {"authorizations": store.authorizations}
        case "POST", "/api/v2/authorizations" if session:
            made = json.loads(body) | {"token": TOKEN, "status": "active"}
            store.authorizations.append(made)
            return 201, made
        case "POST", "/api/v2/write" if token:
            store.write(body)
            return 204, None
        case "GET", "/query" if token:
            return 200, store.select(query["q"])
    return 401, None


def _handler(store: InfluxInMemory):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            self._answer(*_route(store, "POST", self.path, self.headers, body))

        def do_GET(self) -> None:
            self._answer(*_route(store, "GET", self.path, self.headers, ""))

        def _answer(self, status: int, content: dict | None) -> None:
            body = b"" if content is None else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Set-Cookie", "session=s1; Path=/api")
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def influx_server():
    """(store, url) of a running server."""
    store = InfluxInMemory()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(store))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield store, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
