"""compose.yaml cannot run everywhere; what it says is read against the settings it would be read with."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import settings

ROOT = Path(__file__).resolve().parents[2]
GIVEN = {"POSTGRES_PASSWORD": "x", "SUNDBRO_ID_SECRET": "ab" * 32, "KEYCLOAK_ADMIN_PASSWORD": "x"}


def services() -> dict[str, Any]:
    text = (ROOT / "compose.yaml").read_text("utf-8")
    for name, value in GIVEN.items():
        text = text.replace("${" + name + ":?}", value)
    found: dict[str, Any] = yaml.safe_load(text)["services"]
    return found


def gateways() -> dict[str, dict[str, str]]:
    return {
        name: {key: str(value) for key, value in service["environment"].items()}
        for name, service in services().items()
        if any(key.startswith("SUNDBRO_") for key in service.get("environment", {}))
    }


@pytest.mark.parametrize("name", list(gateways()))
def test_every_setting_of_a_service_is_one_that_the_gateway_has(name: str) -> None:
    made = settings.load(gateways()[name])
    assert made.kafka
    assert made.database_url
    assert made.kafka_replication == sum(service.startswith("kafka-") for service in services())


def test_the_services_together_run_every_role_once() -> None:
    roles = [role for environment in gateways().values() for role in settings.load(environment).role_names()]
    assert sorted(roles) == sorted(settings.ROLES)


def test_nothing_listens_beyond_this_machine() -> None:
    for name, service in services().items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name


def test_docker_compose_reads_it() -> None:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("NOT RUN: no docker compose here")
    done = subprocess.run(
        ["docker", "compose", "config", "-q"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, **GIVEN},
        check=False,
    )
    assert done.returncode == 0, done.stderr
