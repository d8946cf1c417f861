"""The demo, whole: a small synthetic market through the real command line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.commands import processes_of, run
from tradelake.local.layout import Layout

pytestmark = pytest.mark.timeout(600)

FOREIGN_SECRET = "a-real-accounts-secret"
FOREIGN = {
    "AWS_PROFILE": "a-profile-that-is-missing",
    "AWS_ENDPOINT_URL": "http://192.0.2.1:9",
    "AWS_ENDPOINT_URL_KINESIS": "http://192.0.2.1:9",
    "AWS_ENDPOINT_URL_S3": "http://192.0.2.1:9",
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE00",
    "AWS_SECRET_ACCESS_KEY": FOREIGN_SECRET,
    "AWS_SESSION_TOKEN": FOREIGN_SECRET,
    "AWS_REGION": "eu-central-1",
    "APCA_API_SECRET_KEY": FOREIGN_SECRET,
}


class Done(NamedTuple):
    """A demo that ended."""

    root: Path
    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Done:
    """A demo in a folder with a space and an accent, in a shell set up for a real account."""
    root = tmp_path_factory.mktemp("demo") / "läke one"
    done = run(
        *("demo", "--synthetic", "--seconds", 3, "--history-days", 20, "--root", root),
        variables=FOREIGN,
        timeout_s=580,
    )
    return Done(root, done.returncode, done.stdout, done.stderr)


def test_demo_ends_well_whatever_account_the_shell_is_set_up_for(demo):
    assert (demo.code, demo.err) == (0, "")


def test_demo_says_last_what_became_of_every_point(demo):
    summary = demo.summary
    assert summary["points_sent"] > 10_000
    found = {name: summary[name] for name in ("missing", "doubled", "failed", "quarantined")}
    assert found == {"missing": 0, "doubled": 0, "failed": 0, "quarantined": 0}
    assert summary["rows"] == summary["points_sent"] == summary["points_durable"]
    assert summary["backtests"] >= 24


def test_demo_writes_a_report_with_a_verdict(demo):
    report = Path(demo.summary["report"])
    assert report == Layout(demo.root).report
    page = report.read_text(encoding="utf-8")
    assert "verdict" in page.lower()
    assert page.rstrip().endswith("</html>")


def test_demo_leaves_a_complete_lake_that_answers_sql(demo):
    assert Layout(demo.root).marked() == "complete"
    assert [path.name for path in demo.root.parent.iterdir()] == [demo.root.name]
    query = "SELECT symbol, count(*) AS n FROM trades GROUP BY 1"
    done = run("sql", "--root", demo.root, "--format", "csv", query)
    assert (done.returncode, done.stderr) == (0, "")
    counts = {row["symbol"]: int(row["n"]) for row in csv.DictReader(io.StringIO(done.stdout))}
    assert len(counts) == 20
    assert all(counts.values())


def test_demo_leaves_no_process(demo):
    assert demo.code == 0
    assert not processes_of(demo.root)


def test_demo_keeps_no_secret_in_its_folder(demo):
    kept = [path for path in demo.root.rglob("*") if path.is_file()]
    assert any(path.parent == Layout(demo.root).logs for path in kept)
    assert not [path for path in kept if FOREIGN_SECRET.encode() in path.read_bytes()]
