"""When Python looks for cycles of garbage. Not what frees memory: reference counts do that, at once.

A batch is tens of thousands of small dicts that all live until it is committed. At the default threshold (700) the
collector walks them again and again and finds nothing: 20 to 30 % of a translator's processor time, measured.
"""

from __future__ import annotations

import gc
from typing import Final

_THRESHOLDS: Final = (100_000, 20, 50)


def collect_rarely() -> None:
    """Take what start-up made (tables, schemas, modules) out of every later look, and look seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
