"""Who was shown what of whom: the vocabulary, the record, the tamper-evident ledger, its witnesses and its verifier, MinLog.

A shared door: every room that shows data to somebody writes here first. Not access (`gateway.access` decides), and not logs
(`gateway.observe`), which hold no person at all.
"""

from gateway.audit.record import Entry, Record
from gateway.audit.vocabulary import Event

__all__ = ["Entry", "Event", "Record"]
