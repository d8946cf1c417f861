"""How patient a session is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tradelake.feed.silence import CHANNEL_SILENCE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPolicy:
    """How patient a session is; everything in seconds.

    Parameters
    ----------
    connection_limit_hold_s : float
        Wait after 406: the venue holds an unclean connection for about 90 s.
    handshake_timeout_s : float
        Longest wait for each step of the handshake.
    ping_interval_s, pong_timeout_s : float
        A ping is sent when nothing came for the interval; the connection is given up when nothing
        came for the time-out after it.
    silence_s : float
        Without a data message for so long the socket counts as mute and is replaced.
    channel_silence_s : mapping
        The same for one channel while others talk, by channel; first its subscription is renewed,
        and if that does not help the socket is replaced. A channel not named is not watched.
    partial_retry_s : float
        What the venue did not acknowledge is asked for again so often.
    close_timeout_s : float
        Longest wait for the venue's close frame.
    stable_s : float
        A stream that lasted so long starts the back-off anew.
    """

    connection_limit_hold_s: float = 90.0
    handshake_timeout_s: float = 10.0
    ping_interval_s: float = 10.0
    pong_timeout_s: float = 5.0
    silence_s: float = 300.0
    channel_silence_s: Mapping[str, float] = field(default_factory=lambda: CHANNEL_SILENCE_S)
    partial_retry_s: float = 300.0
    close_timeout_s: float = 5.0
    stable_s: float = 30.0
