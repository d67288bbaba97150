"""The independent judge: HAPI's FHIR validator (Java), which stands beside the project. Absent, its tests skip and say so."""

from __future__ import annotations

import json as plain_json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from gateway.formats import json
from tests.corpus import SHARED

JUDGE = SHARED / "judge" / "fhir-validator" / "judge-fhir"
DK_CORE = "hl7.fhir.dk.core-3.7.0"


def judged(files: Iterable[tuple[str, bytes]], folder: Path, *guides: str, seconds_max: int = 280) -> list[str]:
    """What the validator finds wrong with NDJSON files, with the guides named. One start of it for all files."""
    if not JUDGE.exists() or shutil.which("java") is None:
        pytest.skip(f"NOT RUN: no independent FHIR validator on this machine ({JUDGE}, java)")
    count = 0
    for name, body in files:
        (folder / f"{name}.ndjson").write_bytes(body)
        count += len(body.splitlines())
    arguments = [word for guide in guides for word in ("--guide", guide)]
    run = subprocess.run(
        [str(JUDGE), *arguments, str(folder)], capture_output=True, text=True, timeout=seconds_max, check=False
    )
    assert f"{count} resources" in run.stderr, run.stderr
    found = [plain_json.loads(line) for line in run.stdout.splitlines()]
    return [f"{Path(one['where']).name} {one['at']}: {one['message']}" for one in found if one["severity"] != "warning"]


def judged_resources(resources: Iterable[Any], folder: Path, *guides: str, seconds_max: int = 280) -> list[str]:
    """What the validator finds wrong with these resources."""
    lines = b"".join(json.dumps(resource) + b"\n" for resource in resources)
    return judged([("made", lines)], folder, *guides, seconds_max=seconds_max)
