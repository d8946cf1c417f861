"""The page about writing a venue: its code runs as it stands there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "broker.md"


def test_page_about_venues_runs_when_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    venue, *rest = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "my_venue.py").write_text(venue)
    monkeypatch.syspath_prepend(str(tmp_path))
    names: dict[str, object] = {}
    try:
        exec("\n".join([venue, *rest]), names)
    finally:
        sys.modules.pop("my_venue", None)
    said = capsys.readouterr().out
    assert "order of BTC/USD below 5" in said
    assert said.startswith("Rung 2: ")
    assert "Broker my venue: fees maker 10 and taker 20 bps, falling in 2 tiers" in said
