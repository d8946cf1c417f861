"""How the trading API says no."""

from __future__ import annotations

from typing import Final

from tradelake.errors import TradelakeError
from tradelake.execution.broker import Rejection

BAD_BODY: Final = 40010000
BAD_REQUEST: Final = 40010001
NOT_ALLOWED: Final = 42210000
NO_FUNDS: Final = 40310000
NOT_FOUND: Final = 40410000


class Refused(TradelakeError):
    """A request is answered with an error, and nothing was changed.

    Parameters
    ----------
    answer : Rejection
        HTTP status, the API's own code, and the text.
    """

    def __init__(self, answer: Rejection) -> None:
        super().__init__(f"{answer.code}: {answer.message}")
        self.answer = answer


def invalid(message: str, code: int = BAD_REQUEST) -> Refused:
    """Return the refusal of a request that makes no sense: 422."""
    return Refused(Rejection(422, code, message))


def not_found(message: str) -> Refused:
    """Return the refusal of a request for what is not there: 404."""
    return Refused(Rejection(404, NOT_FOUND, message))
