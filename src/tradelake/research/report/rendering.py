"""Puts the sections together: one HTML file that asks nothing of the network."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from tradelake.research.report import curves, heatmaps, models, overview, pipeline, runs, text
from tradelake.research.report.records import ReportData
from tradelake.research.report.trials import HISTOGRAM_HEIGHT, trials

_PACKAGE: Final = "tradelake.research.report"


def render(data: ReportData) -> str:
    """A self-contained HTML page of ``data``; its content security policy forbids every request.

    Every text of ``data`` is taken as untrusted and escaped. The same data gives the same page.
    Curves longer than 500 points are thinned.
    """
    environment = _environment()
    style, script = _asset("report.css"), _asset("report.js")
    checked = pipeline.balance(data)
    spread = trials(data)
    return environment.get_template("report.html.jinja").render(
        data=data,
        style=style,
        script=script,
        style_hash=_source_hash(style),
        script_hash=_source_hash(script),
        balance=checked,
        verdict=pipeline.verdict(checked),
        diagram=pipeline.diagram(data, checked),
        tiles=overview.tiles(data, checked, spread),
        cautions=overview.cautions(data, spread),
        stages=overview.stage_bars(data.stages),
        curves=curves.curve_section(data),
        growth_height=curves.GROWTH_HEIGHT,
        drawdown_height=curves.DRAWDOWN_HEIGHT,
        columns=runs.COLUMNS,
        rows=runs.rows(data.runs),
        strategies=sorted({run.strategy for run in data.runs}),
        symbols=sorted({run.symbol for run in data.runs}),
        heat_maps=heatmaps.heat_maps(data.runs),
        trials=spread,
        histogram_height=HISTOGRAM_HEIGHT,
        models=tuple(models.model_card(model) for model in data.models),
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        count=text.count,
        number=text.number,
        percent=text.percent,
        size=text.size,
        moment=text.moment,
        sparkline=curves.sparkline,
    )
    environment.globals.update(plural=text.plural)
    return environment


def _asset(name: str) -> str:
    return resources.files(_PACKAGE).joinpath("templates", name).read_text("utf-8")


def _source_hash(source: str) -> str:
    digest = hashlib.sha256(source.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
