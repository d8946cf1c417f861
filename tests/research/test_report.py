from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser

import msgspec
import pytest
from msgspec.structs import replace

from tradelake.research.report import (
    Provenance,
    Reconciliation,
    ReportData,
    Run,
    RunMetrics,
    Throughput,
    render,
)

MakeReport = Callable[..., ReportData]
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'"
MAPPINGS = ("params", "environment", "benchmarks", "details", "snapshots")
VOID = {"meta", "link", "input", "br", "img"}


class _Page(HTMLParser):
    """Elements, their attributes, and whether every one that was opened is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def _bare(**fields: object) -> ReportData:
    return ReportData(
        title="Bare", generated_at_ns=0, source="nowhere", provenance=Provenance("0"), **fields  # type: ignore[arg-type]
    )  # fmt: skip


def _run(run_id: str, sharpe: float | None, **fields: object) -> Run:
    metrics = RunMetrics(sharpe=sharpe)
    defaults = {"strategy": "cross", "symbol": "BTC/USD", "timeframe": "1h", "params": {}}
    return Run(run_id=run_id, metrics=metrics, **{**defaults, **fields})  # type: ignore[arg-type]


def test_render_gives_the_same_page_when_the_data_are_the_same(make_report: MakeReport) -> None:
    assert render(make_report()) == render(make_report())


@pytest.mark.parametrize(
    ("runs", "symbols", "streamed"),
    [(0, 1, 1), (1, 1, 1), (48, 2, 3), (200, 3, 120), (400, 120, 120)],
)
def test_render_closes_every_element_whatever_the_size(
    make_report: MakeReport, runs: int, symbols: int, streamed: int
) -> None:
    html = render(make_report(runs=runs, symbols=symbols, streamed=streamed))
    page = _Page(html)
    assert not page.open
    identifiers = [a["id"] for _, a in page.elements if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    assert not re.search(r"\b(nan|None|inf|Undefined)\b", page.text)
    assert len(html) < 2_000_000


def test_render_shows_a_page_when_there_is_nothing_to_show() -> None:
    page = _Page(render(_bare()))
    assert "Not checked" in page.text
    assert "No backtests were run." in page.text
    assert not page.open


def test_render_names_no_other_host(make_report: MakeReport) -> None:
    html = render(make_report())
    assert not re.search(r"https?://|//[a-z]+\.", html)
    for _, attributes in _Page(html).elements:
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))


def test_render_uses_no_inline_style_or_handler_so_its_policy_holds(
    make_report: MakeReport,
) -> None:
    for _, attributes in _Page(render(make_report())).elements:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]


def test_render_escapes_every_text_of_the_data(make_report: MakeReport) -> None:
    sample = make_report(runs=3, symbols=1, streamed=1)
    hostile = msgspec.convert(_poison(msgspec.to_builtins(sample)), ReportData)
    clean, poisoned = _Page(render(sample)), _Page(render(hostile))
    assert len(poisoned.all("script")) == len(clean.all("script"))
    assert not poisoned.all("img")
    assert not poisoned.open
    assert "alert(2)" in poisoned.text


def _poison(value: object, key: str = "") -> object:
    if isinstance(value, dict):
        return {
            f"{name}{HOSTILE}" if key in MAPPINGS else name: _poison(inner, name)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_poison(inner, key) for inner in value]
    if isinstance(value, str) and key != "status":
        return f"{value}{HOSTILE}"
    return value


def test_report_data_survive_json(make_report: MakeReport) -> None:
    data = make_report(runs=4)
    assert msgspec.json.decode(msgspec.json.encode(data), type=ReportData) == data


def test_verdict_is_yes_when_every_record_is_accounted_for() -> None:
    row = Reconciliation("trades", "BTC/USD", 10, 7, 1, 1, 1)
    assert "Reconciled to the unit" in _Page(render(_bare(reconciliation=(row,)))).text


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (Reconciliation("trades", "BTC/USD", 10, 9, unexplained=1), "1 unexplained, 0 doubled"),
        (Reconciliation("trades", "BTC/USD", 10, 10, doubled=2), "0 unexplained, 2 doubled"),
        (Reconciliation("trades", "BTC/USD", 10, 9), "1 row whose figures do not add up"),
    ],
)
def test_verdict_is_no_when_one_row_is_wrong(row: Reconciliation, words: str) -> None:
    good = Reconciliation("quotes", "BTC/USD", 5, 5)
    text = _Page(render(_bare(reconciliation=(good, row)))).text
    assert "Not reconciled" in text
    assert words in text
    assert "in 1 of 2 series" in text


def test_verdict_is_no_when_wrong_rows_cancel_out() -> None:
    rows = (
        Reconciliation("trades", "BTC/USD", 10, 9, unexplained=1),
        Reconciliation("trades", "ETH/USD", 10, 11, unexplained=-1),
    )
    page = _Page(render(_bare(reconciliation=rows)))
    assert "2 unexplained, 0 doubled" in page.text
    assert "0 Unexplained" not in page.text


def test_failed_run_shows_its_error_and_dashes() -> None:
    run = Run("r1", "cross", "BTC/USD", "1h", {"fast": 3}, "failed", error="order 17: no cash")
    text = _Page(render(_bare(runs=(run,)))).text
    assert "order 17: no cash" in text
    assert "1 failed run" in text
    assert text.count("–") >= 9


@pytest.mark.parametrize("sharpe", [None, float("nan"), float("inf")])
def test_metric_shows_as_a_dash_and_is_no_trial_when_it_is_not_known(sharpe: float | None) -> None:
    data = _bare(runs=(_run("a", sharpe), _run("b", 1.0), _run("c", 2.0)))
    page = _Page(render(data))
    assert "Sharpe ratios of 2 runs" in page.text
    keys = [a.get("data-key") for a in page.all("td") if "num" in (a.get("class") or "")]
    assert [key for key in keys if key] == ["2.0", "1.0"]


def test_trials_of_the_ledger_raise_the_bar_when_more_were_made_than_shown() -> None:
    runs = tuple(_run(str(i), sharpe) for i, sharpe in enumerate((-1.0, 0.0, 1.0)))
    text = _Page(render(_bare(runs=runs, trials=100))).text
    assert "The best of 100 trials is biased upwards." in text
    assert "expected to reach 2.53" in text
    assert "not above what luck gives" in text


def test_throughput_tells_the_latency_against_its_budget() -> None:
    flows = Throughput(10, 10, 10, 2.0, 3.0, 61.0, 50.0)
    page = _Page(render(_bare(throughput=flows)))
    assert "p50 3.0 ms, budget 50 ms" in page.text
    assert any("tile bad" in (a.get("class") or "") for a in page.all("div"))


def test_long_curves_are_thinned_when_rendered() -> None:
    equity = tuple((ts * 10**9, 100.0 + ts % 7) for ts in range(20_000))
    html = render(_bare(runs=(_run("a", 1.0, equity=equity),)))
    longest = max(len(a.get("d") or "") for a in _Page(html).all("path"))
    assert 1_000 < longest < 500 * 14


def test_curve_is_left_out_when_it_cannot_be_drawn() -> None:
    curves = (
        (),
        ((1, 5.0),),
        ((1, 0.0), (2, 5.0)),
        ((1, 5.0), (1, 6.0)),
        ((1, float("nan")), (2, 1.0)),
    )
    runs = tuple(_run(str(i), 1.0, symbol=f"S{i}/USD", equity=c) for i, c in enumerate(curves))
    page = _Page(render(_bare(runs=runs)))
    assert not page.all("figcaption")


def test_series_are_collapsed_when_there_are_many_symbols(make_report: MakeReport) -> None:
    data = make_report(runs=0, symbols=1, streamed=120)
    wrong = Reconciliation("trades", "ODD/USD", 4, 3, unexplained=1)
    text = _Page(render(replace(data, reconciliation=(*data.reconciliation, wrong)))).text
    assert "All 721 series by channel and symbol" in text
    assert "1 series of 721, in records" in text
