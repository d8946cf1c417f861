"""Whatever the venue sends, the session neither raises nor hangs; what it cannot read is kept."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.feed.fuzzing import Victim
from tests.feed.mutants import Mutator
from tradelake.market.records import Unreadable

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=80) | st.text(max_size=80), max_size=20))
def test_session_survives_when_frames_are_random(frames):
    victim = Victim()
    for frame in frames:
        victim.feed(frame)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_session_survives_when_frames_are_mutated(seed):
    victim, mutator = Victim(), Mutator(seed)
    for _ in range(50):
        victim.feed(mutator.frame())


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=60))
def test_bytes_are_kept_whole_when_they_are_no_frame(noise):
    frame = b"\xc1" + noise  # a byte that MessagePack never uses
    [record] = Victim().feed(frame)
    assert isinstance(record, Unreadable)
    assert record.raw == frame


def test_mutations_reach_every_outcome_when_there_are_enough():
    victim, mutator = Victim(), Mutator(1)
    for _ in range(3000):
        victim.feed(mutator.frame())
    reached = {"record", "unreadable", "VenueError", "Subscribed", "GapOpened", "Fail", "Close"}
    assert reached <= set(victim.outcomes)


@settings(max_examples=60, deadline=None)
@given(st.lists(ANYTHING, max_size=4))
def test_session_survives_when_messages_have_any_shape(messages):
    Victim().feed(json.dumps(messages))
