"""Where a session stands.

::

    IDLE -> GREETING -> AUTHENTICATING -> SUBSCRIBING -> STREAMING
      ^         |             |                |             |
      |         v             v                v             v
      '---------+--------- CLOSING <-----------+-------------'
    stop: -> STOPPING -> STOPPED         fatal refusal: -> FAILED
"""

from __future__ import annotations

import enum
from typing import Final


class State(enum.Enum):
    """Where a session stands."""

    IDLE = "idle"
    GREETING = "greeting"
    AUTHENTICATING = "authenticating"
    SUBSCRIBING = "subscribing"
    STREAMING = "streaming"
    CLOSING = "closing"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


HANDSHAKE: Final = (State.GREETING, State.AUTHENTICATING, State.SUBSCRIBING)
ENDED: Final = (State.STOPPED, State.FAILED)
