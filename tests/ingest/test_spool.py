"""The disk spool: what was promised is there after any crash, in order, and nothing else is."""

from __future__ import annotations

import errno
import os
import tempfile
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tradelake.adapters.disk import segment
from tradelake.adapters.disk.spool import DiskSpool
from tradelake.errors import ConfigError, Fatal, SpoolFull
from tradelake.ports import Outgoing


def numbered(first: int, count: int) -> list[Outgoing]:
    return [Outgoing(str(i % 3), f"record {i}".encode()) for i in range(first, first + count)]


def drain(spool: DiskSpool, step: int = 7) -> list[Outgoing]:
    drained = []
    while not spool.empty:
        records = spool.oldest(step, 1_000_000)
        drained += records
        spool.drop(len(records))
    return drained


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_spool_gives_back_what_it_got_in_order_and_leaves_no_file(tmp_path):
    spool = DiskSpool(tmp_path / "us", 1, segment_bytes=500)
    for first in range(0, 90, 10):
        spool.append(numbered(first, 10))
    assert len(files(tmp_path)) > 3
    assert spool.size_bytes == sum(path.stat().st_size for path in files(tmp_path))
    assert drain(spool) == numbered(0, 90)
    assert (files(tmp_path), spool.size_bytes) == ([], 0)


def test_spool_makes_nothing_on_the_disk_when_nothing_is_appended(tmp_path):
    spool = DiskSpool(tmp_path / "us", 1)
    assert spool.empty
    assert spool.oldest(10, 1_000) == []
    assert list(tmp_path.iterdir()) == []


def test_oldest_respects_its_bounds_and_gives_at_least_one(tmp_path):
    spool = DiskSpool(tmp_path, 1)
    spool.append(numbered(0, 10))
    assert len(spool.oldest(4, 1_000_000)) == 4
    assert len(spool.oldest(10, 1)) == 1
    assert len(spool.oldest(10, 20)) == 2


def test_records_of_earlier_runs_come_first_oldest_epoch_first(tmp_path):
    for epoch in (9, 10):
        DiskSpool(tmp_path, epoch).append(numbered(epoch * 10, 5))
    spool = DiskSpool(tmp_path, 11)
    spool.append(numbered(110, 5))
    assert drain(spool) == numbered(90, 5) + numbered(100, 5) + numbered(110, 5)
    assert files(tmp_path) == []
    assert not (tmp_path / "9").exists()


def test_records_of_a_later_run_are_left_alone(tmp_path):
    DiskSpool(tmp_path, 12).append(numbered(0, 5))
    assert DiskSpool(tmp_path, 11).empty
    assert drain(DiskSpool(tmp_path, 13)) == numbered(0, 5)


def test_what_a_run_took_over_and_did_not_finish_is_drained_by_the_next(tmp_path):
    DiskSpool(tmp_path, 1).append(numbered(0, 5))
    second = DiskSpool(tmp_path, 2)
    assert second.oldest(2, 1_000) == numbered(0, 2)
    second.drop(2)
    assert drain(DiskSpool(tmp_path, 3)) == numbered(0, 5)


def test_a_run_whose_segments_were_taken_over_promises_nothing_more(tmp_path):
    stale = DiskSpool(tmp_path, 1)
    stale.append(numbered(0, 5))
    assert drain(DiskSpool(tmp_path, 2)) == numbered(0, 5)
    with pytest.raises(Fatal, match="later run"):
        stale.append(numbered(5, 5))
    with pytest.raises(Fatal, match="later run"):
        stale.oldest(5, 1_000)


def test_spool_is_full_when_its_limit_is_reached_until_something_was_drained(tmp_path):
    spool = DiskSpool(tmp_path, 1, max_bytes=600)
    taken = 0
    while spool.size_bytes < 400:
        spool.append(numbered(taken, 10))
        taken += 10
    with pytest.raises(SpoolFull, match="600 bytes"):
        spool.append(numbered(taken, 10))
    assert drain(spool) == numbered(0, taken)
    spool.append(numbered(taken, 10))
    assert drain(spool) == numbered(taken, 10)


@pytest.mark.parametrize("fails_on", ["write", "sync"])
@pytest.mark.parametrize("call", range(1, 9))
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_what_was_promised_is_kept_and_in_order_when_the_disk_fails_once(
    tmp_path, fails_on, call, number
):
    calls = 0

    def failing() -> bool:
        nonlocal calls
        calls += 1
        return calls == call

    def write(descriptor: int, data: bytes) -> int:
        if fails_on == "write" and failing():
            os.write(descriptor, data[: len(data) // 2])
            raise OSError(number, os.strerror(number))
        return os.write(descriptor, data)

    def sync(descriptor: int) -> None:
        if fails_on == "sync" and failing():
            raise OSError(number, os.strerror(number))
        os.fsync(descriptor)

    spool = DiskSpool(tmp_path, 1, write=write, sync=sync)
    refused = 0
    for first in range(0, 40, 10):
        while True:
            try:
                spool.append(numbered(first, 10))
            except SpoolFull:
                refused += 1
            else:
                break
    assert refused <= 1
    after_a_crash = drain(DiskSpool(tmp_path, 2)) if refused else numbered(0, 40)
    assert list(dict.fromkeys(after_a_crash)) == numbered(0, 40)


def test_records_drain_in_order_when_a_failed_write_left_half_of_them_behind(tmp_path):
    calls = 0

    def write(descriptor: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls == 3:
            os.write(descriptor, data[:-1])
            raise OSError(errno.ENOSPC, "full")
        return os.write(descriptor, data)

    spool = DiskSpool(tmp_path, 1, write=write)
    spool.append(numbered(0, 5))
    with pytest.raises(SpoolFull, match="full"):
        spool.append(numbered(5, 5))
    spool.append(numbered(5, 5))
    assert drain(spool) == numbered(0, 10)
    assert files(tmp_path) == []


def spool_of_one_segment(folder: Path, promised: int, torn: int) -> bytes:
    """Write so many promised records, then a last append that a crash may cut; its bytes."""
    spool = DiskSpool(folder, 1)
    spool.append(numbered(0, promised))
    [path] = files(folder)
    before = path.stat().st_size
    spool.append(numbered(promised, torn))
    spool.close()
    return before.to_bytes(4) + path.read_bytes()


def test_nothing_promised_is_lost_or_doubled_when_a_crash_cuts_a_write_at_any_byte(tmp_path):
    packed = spool_of_one_segment(tmp_path / "made", 4, 3)
    before, data = int.from_bytes(packed[:4]), packed[4:]
    for cut in range(len(data) + 1):
        folder = tmp_path / f"{cut}" / "1"
        folder.mkdir(parents=True)
        (folder / "00000000.spool").write_bytes(data[:cut])
        spool = DiskSpool(folder.parent, 2)
        found = drain(spool)
        assert found == numbered(0, len(found))
        assert len(found) >= 4 or cut < before
        assert spool.damaged_bytes == 0
        spool.append(numbered(50, 1))
        assert drain(spool) == numbered(50, 1)


@given(st.integers(0, 400), st.integers(1, 255))
@settings(max_examples=300)
def test_only_the_record_hit_is_missing_when_a_byte_of_a_segment_turns(at, flip):
    whole = segment.header(77) + segment.encode(numbered(0, 12), 77)
    at %= len(whole)
    turned = bytearray(whole)
    turned[at] ^= flip
    found = segment.decode(bytes(turned), name="a file").records if at not in (8, 9) else None
    if at < segment.HEADER_BYTES:
        assert not found
    else:
        assert found is not None
        missing = [record for record in numbered(0, 12) if record not in found]
        assert len(missing) == 1
        assert [record for record in numbered(0, 12) if record in found] == found


def test_damage_is_counted_when_whole_records_follow_it():
    whole = segment.header(77) + segment.encode(numbered(0, 3), 77)
    size = len(segment.encode(numbered(0, 1), 77))
    turned = whole.replace(b"record 1", b"recxrd 1")
    contents = segment.decode(turned, name="a file")
    assert contents.records == [numbered(0, 1)[0], numbered(2, 1)[0]]
    assert contents.damaged_bytes == size
    assert segment.decode(whole[:-1], name="a file").damaged_bytes == 0


def test_bytes_that_look_like_a_record_are_none_inside_anothers_data():
    inner = segment.encode(numbered(0, 1), 1)
    outer = segment.header(2) + segment.encode([Outgoing("k", inner)], 2)
    assert segment.decode(outer[:-1], name="a file").records == []


@given(st.binary(max_size=300))
def test_decoding_never_fails_on_any_bytes_behind_a_header(noise):
    assert segment.decode(segment.header(3) + noise, name="a file").records == []


def test_a_segment_of_a_later_version_is_refused_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(segment, "VERSION", 2)
    DiskSpool(tmp_path, 1).append(numbered(0, 3))
    monkeypatch.setattr(segment, "VERSION", 1)
    with pytest.raises(ConfigError, match="version 1, found 2"):
        DiskSpool(tmp_path, 2).oldest(1, 1)
    monkeypatch.setattr(segment, "VERSION", 2)
    assert drain(DiskSpool(tmp_path, 3)) == numbered(0, 3)


class SpoolAgainstAQueue(RuleBasedStateMachine):
    """A spool under appends, drops and crashes is a queue whose drops a crash may forget."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._epoch, self._next = 0, 0
        self._waiting: deque[Outgoing] = deque()
        self._open()

    def _open(self) -> None:
        self._epoch += 1
        self._spool = DiskSpool(Path(self._folder.name), self._epoch, segment_bytes=200)

    @rule(count=st.integers(1, 8))
    def append(self, count: int) -> None:
        records = numbered(self._next, count)
        self._next += count
        self._spool.append(records)
        self._waiting.extend(records)

    @rule(count=st.integers(1, 12))
    def drain(self, count: int) -> None:
        records = self._spool.oldest(count, 1_000_000)
        expected = list(self._waiting)[: len(records)]
        assert records == expected
        assert bool(records) == bool(self._waiting)
        for _ in records:
            self._waiting.popleft()
        if records:
            self._spool.drop(len(records))

    @rule()
    def crash(self) -> None:
        self._spool.close()
        self._open()
        found = drain(DiskSpool(Path(self._folder.name), self._epoch + 1))
        self._epoch += 2
        self._open()
        repeats = len(found) - len(self._waiting)
        assert repeats >= 0
        assert found[repeats:] == list(self._waiting)
        assert found == numbered(self._next - len(found), len(found))
        self._waiting.clear()

    @precondition(lambda self: not self._waiting)
    @invariant()
    def nothing_is_kept(self) -> None:
        assert self._spool.oldest(1, 1) == []
        assert self._spool.empty

    def teardown(self) -> None:
        self._spool.close()
        self._folder.cleanup()


TestSpoolAgainstAQueue = SpoolAgainstAQueue.TestCase
TestSpoolAgainstAQueue.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
