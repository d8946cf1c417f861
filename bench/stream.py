"""Everything the stream promises, measured one after the other: what ``make bench-stream`` runs.

The codec (``bench/codec.py``), alpaca-py's clients and ours over a socket
(``bench/feed_clients.py``), the way from the socket to durable on the embedded AWS
(``bench/stream_socket.py``) and the tap (``bench/tap.py``), each a process of its own. What they
print goes on to standard output; the last line of each is JSON, and so is the last line of this.
A benchmark that fails is named and makes this fail, after the others ran.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
FRAMES_OF: Final = "100"


def run(module: str, *arguments: str) -> dict[str, Any]:
    """Run a benchmark, pass its output on, and return its last line; empty when it failed."""
    print(f"== {module} {' '.join(arguments)}", flush=True)
    last = ""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line if line.strip() else last
    if process.returncode:
        return {}
    return dict(json.loads(last))


def summary(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures that count; None where a benchmark did not run or failed."""
    codec, socket, tap = (found.get(name, {}) for name in ("codec", "stream_socket", "tap"))
    rates = found.get("feed_clients", {}).get("k_per_cpu_s", {})
    ours = rates.get("native", {}).get(FRAMES_OF)

    def ratio(name: str) -> float | None:
        theirs = rates.get(name, {}).get(FRAMES_OF)
        return round(ours / theirs, 2) if ours and theirs else None

    return {
        "name": "stream",
        "codec_points_s": codec.get("codec_points_s"),
        "ratio_sdk_raw": ratio("sdk_raw"),
        "ratio_sdk_models": ratio("sdk_models"),
        "socket_points_s": socket.get("socket_points_s"),
        "p50_ms": socket.get("p50_ms"),
        "p99_ms": socket.get("p99_ms"),
        "rss_growth_mb": socket.get("rss_growth_mb"),
        "steady_points_s": socket.get("points_s"),
        "p999_ms": socket.get("p999_ms"),
        "put_p99_ms": socket.get("put_p99_ms"),
        "ingester_cores": socket.get("ingester_cores"),
        "rss_mb": socket.get("rss_mb"),
        "lost": socket.get("lost"),
        "tap_p99_ms": tap.get("p99_ms"),
        "tap_missed": tap.get("missed"),
        "codec_deflated_points_s": codec.get("deflated_points_s"),
        "decode_ratio_sdk_raw": codec.get("ratio_sdk_raw"),
        "decode_ratio_sdk_models": codec.get("ratio_sdk_models"),
        "client_k_per_cpu_s": ours,
        "recorded": codec.get("recorded"),
    }


def benchmarks(given: argparse.Namespace) -> list[Sequence[str]]:
    """Return what is run: module and arguments."""
    found: list[Sequence[str]] = [
        ("bench.codec", "--repeats", str(given.repeats)),
        ("bench.feed_clients", "--repeats", str(given.repeats)),
    ]
    if os.environ.get("TRADELAKE_DATA"):
        socket = ["bench.stream_socket", "--seconds", str(given.seconds)]
        socket += ["--rate", str(given.rate), "--most", str(given.most)]
        if given.soak_s:
            socket += ["--soak-s", str(given.soak_s)]
        found += [socket, ("bench.tap", "--rate", str(given.rate))]
    else:
        print("TRADELAKE_DATA is not set: socket -> durable and the tap are left out")
    return found


def main() -> int:
    """Run all of them; returns how many failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each phase of the socket")
    parser.add_argument("--soak-s", type=float, default=0.0, help="of the steady phase, instead")
    parser.add_argument("--rate", type=float, default=10_000.0, help="of the steady phase")
    parser.add_argument("--most", type=float, default=25_000.0, help="of the fast phase")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    found, failed = {}, []
    for module, *arguments in benchmarks(given):
        name = module.rpartition(".")[2]
        found[name] = run(module, *arguments)
        if not found[name]:
            failed.append(name)
    print(json.dumps({**summary(found), "failed": failed}))
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
