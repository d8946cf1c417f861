"""Run one server of the embedded AWS: ``python -m tradelake.local.serve KIND JSON-OPTIONS``.

``KIND`` is ``streams`` or ``emulator``; options are the fields of its options class.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tradelake.decoding import convert, json_decoder
from tradelake.errors import ConfigError


def _paths(kind: type, value: object) -> Any:  # noqa: ANN401 - what msgspec asks for
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(f"no conversion to {kind}")


def main(arguments: list[str]) -> int:
    """Run the server until it is told to stop; return the exit code."""
    kind, options = arguments
    fields = json_decoder(dict[str, Any]).decode(options)
    try:
        if kind == "streams":
            from tradelake.local.stream_server import ServerOptions, run_stream_server

            run_stream_server(convert(fields, ServerOptions, dec_hook=_paths))
        else:
            from tradelake.local.emulator.options import EmulatorOptions
            from tradelake.local.emulator.server import run_emulator

            run_emulator(convert(fields, EmulatorOptions, dec_hook=_paths))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
