"""The failures that the house knows by name, and what each of them means to a caller.

Three fates (ARCHITECTURE.md):

* **rejected**: the data is at fault. Not an exception: `model.Reason` values travel with the message.
* **unavailable**: the world is at fault. `Unavailable` and its kinds: wait, retry, the position stands still.
* **a bug**: we are at fault. Any other exception: the role crashes loudly and restarts.

Requests have one table, kind → status → issue code (FHIR issue-type), here as class attributes::

    SundbroError
    ├── Refused                what a request did wrong, told to the caller
    │   ├── Incorrect          400 invalid       the request cannot be understood
    │   │   └── TooCostly      400 too-costly    it can, and to answer it would take more than a limit allows
    │   ├── Unprocessable      422 processing    it can be understood and still cannot be taken
    │   ├── Unauthenticated    401 login         nobody, or an invalid token
    │   ├── Denied             403 forbidden     somebody without the right
    │   ├── NotFound           404 not-found
    │   ├── Gone               410 deleted
    │   ├── NotAllowed         405 not-supported
    │   ├── NotAcceptable      406 not-supported
    │   ├── TooSlow            408 timeout       the body did not come in time
    │   ├── Conflict           409 conflict
    │   ├── PreconditionFailed 412 conflict
    │   ├── TooLarge           413 too-long
    │   ├── UnsupportedMedia   415 not-supported
    │   └── Busy               429 throttled
    ├── Unavailable            503 transient     retry later; nothing was done
    │   └── Fenced                               another worker owns this partition now
    └── Misconfigured                            refuse to start

No exception text carries a payload or a person's number: `text` is told to callers and logged.
"""

from __future__ import annotations

from typing import ClassVar


class SundbroError(Exception):
    """Anything the house raises by name. `text` is safe to show and to log."""

    status: ClassVar[int] = 500
    issue: ClassVar[str] = "exception"

    def __init__(self, text: str, *, at: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.at = at
        """Where in the request the fault is: an element path, a parameter or a header name."""


class Refused(SundbroError):
    """The request is at fault; the answer is a 4xx with this text."""


class Incorrect(Refused):
    """400: the request cannot be understood."""

    status = 400
    issue = "invalid"


class TooCostly(Incorrect):
    """400: the question is a right one, and would read more than a limit that the text names: ask for less."""

    issue = "too-costly"


class Unprocessable(Refused):
    """422: well-formed, and still not something we can take."""

    status = 422
    issue = "processing"


class Unauthenticated(Refused):
    """401: no token, or one that does not hold."""

    status = 401
    issue = "login"


class Denied(Refused):
    """403: the caller is known and has no right to this interaction."""

    status = 403
    issue = "forbidden"


class NotFound(Refused):
    """404: does not exist, or does not exist for this caller; the two look the same."""

    status = 404
    issue = "not-found"


class Gone(Refused):
    """410: existed and was deleted."""

    status = 410
    issue = "deleted"


class NotAllowed(Refused):
    """405: this address does not take this method."""

    status = 405
    issue = "not-supported"


class NotAcceptable(Refused):
    """406: no representation that the caller accepts."""

    status = 406
    issue = "not-supported"


class TooSlow(Refused):
    """408: the body did not come in time."""

    status = 408
    issue = "timeout"


class Conflict(Refused):
    """409: collides with the present state."""

    status = 409
    issue = "conflict"


class PreconditionFailed(Refused):
    """412: If-Match or a conditional query did not hold."""

    status = 412
    issue = "conflict"


class TooLarge(Refused):
    """413: over a limit that the text names."""

    status = 413
    issue = "too-long"


class UnsupportedMedia(Refused):
    """415: a content type or encoding that this door does not read."""

    status = 415
    issue = "not-supported"


class Busy(Refused):
    """429: come back after `retry_after_seconds`."""

    status = 429
    issue = "throttled"

    def __init__(self, text: str, *, retry_after_seconds: int = 1, at: str = "") -> None:
        super().__init__(text, at=at)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(SundbroError):
    """503: the world is at fault (database, broker, disk). Retry; nothing was done."""

    status = 503
    issue = "transient"


class Fenced(Unavailable):
    """Another worker has taken this partition over; stop working on it, do not retry it."""


class Misconfigured(SundbroError):
    """A setting or a feed file cannot be used; the process refuses to start."""
