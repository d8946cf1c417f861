"""The stream server's parts: segments, logs, shard arithmetic, limits, start-up."""

import asyncio
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.kinesis.processes import REPOSITORY, ServerProcess
from tradelake.errors import ConfigError
from tradelake.local.stream_server.commit import GroupCommit
from tradelake.local.stream_server.faults import FaultRequest, Faults, ShardLimit
from tradelake.local.stream_server.log import RESTART_GAP, ShardLog
from tradelake.local.stream_server.options import ServerOptions
from tradelake.local.stream_server.protocol import KinesisError
from tradelake.local.stream_server.segment import Segment, encode_frame
from tradelake.local.stream_server.server import StreamServer
from tradelake.local.stream_server.shards import (
    HASH_SPACE,
    Shard,
    scaling_plan,
    uniform_ranges,
)
from tradelake.local.stream_server.store import StreamStore


def open_log(folder, *, segment_bytes=1 << 20, segment_age_ms=10**9):
    return ShardLog(folder, segment_bytes=segment_bytes, segment_age_ms=segment_age_ms)


def append(log, datas, now_ms=1000):
    for data in datas:
        log.stage(b"key", data, now_ms)
    staged = log.take()
    log.write(staged, sync=False)
    log.commit(staged)


def datas(log, ordinal=0):
    return [stored.data for stored in log.read(ordinal, 10_000, 10 << 20)]


class TestShardLog:
    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(st.lists(st.binary(max_size=2000), min_size=1, max_size=20), max_size=12),
        st.integers(100, 20_000),
    )
    def test_log_reads_from_any_record_to_the_end_however_it_is_segmented(
        self, tmp_path_factory, batches, segment_bytes
    ):
        folder = tmp_path_factory.mktemp("log")
        log = open_log(folder, segment_bytes=segment_bytes)
        for batch in batches:
            append(log, batch)
        expected = [data for batch in batches for data in batch]
        log.close()
        for kept in (log, open_log(folder, segment_bytes=segment_bytes)):
            for start in {1, len(expected) // 2 + 1, len(expected) + 1}:
                assert datas(kept, start) == expected[start - 1 :]

    def test_nothing_is_read_before_it_is_committed(self, tmp_path):
        log = open_log(tmp_path)
        log.stage(b"k", b"early", 0)
        staged = log.take()
        log.write(staged, sync=False)
        assert datas(log) == []
        log.commit(staged)
        assert datas(log) == [b"early"]
        log.close()

    def test_write_that_failed_leaves_nothing_behind(self, tmp_path):
        log = open_log(tmp_path)
        append(log, [b"one"])
        log.stage(b"k", b"lost", 0)
        log.write(log.take(), sync=False)  # written, but the sync failed
        log.discard()
        append(log, [b"two"])
        log.close()
        assert datas(log) == datas(open_log(tmp_path)) == [b"one", b"two"]

    @given(st.data())
    @settings(max_examples=40, deadline=None)
    def test_torn_tail_is_cut_and_every_whole_record_kept(self, tmp_path_factory, data):
        folder = tmp_path_factory.mktemp("torn")
        log = open_log(folder)
        append(log, [b"a" * 50, b"b" * 50, b"c" * 50])
        log.close()
        (path,) = folder.glob("*.seg")
        frame = len(encode_frame(1, 0, b"key", b"a" * 50))
        cut = data.draw(st.integers(0, 3 * frame))
        os.truncate(path, cut)
        again = open_log(folder)
        assert datas(again) == [b"a" * 50, b"b" * 50, b"c" * 50][: cut // frame]
        append(again, [b"d"])
        again.close()
        assert datas(open_log(folder))[-1] == b"d"

    def test_ordinals_are_never_given_out_twice_across_a_restart(self, tmp_path):
        log = open_log(tmp_path)
        append(log, [b"a"])
        log.close()
        again = open_log(tmp_path)
        assert again.stage(b"k", b"b", 0) == log.committed + RESTART_GAP

    def test_damage_in_an_older_segment_is_refused_with_file_and_offset(self, tmp_path):
        log = open_log(tmp_path, segment_bytes=10)
        append(log, [b"first"])
        append(log, [b"second"])
        log.close()
        oldest = min(tmp_path.glob("*.seg"))
        oldest.with_suffix(".idx").unlink()
        content = bytearray(oldest.read_bytes())
        content[-1] ^= 1
        oldest.write_bytes(content)
        with pytest.raises(ConfigError, match=f"{oldest.name}.*offset 0"):
            open_log(tmp_path)

    def test_closed_segment_is_opened_by_its_index_file(self, tmp_path):
        log = open_log(tmp_path, segment_bytes=10)
        append(log, [b"first", b"second"])
        append(log, [b"third"])
        log.close()
        oldest = Segment.load(min(tmp_path.glob("*.seg")), may_be_torn=False)
        assert (oldest.records, oldest.last) == (2, 2)
        assert [stored.data for stored in oldest.read_from(2)] == [b"second"]

    def test_first_since_finds_the_first_record_not_older(self, tmp_path):
        log = open_log(tmp_path, segment_bytes=100)
        for at_ms in range(1000, 2000, 100):
            append(log, [b"x" * 60], at_ms)
        assert [log.first_since(at) for at in (0, 1000, 1001, 1900, 1901)] == [1, 1, 2, 10, 11]
        log.close()

    def test_arrival_never_goes_back_when_the_clock_does(self, tmp_path):
        log = open_log(tmp_path)
        append(log, [b"a"], 2000)
        append(log, [b"b"], 1000)
        assert [stored.arrival_ms for stored in log.read(0, 10, 1000)] == [2000, 2000]
        log.close()

    def test_old_segments_are_deleted_and_the_newest_stays(self, tmp_path):
        log = open_log(tmp_path, segment_bytes=10)
        for at_ms in (1000, 2000, 3000):
            append(log, [str(at_ms).encode()], at_ms)
        assert log.expire(2500) == 2
        assert datas(log) == [b"3000"]
        assert log.expire(9999) == 0
        log.close()
        assert len(list(tmp_path.glob("*.seg"))) == 1

    def test_read_stops_at_its_limits_but_gives_one_record_at_least(self, tmp_path):
        log = open_log(tmp_path)
        append(log, [b"x" * 100] * 5)
        assert len(log.read(1, 3, 1000)) == 3
        assert len(log.read(1, 10, 250)) == 2
        assert len(log.read(1, 10, 1)) == 1
        log.close()


class TestGroupCommit:
    def test_one_write_serves_every_request_that_waits(self, tmp_path):
        class Counting(ShardLog):
            writes = 0

            def write(self, staged, *, sync):
                type(self).writes += 1
                super().write(staged, sync=sync)

        async def run():
            log = Counting(tmp_path, segment_bytes=1 << 20, segment_age_ms=10**9)
            commits = GroupCommit("always", 1.0)
            commits.start()

            async def put(number):
                log.stage(b"k", str(number).encode(), 0)
                await commits.durable((log,))

            await asyncio.gather(*(put(number) for number in range(100)))
            await commits.stop()
            log.close()
            return log

        log = asyncio.run(run())
        assert datas(log) == [str(number).encode() for number in range(100)]
        assert log.writes == 1

    def test_written_records_are_synced_after_the_interval_without_another_request(self, tmp_path):
        synced = asyncio.Event()

        class Watched(ShardLog):
            def write(self, staged, *, sync):
                super().write(staged, sync=sync)
                if sync:
                    loop.call_soon_threadsafe(synced.set)

        async def run():
            log = Watched(tmp_path, segment_bytes=1 << 20, segment_age_ms=10**9)
            commits = GroupCommit("interval", 0.01)
            commits.start()
            log.stage(b"k", b"x", 0)
            await commits.durable((log,))
            await asyncio.wait_for(synced.wait(), 10)
            await commits.stop()
            log.close()

        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            runner.run(run())

    def test_requests_of_a_log_that_refuses_fail_and_others_are_served(self, tmp_path):
        class Refusing(ShardLog):
            def write(self, staged, *, sync):
                raise OSError("no space left on device")

        async def run():
            bad = Refusing(tmp_path / "bad", segment_bytes=1 << 20, segment_age_ms=10**9)
            good = open_log(tmp_path / "good")
            commits = GroupCommit("never", 1.0)
            commits.start()
            for log in (bad, good):
                log.stage(b"k", b"x", 0)
            outcomes = await asyncio.gather(
                commits.durable((bad,)), commits.durable((good,)), return_exceptions=True
            )
            await commits.stop()
            good.close()
            return outcomes, datas(good)

        (refused, served), kept = asyncio.run(run())
        assert isinstance(refused, KinesisError)
        assert "no space left" in refused.message
        assert (served, kept) == (None, [b"x"])


class TestShards:
    @given(st.integers(1, 60), st.integers(1, 60))
    def test_scaling_plan_ends_in_uniform_ranges_and_never_leaves_a_hole(self, count, target):
        ranges = set(uniform_ranges(count))
        for step in scaling_plan(ranges, target):
            assert set(step.close) <= ranges
            ranges = (ranges - set(step.close)) | set(step.open)
            ranked = sorted(ranges)
            assert (ranked[0][0], ranked[-1][1]) == (0, HASH_SPACE - 1)
            assert all(left[1] + 1 == right[0] for left, right in itertools.pairwise(ranked))
        assert sorted(ranges) == uniform_ranges(target)

    @given(st.integers(0, 10**20), st.integers(0, 999_999))
    def test_sequence_number_keeps_its_ordinal_and_order(self, ordinal, index):
        shard = Shard(index=index, low="0", high="1", created_ms=1_700_000_000_000)
        number = shard.sequence_number(ordinal)
        assert shard.ordinal(number) == ordinal
        assert len(number) == 56
        assert shard.sequence_number(ordinal + 1) > number

    def test_sequence_number_of_another_shard_is_refused(self):
        mine = Shard(index=1, low="0", high="1", created_ms=5)
        other = Shard(index=2, low="0", high="1", created_ms=5)
        with pytest.raises(ValueError, match="no sequence number of"):
            mine.ordinal(other.sequence_number(1))


class TestFaults:
    def test_fault_ends_with_its_time(self):
        now = [0.0]
        faults = Faults(lambda: now[0])
        faults.begin(FaultRequest(seconds=5.0, throttle=1.0, away=True))
        assert faults.throttles("s")
        assert faults.is_away()
        now[0] = 5.0
        assert not faults.throttles("s")
        assert not faults.is_away()

    def test_equal_seeds_refuse_equal_records(self):
        def run():
            faults = Faults(lambda: 0.0)
            faults.begin(FaultRequest(seconds=1.0, throttle=0.5, seed=11))
            return [faults.throttles("s") for _ in range(50)]

        assert run() == run()
        assert len(set(run())) == 2

    @given(st.lists(st.tuples(st.floats(0, 0.5), st.integers(0, 1 << 20)), max_size=60))
    def test_shard_never_admits_more_than_its_burst_and_rate(self, calls):
        limit, now_s, admitted = ShardLimit(0.0), 0.0, 0
        for pause_s, size in calls:
            now_s += pause_s
            admitted += size if limit.admits(size, now_s) else 0
        assert admitted <= (1 << 20) * (1 + now_s) + 1


class TestRetention:
    def test_closed_shards_disappear_when_all_of_them_is_expired(self, tmp_path):
        now = [1_000_000]
        store = StreamStore(ServerOptions(tmp_path), lambda: now[0])
        stream = store.create("s", 1, "PROVISIONED", {})
        (step,) = scaling_plan(uniform_ranges(1), 2)
        store.reshard(stream, step)
        assert len(stream.record.shards) == 3
        now[0] += 25 * 3_600_000
        store.expire()
        assert [shard.is_open for shard in stream.record.shards] == [True, True]
        store.close()


class TestStart:
    def test_second_server_on_a_folder_is_refused(self, tmp_path):
        store = StreamStore(ServerOptions(tmp_path), lambda: 0)
        with pytest.raises(ConfigError, match="in use by another"):
            StreamStore(ServerOptions(tmp_path), lambda: 0)
        store.close()

    def test_folder_that_cannot_be_made_is_refused(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(ConfigError, match="cannot write to"):
            StreamServer.build(ServerOptions(tmp_path / "file" / "streams"))

    def test_catalog_that_is_damaged_is_refused(self, tmp_path):
        (tmp_path / "catalog.json").write_text("{")
        with pytest.raises(ConfigError, match="is no catalog"):
            StreamStore(ServerOptions(tmp_path), lambda: 0)

    def test_process_ends_with_one_line_when_its_port_is_taken(self, tmp_path):
        server = ServerProcess(tmp_path / "first").start()
        command = [sys.executable, "-m", "tradelake.local.stream_server"]
        command += ["--folder", str(tmp_path / "second"), "--port", server.url.rpartition(":")[2]]
        ended = subprocess.run(
            command,
            env=os.environ | {"PYTHONPATH": str(Path(REPOSITORY) / "src")},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert ended.returncode == 2
        assert ended.stderr.count("\n") == 1
        assert "cannot listen" in ended.stderr
        assert server.stop() == 0
