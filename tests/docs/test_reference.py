"""The documentation follows the code: reference pages are current, links and commands resolve."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from tradelake.cli import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
VERB = re.compile(r"(?:^|[\s`/])tradelake (?!-)([a-z]+)\b", re.MULTILINE)
COMMAND_BLOCK = re.compile(r"```(?:console|sh|bash)\n(.*?)```", re.DOTALL)
TARGET = re.compile(r"\bmake ([a-z][a-z-]*)")


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "gen_reference", ROOT / "docs" / "gen_reference.py"
    )
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        # as for a script, which finds what is beside it
        patch.syspath_prepend(ROOT / "docs")
        spec.loader.exec_module(module)
    return module


def test_every_reference_page_says_what_the_code_says(generator):
    assert generator.stale() == [], "run: .venv/bin/python docs/gen_reference.py"


def test_the_quality_page_names_every_rule_a_bad_record_breaks(generator):
    from tradelake.market.records import Quote
    from tradelake.stream.quality import findings

    bad = Quote("btc", -1, -1, float("nan"), -1.0, 1e30, -1.0)
    page = generator.quality_page()
    assert findings(bad)
    assert all(f"`{finding.rule}`" in page for finding in findings(bad))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_relative_link_leads_to_a_file(page):
    targets = [t for t in LINK.findall(page.read_text()) if not re.match(r"[a-z]+:", t)]
    assert [t for t in targets if not (page.parent / t).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_command_shown_exists(page):
    blocks = "\n".join(COMMAND_BLOCK.findall(page.read_text()))
    makefile = (ROOT / "Makefile").read_text()
    assert [v for v in VERB.findall(blocks) if v not in cli.commands] == []
    assert [t for t in TARGET.findall(blocks) if f"\n{t}:" not in makefile] == []


def test_numbered_decisions_have_no_gap():
    numbers = [int(page.name[:4]) for page in sorted((ROOT / "docs" / "adr").glob("0*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
