"""Feed mutated frames to a session: no crash, no hang. ``python -m bench.fuzz_session``.

The last line is JSON. A frame at which the session raised is printed with its seed; a thousand
frames that take more CPU time than the limit end the run with an error.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import signal
import sys
import time
from collections.abc import Callable

from tests.feed.fuzzing import Victim
from tests.feed.mutants import Mutator

LIMIT_S = 5.0
EVERY = 1000


def _hung(*_: object) -> None:
    raise TimeoutError(f"{EVERY} frames took more than {LIMIT_S:g} s of CPU")


def main(frames: int, seed: int, clock: Callable[[], float] = time.perf_counter) -> int:
    """Run; returns the number of crashes."""
    signal.signal(signal.SIGVTALRM, _hung)
    victim, mutator = Victim(), Mutator(seed)
    crashes, slowest, inside = 0, 0.0, 0.0
    started = clock()
    for number in range(frames):
        frame = mutator.frame()
        if number % EVERY == 0:
            signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_S)
        began = clock()
        try:
            victim.feed(frame)
        except Exception as error:  # noqa: BLE001 -- what is looked for
            crashes += 1
            print(f"frame {number} of seed {seed}: {error!r}: {frame!r:.200}")
            outcomes, fed = victim.outcomes, victim.frames
            victim = Victim()
            victim.outcomes, victim.frames = outcomes, fed
        took = clock() - began
        inside += took
        slowest = max(slowest, took)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    seconds = clock() - started
    for outcome, count in sorted(victim.outcomes.items()):
        print(f"{outcome:16} {count:>12,}")
    report = {
        "name": "fuzz_session",
        "frames": frames,
        "crashes": crashes,
        "hangs": 0,
        "seed": seed,
        "seconds": round(seconds, 1),
        "us_per_frame": round(inside / frames * 1e6, 1),
        "slowest_ms": round(slowest * 1e3, 2),
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "records": victim.outcomes["record"],
        "unreadable": victim.outcomes["unreadable"],
        "python": platform.python_version(),
    }
    print(json.dumps(report))
    return crashes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    sys.exit(1 if main(asked.frames, asked.seed) else 0)
