"""The log alone is enough: an empty store beside the old one, filled from the log, ends the same byte for byte.

What one feed says about a person gives the same versions, one by one. Where feeds meet in one resource the log does not
say whose message was applied first (`fhir.merge` makes that not matter): the end is the same, the steps may differ.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.gateway import Gateway
from tests.journeys.conftest import BACKBONES
from tests.load import Load
from tests.messages import adt, notification, reading
from tests.verdict import content, versions_of

TIME = re.compile(rb'"lastUpdated":"[^"]+"')
MADE = "select feed, unnest(made) as name from message where first"


def feeds_of(gateway: Gateway) -> dict[str, set[str]]:
    """Return which feeds have a part in each resource, by `Type/id`."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in gateway.sql(MADE):
        found[row["name"]].add(row["feed"])
    return found


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_store_rebuilt_from_the_log_is_the_same_but_for_times_of_reception(
    tmp_path: Path, request: pytest.FixtureRequest, backbone: str
) -> None:
    kafka = request.getfixturevalue("kafka_broker") if backbone == "kafka" else ""
    load = Load(7, 400)
    with Gateway(tmp_path, kafka=kafka, kafka_prefix=f"r{tmp_path.name[-20:]}." if kafka else "") as gateway:
        asyncio.run(load.run(gateway))
        for n, person in enumerate([load.people.one() for _ in range(5)]):  # what three feeds say about one person
            gateway.sent("home", json.dumps(reading(person)).encode())
            gateway.sent("hospital", adt(person, f"M{n}", visit=f"M{n}"), "application/hl7-v2")
            gateway.sent("municipal", notification(person), "application/fhir+json")
            gateway.sent("hospital", adt(person, f"N{n}", number=7, visit=f"M{n}"), "application/hl7-v2")
        gateway.drained()
        first, sums = versions_of(gateway), gateway.sums()
        assert all(one["difference"] == 0 for one in sums.values())
        gateway.stop()

        gateway.change(database_schema="rebuilt", roles="translate,serve")
        gateway.start()
        gateway.drained(published=False)
        second, again = versions_of(gateway), gateway.sums()
        for one in (*sums.values(), *again.values()):
            one.pop("lag_seconds")
        assert again == sums
        assert set(second) == set(first)
        for name, found in first.items():
            assert [TIME.sub(b"", one.body) for one in second[name]] == [TIME.sub(b"", one.body) for one in found], name
            assert [one.lane for one in second[name]] == [one.lane for one in found], name
