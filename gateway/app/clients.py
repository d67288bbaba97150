"""`sundbro client check`: client registrations, read as the gateway reads them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.errors import Misconfigured
from gateway.identity.oauth.registration import read


def check(files: Sequence[Path]) -> int:
    """Print a line for each file; return 1 when one of them cannot be used."""
    wrong = False
    for path in files:
        try:
            client = read(path)
        except Misconfigured as error:
            wrong = True
            sys.stdout.write(f"{path}: {error.text}\n")
        else:
            sys.stdout.write(f"{path}: {client.id} ({client.sort}): {client.scopes.text}\n")
    return 1 if wrong else 0
