"""Why a log-in does not come to its end: a closed list. What a person reads about each stands in `words`."""

from __future__ import annotations

import enum
from http import HTTPStatus

from gateway.access import Assurance


class Fault(enum.StrEnum):
    """Of whoever is at the browser, of the broker, or of nobody."""

    ABORTED = "aborted"  # the user stopped at the broker
    ASSURANCE = "assurance"  # logged in less surely than is asked for
    UNREACHABLE = "unreachable"  # the broker does not answer, or answers 5xx
    GONE = "gone"  # no log-in under way in this browser that this answer belongs to: too late, twice, or forged
    CLOCK = "clock"  # a token from the future or the past: one of two clocks is wrong
    INVALID = "invalid"  # the broker's answer does not hold
    NO_CPR = "no-cpr"  # a citizen without a person's number
    UNKNOWN_EMPLOYEE = "unknown-employee"  # a professional whose organisation or role is not known here
    NOT_THIS_WAY = "not-this-way"  # a professional at the citizens' log-in, or the other way round
    REFUSED = "refused"  # the broker refused the request: a fault of the set-up
    ENDED = "ended"  # the broker has ended its session meanwhile
    LINK = "link"  # `then` was not made here, or is too old
    WRONG = "wrong"  # parameters that are not understood

    @property
    def status(self) -> HTTPStatus:
        """The HTTP status of the page that tells it."""
        return _STATUS.get(self, HTTPStatus.BAD_REQUEST)


_STATUS = {
    Fault.ASSURANCE: HTTPStatus.FORBIDDEN,
    Fault.NO_CPR: HTTPStatus.FORBIDDEN,
    Fault.UNKNOWN_EMPLOYEE: HTTPStatus.FORBIDDEN,
    Fault.NOT_THIS_WAY: HTTPStatus.FORBIDDEN,
    Fault.UNREACHABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Fault.REFUSED: HTTPStatus.BAD_GATEWAY,
    Fault.INVALID: HTTPStatus.BAD_GATEWAY,
    Fault.CLOCK: HTTPStatus.BAD_GATEWAY,
}


class LoginFailed(Exception):
    """A log-in ends here. `detail` is for the log: it names a check, never a value."""

    def __init__(self, fault: Fault, detail: str = "") -> None:
        super().__init__(f"{fault.value}: {detail}" if detail else fault.value)
        self.fault = fault
        self.detail = detail


class TooLow(LoginFailed):
    """A log-in below the level that is needed."""

    def __init__(self, needed: Assurance, given: Assurance) -> None:
        super().__init__(Fault.ASSURANCE, f"{given.name.lower()} where {needed.name.lower()} is needed")
        self.needed = needed
        self.given = given
