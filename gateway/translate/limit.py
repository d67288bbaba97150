"""The rejection limit of a feed: when too large a share of its last messages was rejected, it is stopped.

That is a deployment or a sender at fault, not single messages, and draining a feed into the rejected pile would only hide
it. What a feed does not take at all (`unsupported-type`, `test-message`) does not count: that is a sender's choice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from gateway.model import Feed, Reason, RejectionCode

_NOT_COUNTED = frozenset({RejectionCode.UNSUPPORTED_TYPE, RejectionCode.TEST_MESSAGE, RejectionCode.ENVELOPE_REUSED})


class RejectionLimit:
    """Watches one feed in one process. Not shared between processes: each sees a fair sample."""

    def __init__(self, feed: Feed) -> None:
        self._share_max = feed.rejection_share_max
        self._last: deque[bool] = deque(maxlen=feed.rejection_window)
        self._rejected = 0

    def note(self, reasons: Sequence[Reason], *, rejected: bool) -> None:
        """Count one message. Messages rejected only for what the feed does not take are left out."""
        if rejected and all(reason.code in _NOT_COUNTED for reason in reasons):
            return
        if len(self._last) == self._last.maxlen and self._last[0]:
            self._rejected -= 1
        self._last.append(rejected)
        self._rejected += rejected

    @property
    def rejected(self) -> int:
        """Return how many of the last messages were rejected."""
        return self._rejected

    def reached(self) -> bool:
        """Return whether the feed must stop: only ever with a full window."""
        window = self._last.maxlen or 0
        return len(self._last) == window and self._rejected > self._share_max * window
