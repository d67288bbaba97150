"""PyPI `sekmet-fhir`: its scenarios against this API, and mock.health's TestScripts through its runner.

Run in an environment of its own. What asks for a capability that is not offered yet is named here with the reason;
a scenario that the library gains fails the list.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.corpus import corpus_folder
from tests.others.conftest import Api
from tests.others.installing import environment

SEKMET = "sekmet-fhir==0.1.1"
SCENARIOS = (
    "adt_admit_transfer_discharge",
    "adt_merge_update",
    "appointment_book_cancel",
    "billing_claim",
    "clinical_documentation",
    "conformance_smoke",
    "lab_order_to_result",
    "medication_order_dispense",
    "rad_order_imaging_report",
)
NOT_APPLICABLE = {
    "bulk_export_group": "bulk export comes with the research platform",
    "subscription_roundtrip": "subscriptions come with their own issue",
    "subscription_backport_roundtrip": "subscriptions come with their own issue",
    "lab_order_peer_fills": "the peer plays a laboratory that fills orders",
    "messaging_adt_orders": "the peer takes FHIR messages of kinds that are none of MedCom's",
}
NOT_CHECKED = "assert has no supported check"
"""What the runner says of an assert that TestScript does not have (responseBody)."""
SCRIPTS_NOT_APPLICABLE = {"bulk-data-export": "bulk export comes with the research platform"}


@pytest.fixture(scope="module")
def sekmet(api: Api, ward: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the tool's settings; the gateway is its peer `sundbro`."""
    folder = tmp_path_factory.mktemp("sekmet")
    environment(folder / "tool", SEKMET)
    peer = {"base_url": api.base, "auth": {"type": "bearer", "token": api.token}}
    (folder / "settings.yaml").write_text(
        yaml.safe_dump(
            {"base_url": "http://127.0.0.1:9/fhir", "peers": {"sundbro": peer}, "data_dir": str(folder / "data")}
        )
    )
    return folder


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(folder / "tool" / "bin" / "sekmet"), *words],
        cwd=folder, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def test_every_scenario_of_the_library_is_run_or_named_with_its_reason(sekmet: Path) -> None:
    listed = run(sekmet, "scenario", "list")
    known = {line.split()[0] for line in listed.stdout.splitlines() if " steps " in line}
    assert known == {*SCENARIOS, *NOT_APPLICABLE}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(sekmet: Path, scenario: str) -> None:
    ended = run(sekmet, "scenario", "run", scenario, "--peer", "sundbro", "--no-serve")
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
    assert "=> PASSED" in ended.stdout, ended.stdout[-6000:]


@pytest.mark.corpus
@pytest.mark.parametrize("level", ["MUST", "SHOULD", "MAY"])
def test_test_scripts(sekmet: Path, level: str) -> None:
    folder = corpus_folder("mock-health-conformance") / "conformance" / "testscripts" / "fhir-r4-base" / level
    scripts = [path for path in sorted(folder.glob("*.json")) if path.stem not in SCRIPTS_NOT_APPLICABLE]
    assert scripts
    ended = run(sekmet, "testscript", "run", *map(str, scripts), "--peer", "sundbro", "--fixture-base", "")
    lines = ended.stdout.splitlines()
    passed = sum(line.strip().startswith("PASSED") for line in lines)
    failed = [
        (line.strip(), lines[at + 1].strip())
        for at, line in enumerate(lines)
        if line.strip().startswith(("FAILED", "ERROR")) and NOT_CHECKED not in lines[at + 1]
    ]
    assert not failed, ended.stdout[-6000:]
    assert ended.stdout.count("▶") == len(scripts)
    assert passed >= 2 * len(scripts), ended.stdout[-6000:] + ended.stderr[-2000:]
    beyond = ended.stdout.count(NOT_CHECKED)
    print(f"{level}: {len(scripts)} TestScripts, {passed} steps passed, {beyond} asserts beyond the runner")
