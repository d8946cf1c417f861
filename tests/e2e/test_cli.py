"""Bad input on the real command line: one clear line, an exit code, no traceback."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.e2e.commands import (
    command,
    environment,
    processes_of,
    run,
    wait_for_stream_server,
    wait_until_gone,
)
from tradelake.bootstrap import wire_lake_catalog, wire_lake_reader
from tradelake.errors import ConfigError
from tradelake.local.layout import Layout

KEY = [("symbol", pa.string()), ("ts_ns", pa.int64())]
QUOTES = pa.schema(
    [*KEY, *((name, pa.float64()) for name in ("bid", "bid_size", "ask", "ask_size"))]
)
LEVELS = pa.list_(pa.struct([("price", pa.float64()), ("size", pa.float64())]))
BOOKS = pa.schema([*KEY, ("bids", LEVELS), ("asks", LEVELS), ("reset", pa.bool_())])
TRADES = pa.schema(
    [
        *KEY,
        ("price", pa.float64()),
        ("size", pa.float64()),
        ("side", pa.string()),
        ("trade_id", pa.string()),
    ]
)


def assert_refused(done, code, *words):
    """One line on standard error that has the words; nothing else went wrong."""
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("tradelake: ")
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stdout


@pytest.fixture(scope="session")
def lake(tmp_path_factory) -> Path:
    """A folder whose run is complete, with empty tables."""
    layout = Layout(tmp_path_factory.mktemp("runs") / "läke mit space")
    with layout.held():
        catalog = wire_lake_catalog(layout.variables())
        catalog.ensure_tables()
        catalog.close()
    return layout.root


@pytest.fixture(scope="session")
def reader(lake):
    """What ``tradelake sql`` asks."""
    return wire_lake_reader(Layout(lake).variables())


def recording(folder: Path, schema: pa.Schema = TRADES, **columns: list[object]) -> Path:
    values = {
        "symbol": ["BTC/USD"],
        "ts_ns": [1],
        "price": [1.0],
        "size": [1.0],
        "side": ["buy"],
        "trade_id": ["1"],
    }
    chosen = {name: {**values, **columns}[name] for name in schema.names}
    pq.write_table(pa.table(chosen, schema=schema), folder / "trades_x.parquet")
    for name, other in (("quotes", QUOTES), ("books", BOOKS)):
        pq.write_table(other.empty_table(), folder / f"{name}_x.parquet")
    return folder


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bogus"], ["No such option", "--bogus"]),
        (["frobnicate"], ["No such command", "frobnicate"]),
        (["demo", "--bogus"], ["--bogus"]),
        (["demo", "--seconds", "soon"], ["--seconds", "soon"]),
        (["demo", "--seconds", "nan"], ["--seconds", "finite"]),
        (["demo", "--seconds", "inf"], ["--seconds"]),
        (["demo", "--history-days", "3"], ["--history-days", "20"]),
        (["demo", "--data", ""], ["--data", "empty"]),
        (["demo", "--root", ""], ["--root", "empty"]),
        (["demo", "--synthetic", "--root", "/"], ["/ cannot be replaced"]),
        (["demo", "--synthetic", "--root", "a#b"], ["a#b", "path without"]),
        (["demo", "--synthetic", "--root", "/proc/nowhere/x"], ["cannot write", "/proc/nowhere"]),
        (["up", "--kinesis-port", "70000"], ["--kinesis-port", "65535"]),
        (["up", "--synthetic", "--data", "."], ["not both"]),
        (["exchange"], ["--data", "--synthetic"]),
        (["exchange", "--synthetic", "--speed", "nan"], ["--speed", "finite"]),
        (["exchange", "--synthetic", "--speed", "1", "--duration", "1"], ["not both"]),
        (["exchange", "--synthetic", "--symbols", "9999"], ["136", "9999"]),
        (["sql"], ["QUERY"]),
        (["sql", "--root", "nowhere", "SELECT 1"], ["no lake at nowhere", "tradelake demo"]),
        (["sql", "--format", "xml", "SELECT 1"], ["xml", "csv"]),
    ],
    ids=" ".join,
)
def test_cli_refuses_wrong_arguments_in_one_line(arguments, words, tmp_path):
    assert_refused(run(*arguments, cwd=tmp_path), 2, *words)
    assert not list(tmp_path.iterdir())


def test_cli_shows_its_verbs_when_it_is_given_none():
    done = run()
    assert done.returncode == 2
    for verb in ("demo", "up", "sql", "exchange"):
        assert verb in done.stderr


@pytest.mark.parametrize("verb", ["demo", "up"])
@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
def test_cli_refuses_a_data_folder_before_it_replaces_an_earlier_run(verb, kind, lake, tmp_path):
    data = tmp_path / "data"
    if kind == "empty":
        data.mkdir()
    elif kind == "file":
        data.write_text("no folder")
    assert_refused(run(verb, "--data", data, "--root", lake), 2, str(data))
    assert Layout(lake).marked() == "complete"


def test_demo_reads_the_data_folder_from_the_environment_relative_to_the_shell(tmp_path):
    done = run("demo", cwd=tmp_path, variables={"TRADELAKE_DATA": "no/such"})
    assert_refused(done, 2, "no/such")


def test_demo_refuses_a_recording_in_the_folder_it_replaces(tmp_path):
    inside = tmp_path / "root" / "alpaca"
    inside.mkdir(parents=True)
    done = run("demo", "--data", inside, "--root", tmp_path / "root")
    assert_refused(done, 2, "is replaced")
    assert inside.is_dir()


@pytest.mark.parametrize("verb", ["demo", "exchange"])
@pytest.mark.parametrize(
    ("columns", "schema", "words"),
    [
        ({}, TRADES.remove(2), ["price", "found columns"]),
        ({"price": ["high"]}, TRADES.set(2, pa.field("price", pa.string())), ["price", "double"]),
        ({"symbol": [None]}, TRADES, ["symbol in every row"]),
        ({"ts_ns": [None]}, TRADES, ["ts_ns in every row"]),
    ],
    ids=["no price", "price of text", "no symbol", "no time"],
)
def test_cli_names_file_and_column_of_a_recording_of_the_wrong_schema(
    verb, columns, schema, words, tmp_path
):
    data = recording(tmp_path, schema, **columns)
    extra = ["--root", tmp_path / "root"] if verb == "demo" else []
    assert_refused(run(verb, "--data", data, *extra), 2, "trades_x.parquet", *words)
    assert not (tmp_path / "root").exists()


def test_cli_names_a_truncated_file(tmp_path):
    path = recording(tmp_path) / "trades_x.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    done = run("demo", "--data", tmp_path, "--root", tmp_path / "root")
    assert_refused(done, 2, "trades_x.parquet", "expected a Parquet file")


@pytest.mark.parametrize("kind", ["file", "foreign"])
def test_cli_leaves_alone_what_is_not_its_own(kind, tmp_path):
    root = tmp_path / "root"
    kept = root
    if kind == "foreign":
        root.mkdir()
        kept = root / "mine.txt"
    kept.write_text("mine")
    assert_refused(run("demo", "--synthetic", "--root", root), 2, str(root))
    assert kept.read_text() == "mine"


def test_cli_refuses_a_folder_that_another_run_holds(tmp_path):
    root = tmp_path / "root"
    with (tmp_path / "root.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert_refused(run("demo", "--synthetic", "--root", root), 2, "in use by another run")
    assert not root.exists()


def busy_port() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_exchange_names_a_busy_port():
    with busy_port() as taken:
        port = taken.getsockname()[1]
        done = run("exchange", "--synthetic", "--symbols", "1", "--port", port)
    assert_refused(done, 2, "cannot listen", str(port))


@pytest.mark.parametrize("option", ["--aws-port", "--kinesis-port"])
def test_up_names_a_busy_port_and_leaves_no_process(option, tmp_path):
    root = tmp_path / "root"
    with busy_port() as taken:
        port = taken.getsockname()[1]
        done = run("up", option, port, "--root", root)
    assert_refused(done, 2, "cannot listen", str(port))
    assert not processes_of(root)
    assert Layout(root).marked() == "failed"


def test_sql_answers_over_a_folder_with_spaces_and_accents(lake):
    done = run("sql", "--root", lake, "--format", "json", "SELECT count(*) AS n FROM trades")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"n": 0}


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("", "one SELECT"),
        (";", "one SELECT"),
        ("SELECT 1; SELECT 2", "one SELECT"),
        ("CREATE TABLE x AS SELECT 1", "one SELECT"),
        ("COPY (SELECT 1) TO 'out.csv'", "one SELECT"),
        ("ATTACH 'z.db'", "one SELECT"),
        ("INSTALL httpfs", "one SELECT"),
        ("SET enable_external_access = true", "one SELECT"),
        ("SELECT content FROM read_text('/etc/hostname')", "Permission"),
        ("SELECT * FROM read_csv('/etc/hostname')", "Permission"),
        ("SELECT * FROM '/etc/hostname'", "SQL"),
        ("SELECT * FROM nope", "nope"),
    ],
)
def test_sql_refuses_what_is_no_select_over_the_lake(reader, query, word, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=word):
        reader.sql(query)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("query", "word"), [("SELEC", "SELEC"), ("SELECT '\udcff'", "UTF-8"), ("", "one SELECT")]
)
def test_sql_says_what_is_wrong_with_a_query_in_one_line(lake, query, word):
    assert_refused(run("sql", "--root", lake, query), 2, word)


def test_sql_writes_no_file_into_a_tables_own_folder(lake):
    before = sorted(lake.rglob("*"))
    folder = next(path for path in before if path.is_dir() and path.name == "metadata").parent
    query = f"COPY (SELECT 1) TO '{folder / 'evil.parquet'}'"
    assert_refused(run("sql", "--root", lake, query), 2, "one SELECT")
    assert sorted(lake.rglob("*")) == before


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_sql_shows_every_kind_of_value(lake, form):
    query = "SELECT 1 a, 2 a, [1, 2] l, {'k': 'nan'::DOUBLE} s, '\\xAA'::BLOB b, NULL n, '[red]x' m"
    done = run("sql", "--root", lake, "--format", form, query)
    assert (done.returncode, done.stderr) == (0, "")
    assert "[red]x" in done.stdout
    if form == "json":
        row = json.loads(done.stdout)
        assert (row["a"], row["a_2"], row["s"]) == (1, 2, {"k": None})
    if form == "csv":
        assert '"[1, 2]"' in done.stdout
        assert '"aa"' in done.stdout


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_sql_ends_quietly_when_the_reader_of_a_pipe_goes(lake, form):
    query = "SELECT range AS n, repeat('x', 200) AS t FROM range(100000)"
    with subprocess.Popen(
        command("sql", "--root", lake, "--format", form, query),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) in (0, 1)


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_sql_says_so_when_the_output_does_not_fit(lake, form):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command("sql", "--root", lake, "--format", form, "SELECT 1 AS n"),
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "tradelake: No space left on device\n"


@pytest.mark.parametrize(("state", "word"), [("failed", "interrupted"), ("running", "was cut off")])
def test_sql_says_that_a_run_is_not_complete(state, word, tmp_path):
    layout = Layout(tmp_path / "root")
    layout.prepare()
    wire_lake_catalog(layout.variables()).ensure_tables()
    layout.mark(state)
    done = run("sql", "--root", layout.root, "SELECT count(*) FROM trades")
    assert done.returncode == 0
    assert "is not complete" in done.stderr
    assert word in done.stderr


def all_ended(root, patience_s=20.0):
    """Whether no process is left; one that was killed may take its time on a busy machine."""
    deadline = time.monotonic() + patience_s
    while processes_of(root) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not processes_of(root)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "term"]
)
def test_demo_leaves_no_process_and_no_complete_folder_when_interrupted(number, code, tmp_path):
    root = tmp_path / "root"
    process = subprocess.Popen(
        command("demo", "--synthetic", "--root", root),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for_stream_server(process, root)
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in out + err
    assert err.strip().startswith("tradelake: ")
    assert len(err.strip().splitlines()) == 1
    assert all_ended(root)
    assert Layout(root).marked() == "failed"


def test_demo_leaves_no_process_and_no_complete_folder_when_killed(tmp_path):
    root = tmp_path / "root"
    process = subprocess.Popen(
        command("demo", "--synthetic", "--root", root),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for_stream_server(process, root)
    process.kill()
    process.wait(60)
    wait_until_gone(root)
    assert Layout(root).marked() == "cut off"


def test_up_names_the_process_that_was_killed_and_ends_the_others(tmp_path):
    root = tmp_path / "root"
    process = subprocess.Popen(
        command("up", "--root", root),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    streams = wait_for_stream_server(process, root)
    os.kill(streams, signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err.startswith("tradelake: streams was ended by SIGKILL")
    assert len(err.splitlines()) == 1
    assert not processes_of(root)
