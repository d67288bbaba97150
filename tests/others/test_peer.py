"""HAPI FHIR JPA and the gateway hold the same patients and are asked the same: what they find is the same.

These are the questions that `make bench-peer` measures both by. Minutes, and Java: the long form alone (`make corpus`).
"""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.api import figures, population, shapes
from benchmarks.api.driver import Server
from benchmarks.peer import agreement
from benchmarks.peer.hapi import Hapi
from tests.maven import NoJavaError
from tests.others.conftest import Api

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PATIENTS = 24
DRAWS = 8
NO_FULL_TEXT = {
    "queries_condition_content_search",
    "queries_observation_content_search",
    "queries_patient_content_search",
    "queries_patient_text_narrative",
}
"""The peer has no full-text index here, and says so: 400."""


@pytest.fixture(scope="module")
def people() -> population.Population:
    try:
        return population.make(figures.KEPT)
    except (OSError, subprocess.CalledProcessError) as failure:
        pytest.skip(f"NOT RUN: the synthetic patients cannot be made ({failure})")


@pytest.fixture(scope="module")
def verdicts(api: Api, people: population.Population) -> Iterator[list[agreement.Verdict]]:
    with tempfile.TemporaryDirectory(prefix="sundbro-peer-") as folder:
        yield asyncio.run(_compared(api, people, Hapi(Path(folder))))


async def _compared(api: Api, people: population.Population, hapi: Hapi) -> list[agreement.Verdict]:
    try:
        await hapi.build()
    except NoJavaError as failure:
        pytest.skip(f"NOT RUN: no peer to agree with ({failure})")
    ours = Server(api.base, api.headers)
    asked = shapes.own(people, PATIENTS) | agreement.sorted_too(people, PATIENTS)
    asked |= {f"queries_{name}": shape for name, shape in figures.published(people, PATIENTS).items()}
    try:
        await hapi.start()
        for server in (ours, Server(hapi.base)):
            await figures.imported(server, people, PATIENTS, 0)
        return await agreement.compare(ours, Server(hapi.base), asked, draws=DRAWS)
    finally:
        await hapi.stop()


def test_the_same_questions_find_the_same(verdicts: list[agreement.Verdict]) -> None:
    different = [f"{one.path}: {'; '.join(one.differences)}" for one in verdicts if one.differences]
    assert not different, "\n".join(different)


def test_only_full_text_is_refused_and_by_the_peer_alone(verdicts: list[agreement.Verdict]) -> None:
    refused = agreement.refused(verdicts)
    assert set(refused) <= NO_FULL_TEXT
    assert all(set(sides["ours"]) == {200} and set(sides["peer"]) == {400} for sides in refused.values())


def test_each_of_our_shapes_found_something(verdicts: list[agreement.Verdict]) -> None:
    """Two servers that find nothing agree, and it means nothing."""
    found = {one.shape for one in verdicts if one.ours.matches}
    asked = {one.shape for one in verdicts if not one.shape.startswith("queries_")}
    assert asked <= found
    assert any(len(set(one.ours.order)) > 1 for one in verdicts), "nothing was sorted"
    assert any(one.ours.included for one in verdicts), "nothing was included"
