"""Receipts: the numbers that doors hand out for messages, and how to tell one of ours from a guess.

A receipt is 48 characters of `0-9a-f`, safe in an address and a header, and stable for ever:

    48 bits  milliseconds since 1970
    80 bits  random, counted up inside a millisecond
    64 bits  HMAC-SHA256 over the feed's name and the bits before

So receipts sort by the time they were made, cannot be guessed, and say without a look-up whether this gateway made
them for this feed: one that holds and has no row in the store yet is waiting; any other is nobody's (404).

A receipt is **not** a right: who asks about one must be allowed to post to its feed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from gateway.model import Reason, reasons_json

LENGTH: Final = 48
_RANDOM_BITS: Final = 80
_ID_BYTES: Final = 16
_MAC_BYTES: Final = 8
_SECRET_BYTES_MIN: Final = 16


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one message at the door: taken (`receipt` is its number), or refused (`reasons` say why)."""

    receipt: str
    reasons: tuple[Reason, ...] = ()

    @property
    def refused(self) -> bool:
        """Tell whether the message was not taken: nothing of it was written down, its sender still has it."""
        return not self.receipt

    def as_json(self, feed: str) -> dict[str, object]:
        """Return `{"receipt", "status"}`, or `{"state": "refused", "reasons"}`: the shape of every answer and note."""
        if self.refused:
            return {"state": "refused", "reasons": reasons_json(self.reasons)}
        return {"receipt": self.receipt, "status": address(feed, self.receipt)}


def address(feed: str, receipt: str) -> str:
    """Return where the HTTP door tells what became of a receipt, an absolute path."""
    return f"/ingest/{feed}/receipts/{receipt}"


class Receipts:
    """Makes and knows receipts under the gateway's secret (16 bytes or more). Processes with one secret agree."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _SECRET_BYTES_MIN:
            msg = f"the receipt secret must have at least {_SECRET_BYTES_MIN} bytes"
            raise ValueError(msg)
        derived = hmac.digest(secret, b"sundbro receipts", "sha256")
        self._keyed = hmac.new(derived, digestmod=hashlib.sha256)
        self._last = 0

    def new(self, feed: str, at: dt.datetime) -> str:
        """Return a new receipt for a message of `feed`. Each sorts after every earlier one of this process."""
        milliseconds = int(at.timestamp() * 1000)
        if milliseconds > self._last >> _RANDOM_BITS:
            # The top random bit stays 0: room to count up in this millisecond, or while a clock stands or steps back.
            self._last = milliseconds << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS - 1)
        else:
            self._last += 1
        number = self._last.to_bytes(_ID_BYTES, "big")
        return (number + self._mac(feed, number)).hex()

    def ours(self, feed: str, receipt: str) -> bool:
        """Tell whether this gateway made `receipt` for a message of `feed`. Any text may be asked about."""
        try:
            raw = bytes.fromhex(receipt)
        except ValueError:
            return False
        if raw.hex() != receipt:  # one number, one spelling
            return False
        return hmac.compare_digest(raw[_ID_BYTES:], self._mac(feed, raw[:_ID_BYTES]))

    def _mac(self, feed: str, number: bytes) -> bytes:
        keyed = self._keyed.copy()
        keyed.update(feed.encode() + b"\0" + number)
        return keyed.digest()[:_MAC_BYTES]
