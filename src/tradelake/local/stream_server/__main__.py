"""``python -m tradelake.local.stream_server --folder DIR``: run a stream server in this process."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tradelake.errors import ConfigError
from tradelake.local.stream_server.options import ServerOptions
from tradelake.local.stream_server.server import run_stream_server


def main(arguments: list[str] | None = None) -> int:
    """Run a server with options from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tradelake.local.stream_server", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the logs live")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--fsync", choices=("always", "interval", "never"), default="always")
    parser.add_argument("--segment-bytes", type=int, default=32 << 20)
    parser.add_argument("--iterator-ttl-s", type=float, default=300.0)
    parser.add_argument("--shard-limits", action="store_true", help="1 MiB/s, 1,000 records/s")
    given = parser.parse_args(arguments)
    try:
        run_stream_server(ServerOptions(**vars(given)))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
