"""The one tree of errors. What a caller may do about an error follows from its class.

::

    TradelakeError
    ├── InvalidData       a record breaks a rule: quarantine it, go on
    ├── Transient         the other side may recover: try again with capped, jittered back-off
    │   ├── Throttled     the other side asked for less; may carry when to come back
    │   └── SpoolFull     the disk takes no more for now
    ├── Conflict          somebody else wrote first, or this is written already: re-read, go on
    ├── ConfigError       settings or arguments are wrong: refuse to start
    ├── Fatal             the other side refuses for good (credentials, entitlement): stop
    └── InsufficientData  there is too little data for an honest answer

Adapters translate foreign exceptions into this tree at the edge; nothing inside catches foreign
ones.
"""

from __future__ import annotations


class TradelakeError(Exception):
    """Base of every error this package raises on purpose."""


class InvalidData(TradelakeError):
    """A record breaks a rule.

    Parameters
    ----------
    rule : str
        Short stable name of the broken rule, for instance ``"negative_size"``.
    reason : str
        What was expected, what was found, and in which record.
    """

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(f"{rule}: {reason}")
        self.rule = rule
        self.reason = reason


class Transient(TradelakeError):
    """The other side may recover; the same call may succeed later."""


class Throttled(Transient):
    """The other side asked for less.

    Parameters
    ----------
    message : str
        Who refused what.
    retry_after_s : float or None
        Seconds after which the other side is willing again, where it said so.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SpoolFull(Transient):
    """The disk spool takes no more for now: its limit is reached, or the disk refuses."""


class Conflict(TradelakeError):
    """Somebody else wrote first, or the same thing was written before."""


class ConfigError(TradelakeError):
    """Settings, arguments or files are wrong; nothing was started."""


class Fatal(TradelakeError):
    """The other side refuses for good; trying again would be wrong."""


class InsufficientData(TradelakeError):
    """Too little data for an honest answer."""


def is_retryable(error: BaseException) -> bool:
    """Whether the same call may succeed later.

    >>> is_retryable(Throttled("Kinesis: ProvisionedThroughputExceeded"))
    True
    >>> is_retryable(ConfigError("no key"))
    False
    """
    return isinstance(error, Transient)
