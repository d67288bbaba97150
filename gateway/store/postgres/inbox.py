"""The duplicate rule: what becomes of a message, given what the store and this batch have seen before. Pure.

MedCom governance, duplicate table (Bundle.id by MessageHeader.id), widened to every format: `letter` is the message,
`envelope` what it came in. A known letter is a duplicate, whatever its envelope; a known envelope around another
letter is an error of the sender. A message rejected for its envelope does not use its letter up: sent again in an
envelope of its own it counts as new.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.store.port import MessageState, MessageWrite


def mark(feed: str, kind: str, value: str) -> bytes:
    """Return the hash under which a sender's own text is kept: it may hold a person's number. 16 bytes."""
    return hashlib.blake2b(f"{kind}\x1f{feed}\x1f{value}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Verdict(enum.Enum):
    """What to do with a message."""

    NEW = "new"
    DUPLICATE = "duplicate"  # of another receipt: gets a row of its own
    ECHO = "echo"  # the same receipt again at another place of the log: its sender's append was repeated
    APPLIED = "applied"  # the very same record again: the batch is repeated
    REUSED = "reused"  # a known envelope around a new letter
    REPLAY = "replay"  # applied again on purpose


@dataclass(slots=True)
class Known:
    """A message that the inbox knows."""

    seq: int
    receipt: str
    state: MessageState
    first: bool
    source: tuple[str, int, int]
    answered: bool


@dataclass(slots=True)
class Marks:
    """A message's marks."""

    letter: bytes
    envelope: bytes | None
    control: bytes | None

    @classmethod
    def of(cls, message: MessageWrite) -> Marks:
        """Hash what the sender wrote."""
        feed = message.feed
        return cls(
            mark(feed, "letter", message.letter),
            mark(feed, "envelope", message.envelope) if message.envelope else None,
            mark(feed, "control", message.control_id) if message.control_id else None,
        )


@dataclass(slots=True)
class Inbox:
    """What has been seen. Filled from the database, then by the batch itself, message by message."""

    receipts: dict[str, Known] = field(default_factory=dict)
    letters: dict[bytes, Known] = field(default_factory=dict)
    envelopes: dict[bytes, set[bytes]] = field(default_factory=dict)
    """Envelope → letters that it came around; b'' stands for another letter than the one asked about."""
    controls: dict[bytes, set[bytes]] = field(default_factory=dict)

    @classmethod
    def read(cls, rows: Iterable[Mapping[str, Any]]) -> Inbox:
        """Fill from the rows of the statement `inbox`."""
        inbox = cls()
        for row in rows:
            if row["how"] in {"receipt", "letter"}:
                known = Known(
                    row["seq"],
                    row["receipt"],
                    MessageState(row["state"]),
                    row["first"],
                    (row["topic"], row["part"], row["at_offset"]),
                    row["answered"],
                )
                if row["how"] == "receipt":
                    inbox.receipts[known.receipt] = known
                else:
                    inbox.letters[row["letter"]] = known
            else:
                # The database only says that some letter other than this one came with the mark.
                seen = inbox.envelopes if row["how"] == "envelope" else inbox.controls
                seen.setdefault(row["key"] + row["letter"], set()).add(b"")
        return inbox

    def judge(self, message: MessageWrite, marks: Marks) -> tuple[Verdict, Known | None]:
        """Return the verdict, and the known message that it rests on where there is one."""
        source = message.source
        same = self.receipts.get(message.receipt)
        if message.replay and same is not None:
            return Verdict.REPLAY, same
        if same is not None:
            again = same.source == (source.topic, source.partition, source.offset)
            return (Verdict.APPLIED if again else Verdict.ECHO), same
        first = self.letters.get(marks.letter)
        if first is not None:
            return Verdict.DUPLICATE, first
        if marks.envelope is not None and _other(self.envelopes, marks.envelope, marks.letter):
            return Verdict.REUSED, None
        return Verdict.NEW, None

    def unseen(self, marks: Marks) -> bool:
        """Say whether the store knew the envelope around no other letter when it was asked (this batch aside)."""
        return marks.envelope is not None and marks.envelope + marks.letter not in self.envelopes

    def control_reused(self, marks: Marks) -> bool:
        """Say whether the message number was seen on another message of the feed."""
        return marks.control is not None and _other(self.controls, marks.control, marks.letter)

    def enter(self, message: MessageWrite, marks: Marks, known: Known) -> None:
        """Remember a message of this batch for those that follow it."""
        self.receipts[message.receipt] = known
        if known.first:
            self.letters[marks.letter] = known
        for seen, key in ((self.envelopes, marks.envelope), (self.controls, marks.control)):
            if key is not None:
                seen.setdefault(key, set()).add(marks.letter)


def _other(seen: Mapping[bytes, set[bytes]], key: bytes, letter: bytes) -> bool:
    return bool(seen.get(key + letter)) or bool(seen.get(key, set()) - {letter})
