"""How this folder says that one reading cannot be taken. Never leaves translate(): it becomes a Reason."""

from __future__ import annotations

from gateway.model import Reason, RejectionCode


class ReadingRefusedError(Exception):
    """One reading is refused. `at` is relative to the reading; `text` never repeats a value."""

    def __init__(self, code: RejectionCode, at: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.at = at
        self.text = text

    def reason(self, path: str) -> Reason:
        """Return the reason with `at` under the reading's own path (`readings[17]`, '' for a single reading)."""
        return Reason(self.code, f"{path}.{self.at}".strip("."), self.text)
