"""A result as HTML: a fragment for notebooks, a page of its own for a browser.

The page asks nothing of the network; every text is escaped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

import numpy as np

from tradelake.backtest import drawing
from tradelake.backtest.figures import Figures
from tradelake.errors import InvalidData

_PERCENT: Final = {
    "total_return", "cagr", "volatility", "max_drawdown", "win_rate", "exposure",
}  # fmt: skip
_MOST_TRIPS: Final = 200
_STYLE: Final = (
    "body{font:14px/1.5 sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#222;"
    "background:#fff}table{border-collapse:collapse;margin:.5em 0}th,td{padding:.15em .8em .15em 0;"
    "text-align:right;font-variant-numeric:tabular-nums}th:first-child,td:first-child"
    "{text-align:left}th{border-bottom:1px solid #8888}pre{overflow:auto;background:#8881;"
    "padding:.6em}@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}}"
)


def metric_texts(result: Figures) -> list[tuple[str, str]]:
    """Return the metrics by name as people read them; an undefined one is a dash."""
    try:
        row = result.metrics().row()
    except InvalidData as error:
        return [("metrics", str(error))]
    return [(name.replace("_", " "), _number(name, value)) for name, value in row.items()]


def _number(name: str, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    if name in _PERCENT:
        return f"{100.0 * value:,.2f} %"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def picture(result: Figures) -> drawing.Picture:
    """Return equity and drawdown."""
    return drawing.draw(result.title, result.clock_ns, result.equity_values, result.cash)


def fragment(result: Figures) -> str:
    """Return what a notebook shows: title, picture, metrics, realism and findings."""
    last = f"{float(result.equity_values[-1]):,.2f}" if len(result.equity_values) else "–"
    rows = [("start", f"{result.cash:,.2f}"), ("end", last), *metric_texts(result)]
    rows += [(f"fees in {asset}", f"{fee:,.8g}") for asset, fee in result.fees.items()]
    rows += [(f"rejected: {reason}", str(count)) for reason, count in result.rejects.items()]
    parts = [
        f"<h3>{escape(result.title)}</h3>",
        picture(result).svg if len(result.clock_ns) else "",
        _table(("measure", "value"), rows),
        f"<p>{escape(result.realism)}</p>",
    ]
    if result.findings:
        found = "".join(f"<li>{escape(str(one))}</li>" for one in result.findings)
        parts.append(f"<p>About the data:</p><ul>{found}</ul>")
    return "".join(parts)


def html(result: Figures) -> str:
    """Return the whole page: the fragment, the round trips and the manifest."""
    manifest = json.dumps(result.manifest, indent=2, default=str)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        f"<title>{escape(result.title)}</title><style>{_STYLE}</style></head><body>"
        f"{fragment(result)}{_trips(result)}<h3>Manifest</h3><pre>{escape(manifest)}</pre>"
        "</body></html>"
    )


def _trips(result: Figures) -> str:
    trips = result.trips
    names = ("symbol", "entry", "exit", "quantity", "entry price", "exit price", "net")
    rows = [
        (
            result.symbols[trip["symbol"]],
            _time(trip["entry_ns"]),
            "open" if trip["is_open"] else _time(trip["exit_ns"]),
            f"{trip['quantity']:.8g}",
            f"{trip['entry_price']:,.8g}",
            f"{trip['exit_price']:,.8g}",
            f"{trip['pnl'] - trip['fees']:,.2f}",
        )
        for trip in trips[-_MOST_TRIPS:]
    ]
    said = f"the last {_MOST_TRIPS} of {len(trips)}" if len(trips) > _MOST_TRIPS else len(trips)
    return f"<h3>Round trips ({said})</h3>{_table(names, rows)}"


def _time(ts_ns: int) -> str:
    return str(np.datetime64(int(ts_ns), "ns").astype("datetime64[s]")).replace("T", " ")


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
