"""The report in a browser: it complains of nothing, asks the network for nothing, and works."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.research.browser import Browser
from tradelake.research.report import ReportData, render

MakeReport = Callable[..., ReportData]
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
HOSTILE = "</script><script>console.error('ran')</script><img src=x onerror=console.error('ran')>"


@pytest.fixture(scope="module")
def shared_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with Browser(CHROMIUM, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(shared_browser: Browser) -> Iterator[Browser]:
    shared_browser.complaints.clear()
    shared_browser.requests.clear()
    yield shared_browser
    assert shared_browser.complaints == []
    assert all(request.startswith(("file:", "data:")) for request in shared_browser.requests)


@pytest.fixture(scope="module")
def page(make_report: MakeReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(make_report()), "utf-8")
    return path


SIZES = [(0, 1, 1), (1, 1, 1), (200, 3, 120), (400, 120, 120)]


@pytest.mark.parametrize(("runs", "symbols", "streamed"), SIZES)
def test_page_is_no_wider_than_the_window_whatever_the_size(
    browser: Browser,
    make_report: MakeReport,
    tmp_path: Path,
    runs: int,
    symbols: int,
    streamed: int,
) -> None:
    path = tmp_path / "report.html"
    path.write_text(render(make_report(runs=runs, symbols=symbols, streamed=streamed)), "utf-8")
    for width in (1400, 800, 390):
        browser.open(path, width=width)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert browser.evaluate("document.querySelectorAll('h2').length") >= 4


def test_hostile_text_runs_nothing(
    browser: Browser, make_report: MakeReport, tmp_path: Path
) -> None:
    raw = make_report(runs=9, symbols=1, streamed=1)
    path = tmp_path / "report.html"
    runs = tuple(
        replace(run, strategy=HOSTILE, symbol=HOSTILE, params={HOSTILE: HOSTILE}, error=HOSTILE)
        for run in raw.runs
    )
    path.write_text(render(replace(raw, title=HOSTILE, runs=runs)), "utf-8")
    browser.open(path)
    move = "document.querySelector('.plots').dispatchEvent(new PointerEvent('pointermove'))"
    browser.evaluate(move)
    assert browser.evaluate("document.images.length") == 0
    assert HOSTILE in browser.evaluate("document.querySelector('.tooltip').textContent")


def test_runs_sort_with_unknown_figures_last_whichever_way(browser: Browser, page: Path) -> None:
    browser.open(page)
    column = (
        "[...document.querySelectorAll('#run-table tbody tr')].map(r => r.cells[9].dataset.key)"
        ".map(k => k === undefined ? null : Number(k))"
    )
    click = "document.querySelectorAll('#run-table thead th')[9].querySelector('button').click()"
    browser.evaluate(click)
    down = browser.evaluate(column)
    browser.evaluate(click)
    up = browser.evaluate(column)
    known = [value for value in down if value is not None]
    assert down == [*sorted(known, reverse=True), None, None, None]
    assert up == [*sorted(known), None, None, None]
    header = "document.querySelectorAll('#run-table thead th')[9].getAttribute('aria-sort')"
    assert browser.evaluate(header) == "ascending"


def test_runs_filter_by_text_and_status(browser: Browser, page: Path) -> None:
    browser.open(page)
    fill = (
        "(id, value) => { const field = document.getElementById(id); field.value = value;"
        " field.dispatchEvent(new Event('input')); }"
    )
    browser.evaluate(f"({fill})('by-status', 'failed')")
    assert browser.evaluate("document.getElementById('shown').textContent") == "3 of 48 runs"
    browser.evaluate(f"({fill})('search', 'nothing like this')")
    assert browser.evaluate("document.getElementById('no-match').hidden") is False


def test_crosshair_follows_the_keyboard_and_the_legend_hides_a_line(
    browser: Browser, page: Path
) -> None:
    browser.open(page)
    press = (
        "document.querySelector('.plots').dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'ArrowRight'}))"
    )
    rows = "document.querySelectorAll('.tooltip tbody tr').length"
    browser.evaluate(press)
    assert browser.evaluate("document.querySelector('.tooltip').hidden") is False
    assert browser.evaluate(rows) == 4
    browser.evaluate("document.querySelector('.legend button').click()")
    browser.evaluate(press)
    assert browser.evaluate(rows) == 3
    assert browser.evaluate("document.querySelectorAll('path.off').length") == 2


def test_one_symbol_is_shown_at_a_time_and_tabs_change_it(browser: Browser, page: Path) -> None:
    browser.open(page)
    shown = "[...document.querySelectorAll('figure.curves')].map(f => getComputedStyle(f).display)"
    assert browser.evaluate(shown) == ["block", "none"]
    browser.evaluate("document.getElementById('tab-1').click()")
    assert browser.evaluate(shown) == ["none", "block"]


_CONTRAST = """
(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const [r, g, b] = rgb(colour).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (let n = node; n; n = n.parentElement) {
      const colour = getComputedStyle(n).backgroundColor;
      if (rgb(colour)[3] > 0) return colour;
    }
    return 'white';
  };
  const bad = [];
  for (const node of document.querySelectorAll('main *, footer *, header *, nav *')) {
    const own = [...node.childNodes].some((c) => c.nodeType === 3 && c.data.trim());
    if (!own || node.closest('svg, script, option, select') || !node.offsetParent) continue;
    const [a, b] = [light(getComputedStyle(node).color), light(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${node.tagName}.${node.className}`);
  }
  return [...new Set(bad)];
})()
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_a_contrast_of_at_least_four_and_a_half(
    browser: Browser, page: Path, scheme: str
) -> None:
    browser.open(page, scheme=scheme)
    assert browser.evaluate(_CONTRAST) == []


def test_page_prints_on_a_few_sheets(browser: Browser, page: Path) -> None:
    browser.open(page)
    pdf = browser.pdf()
    assert pdf.startswith(b"%PDF")
    assert 3 <= pdf.count(b"/Type /Page\n") <= 20
