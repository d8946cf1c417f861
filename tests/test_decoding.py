"""Types are worked out in one thread at a time; the module that sees to it is not passed by."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tradelake.decoding import convert, json_decoder, msgpack_decoder

ROOT = Path(__file__).parents[1]
DEPLOYED = ("src", "functions", "containers", "glue_jobs", "sagemaker")
DECODING = ROOT / "src/tradelake/decoding.py"
OURS = {"decode", "convert", "Decoder"}

FIRST_DECODED_BY_MANY = """
import sys, threading
import msgspec
from tradelake.decoding import convert, json_decoder, msgpack_decoder

THREADS, ROUNDS = 8, 60
sys.setswitchinterval(1e-6)
PLAIN = {"parts": [{f"f{at}": at for at in range(20)}]}
TEXT, BINARY = msgspec.json.encode(PLAIN), msgspec.msgpack.encode(PLAIN)
WAYS = (
    lambda kind: json_decoder(kind).decode(TEXT),
    lambda kind: msgpack_decoder(kind).decode(BINARY),
    lambda kind: convert(PLAIN, kind),
)
failed = []

def fresh():
    part = msgspec.defstruct("Part", [(f"f{at}", int | None) for at in range(20)])
    return msgspec.defstruct("Whole", [("parts", list[part])])

def decode(way, kind, barrier):
    barrier.wait()
    try:
        if msgspec.to_builtins(way(kind)) != PLAIN:
            failed.append("another value")
    except Exception as error:
        failed.append(repr(error))

for _ in range(ROUNDS):
    kind, barrier = fresh(), threading.Barrier(THREADS)
    threads = [
        threading.Thread(target=decode, args=(WAYS[at % 3], kind, barrier))
        for at in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(failed)
"""


class Level(msgspec.Struct):
    price: float
    size: float = 0.0


def _is_msgspec(node: ast.expr) -> bool:
    return re.fullmatch(r"msgspec(\.\w+)?", ast.unparse(node)) is not None


def _passes_by(code: str) -> list[int]:
    """Lines that reach msgspec's own decoding."""
    found = []
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Attribute(value=value, attr=attr) if attr in OURS and _is_msgspec(value):
                found.append(node.lineno)
            case ast.ImportFrom(module=str(module), names=names) if module.startswith("msgspec"):
                parts = {"json", "msgpack", "toml", "yaml"}
                if (OURS | parts) & {name.name for name in names}:
                    found.append(node.lineno)
            case ast.Import(names=names):
                if any(name.name.startswith("msgspec") and name.asname for name in names):
                    found.append(node.lineno)
    return found


def test_msgspec_decodes_nowhere_but_in_the_decoding_module():
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in DEPLOYED
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != DECODING
        for line in _passes_by(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("x = msgspec.json.decode(data, type=Level)", [1]),
        ("x = msgspec.convert(data, Level)", [1]),
        ("\nDECODE = msgspec.msgpack.Decoder(Level).decode", [2]),
        ("make(msgspec.msgpack.Decoder)", [1]),
        ("from msgspec import convert", [1]),
        ("from msgspec import json", [1]),
        ("from msgspec.json import Decoder as D", [1]),
        ("import msgspec.json as j", [1]),
        ("import msgspec\nfrom msgspec.msgpack import Ext\nmsgspec.json.encode(1).decode()", []),
    ],
)
def test_a_way_past_the_decoding_module_is_seen_however_it_is_written(code, lines):
    assert _passes_by(code) == lines


def test_many_threads_may_be_the_first_to_decode_a_type():
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", FIRST_DECODED_BY_MANY],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (run.returncode, run.stdout.strip()) == (0, "[]"), run.stderr


def test_a_decoder_is_made_once_for_a_type():
    assert json_decoder(list[Level]) is json_decoder(list[Level])
    assert msgpack_decoder(Level | None) is msgpack_decoder(Level | None)


def test_both_encodings_and_plain_values_become_the_same():
    plain = {"price": 2.0, "size": 1.0}
    level = Level(2.0, 1.0)
    assert json_decoder(Level).decode(msgspec.json.encode(plain)) == level
    assert msgpack_decoder(Level).decode(msgspec.msgpack.encode(plain)) == level
    assert convert(plain, Level) == level


def test_conversion_reads_text_as_numbers_when_it_is_not_strict():
    assert convert({"price": "2"}, Level, strict=False) == Level(2.0)
    with pytest.raises(msgspec.ValidationError, match="price"):
        convert({"price": "2"}, Level)


def test_conversion_asks_the_hook_about_types_that_msgspec_does_not_know():
    assert convert(["a"], list[Path], dec_hook=lambda kind, value: kind(value)) == [Path("a")]


def test_an_unsupported_type_is_refused_at_every_call():
    for _ in range(2):
        with pytest.raises(TypeError):
            convert({}, dict[str, int] | dict[int, str])
        with pytest.raises(TypeError):
            json_decoder(dict[str, int] | dict[int, str])
