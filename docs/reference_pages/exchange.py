"""The exchange simulator."""

from __future__ import annotations

import re
from typing import Any, Final

from reference_pages.markdown import code, summary, table
from tradelake.exchange import admin, assets, faults, rest, schemas
from tradelake.exchange.paper.endpoints import PaperEndpoints
from tradelake.exchange.paper.updates import UpdateStream
from tradelake.exchange.subscriptions import ERRORS

PREFIX: Final = "/v1beta3/crypto/{location}"


def exchange_page() -> str:
    """Return routes, error codes, faults and file schemas of the exchange simulator."""
    data: Any = None  # routes are only described, never called
    served = [
        *rest.RestEndpoints(data, data).routes(PREFIX),
        *assets.AssetEndpoints(data, data).routes("/v2", "/_exchange"),
        *PaperEndpoints(data, data, UpdateStream(data, data, 0.0), data, data).routes("/v2"),
        *admin.AdminEndpoints(data, data, data, data, data, data).routes("/_exchange"),
    ]
    rows = [("GET", code(PREFIX), "The market-data websocket.")]
    rows += [(item.method, code(_shown(item.path)), summary(item.handler)) for item in served]
    routes = table(("method", "path", "answers"), rows)
    kinds = table(
        ("`kind`", "effect"), ((code(kind), summary(act)) for kind, act in faults.KINDS.items())
    )
    errors = table(("code", "message"), ERRORS.items())
    files = "\n".join(
        f"### `{kind}_*.parquet`\n\n"
        + table(("column", "Arrow type"), ((code(n), code(t)) for n, t in columns.items()))
        for kind, columns in schemas.SCHEMAS.items()
    )
    return (
        "# Exchange simulator\n\n`tradelake exchange` speaks Alpaca's crypto market-data protocol"
        " and its trading API, with one [paper account](../how-to/paper-trading.md)."
        " Clients authenticate with `--key` and `--secret`.\n\n"
        f"## Routes\n\n{routes}\n"
        f"## Faults\n\n`POST /_exchange/fault` with a JSON object; other fields are the"
        f" parameters named in the effect.\n\n{kinds}\n"
        f"## Stream error codes\n\n{errors}\n"
        f"## Recorded files\n\nMore columns may be present; a column that is entirely null may have"
        f" the type `null`.\n\n{files}"
    )


def _shown(path: str) -> str:
    """Return a route without the patterns of its parts."""
    return re.sub(r":[^}/]*}", "}", path)
