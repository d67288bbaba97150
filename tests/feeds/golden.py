"""Golden pairs: a sample and, beside it, what becomes of it. REWRITE_SAMPLES=1 writes the second file anew; read the diff."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from gateway.formats import json

REWRITE = os.environ.get("REWRITE_SAMPLES") == "1"


def indented(made: Any) -> bytes:
    """JSON for people; a decimal keeps the very digits it has."""

    def exact(value: Decimal) -> orjson.Fragment:
        return orjson.Fragment(str(value))

    return orjson.dumps(made, default=exact, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def agree(golden: Path, made: Any) -> None:
    """Assert that a golden file says what was made, digit for digit."""
    if REWRITE:
        golden.write_bytes(indented(made))
    assert json.dumps(json.loads(golden.read_bytes())) == json.dumps(made)
