"""The law of templates: a search is planned once for its shape, and what comes of that is what planning it anew would give.

For whoever is shown everything and for callers of all kinds, over questions of all kinds: statement, arguments, everything.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Incorrect
from gateway.search import parameters, parse
from gateway.search.query import Query
from gateway.store.postgres import search_sighted, search_sql
from gateway.store.postgres.frequencies import Frequencies
from gateway.store.postgres.indexing import names
from gateway.store.postgres.search_scope import Scope
from gateway.store.postgres.search_template import Templates
from gateway.store.postgres.units import NONE
from tests.leaks.populated import sights
from tests.properties.test_search_law import NOW, questions

TYPES = {name: number for number, name in enumerate(parameters.types(), 1)}
PARAMETERS = {name: number for number, name in enumerate(sorted(names()), 1)}
met: Counter[object] = Counter()


class Chosen(dict[int, float]):
    """Frequencies that fall on hashes as on coins: what one question finds rare, another of its form finds frequent."""

    def get(self, token, default=0.0):
        return (0.0, 0.0, 40.0, 3000.0)[token % 4]


FREQUENCIES = Frequencies(tokens=Chosen(), codes=Chosen(), types=dict.fromkeys(TYPES.values(), 20_000.0))
SIGHTS = [None, *sights(60)]


def scope(query: Query) -> Scope:
    return Scope(TYPES, PARAMETERS, {NONE: 0}, FREQUENCIES, query.sight)


templates = Templates()


@settings(max_examples=1000, deadline=None)
@given(question=questions(), who=st.sampled_from(SIGHTS), count=st.sampled_from([3, 20]))
def test_what_comes_of_a_template_is_what_planning_gives(question, who, count):
    kind, pairs = question
    try:
        query = replace(parse.understand(kind, pairs, now=NOW).query, count=count, sight=who)
    except Incorrect:
        return
    try:
        planned = search_sql.page(query, scope(query))
    except TypeError:  # no index answers it: such a question does not come this way
        return
    known = len(templates._known)
    made = templates.page(query, scope(query))
    assert made == planned, (kind, pairs, who)
    met["kept" if len(templates._known) > known else "other"] += 1
    again = templates.page(query, scope(query))
    assert again == planned, (kind, pairs, who)


def test_the_law_met_templates():
    assert len(templates._known) > 120, met
    assert met["other"] > 120, met


def test_which_of_two_moments_is_the_later_is_part_of_the_shape():
    own = Templates()
    for one, two in (("2018", "2021"), ("2023", "2020"), ("2015", "2024")):
        pairs = [("code", "a"), ("date", f"ge{one}"), ("date", f"gt{two}"), ("_sort", "-date")]
        query = parse.understand("Observation", pairs, now=NOW).query
        assert own.page(query, scope(query)) == search_sql.page(query, scope(query))
    assert len(own._known) == 2


def test_a_read_of_whoever_is_not_shown_everything_is_planned_once_as_well():
    own = Templates()
    for name in ("abc-1", "B.2", "r"):
        for who in SIGHTS[1:]:
            for kind in ("Patient", "Observation", "Appointment", "Device"):
                asked = Scope(TYPES, PARAMETERS, {NONE: 0}, FREQUENCIES, who)
                planned = search_sighted.reading(Scope(TYPES, PARAMETERS, {NONE: 0}, FREQUENCIES, who), kind, [name])
                made = own.read(kind, name, asked, lambda: search_sighted.reading(asked, kind, [name]))  # noqa: B023
                assert made == planned, (name, who, kind)
    assert 20 < len(own._known) < 4 * len(SIGHTS)
