"""The parts of the API that need no server: page tokens, the error table, conditional reads, content types, printing."""

from __future__ import annotations

import asyncio
import datetime as dt
import email.utils
import gzip
import json as plain_json
from decimal import Decimal

import cramjam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import errors
from gateway.access import Actor
from gateway.access import scopes as access_scopes
from gateway.clock import UTC, FrozenClock
from gateway.formats import json
from gateway.serve import answer, asking, media, routes
from gateway.serve import coding as codings
from gateway.serve.paging import Pages
from gateway.serve.pretty import pretty
from gateway.store.port import Version

START = dt.datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC)
SECRET = b"0123456789abcdef"


def actor(client: str = "a", *scopes: str) -> Actor:
    return Actor(client, access_scopes.parse(scopes or ["system/*.rs"]))


def test_a_page_token_opens_for_its_caller_until_it_expires():
    clock = FrozenClock(START)
    pages = Pages(SECRET, clock)
    place = {"type": "Patient", "pairs": [["identifier", "2512489996"]], "rid": 7}
    token = pages.seal(actor(), place)
    assert pages.open(actor(), token) == place
    assert Pages(SECRET, clock).open(actor(), token) == place  # another process
    for other in (actor("b"), actor("a", "system/*.r")):
        with pytest.raises(errors.Denied):
            pages.open(other, token)
    with pytest.raises(errors.Incorrect):
        Pages(b"another secret..", clock).open(actor(), token)
    clock.advance(dt.timedelta(hours=1))
    with pytest.raises(errors.Gone):
        pages.open(actor(), token)


def test_a_page_token_shows_nothing():
    pages = Pages(SECRET, FrozenClock(START))
    place = {"pairs": [["identifier", "2512489996"]]}
    one, other = pages.seal(actor(), place), pages.seal(actor(), place)
    assert one != other
    assert "2512489996" not in one


def test_a_question_too_long_for_a_link_is_refused_in_words():
    with pytest.raises(errors.TooLarge):
        Pages(SECRET, FrozenClock(START)).seal(actor(), {"pairs": [["_id", "".join(f"{n:x}" for n in range(9000))]]})


@given(st.text(max_size=300))
def test_any_text_is_no_page(text):
    with pytest.raises(errors.Incorrect):
        Pages(SECRET, FrozenClock(START)).open(actor(), text)


def kinds(kind: type[errors.SundbroError]):
    for below in kind.__subclasses__():
        yield below
        yield from kinds(below)


@pytest.mark.parametrize(
    "kind", sorted({*kinds(errors.SundbroError)}, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__
)
def test_every_failure_has_its_status_and_code(kind):
    if kind.__module__ != "gateway.errors":
        return
    error = kind("what went wrong", at="where")
    refused = answer.refusal(error)
    issue = json.loads(refused.resource)["issue"][0]
    if kind is errors.Misconfigured:
        assert (refused.status, issue["code"]) == (500, "exception")
        assert issue["diagnostics"] != "what went wrong"
        return
    assert (refused.status, issue["code"]) == (kind.status, kind.issue)
    assert issue["diagnostics"] == "what went wrong"
    assert issue["expression"] == ["where"]
    names = {name for name, _ in refused.headers}
    assert (b"www-authenticate" in names) is (refused.status == 401)
    assert (b"retry-after" in names) is (refused.status in {429, 503})


def test_a_bug_shows_nothing():
    refused = answer.refusal(ZeroDivisionError("secret"))
    assert refused.status == 500
    assert b"secret" not in refused.resource


@given(st.integers(0, 10**9), st.integers(-3, 3))
def test_if_modified_since_has_whole_seconds(milliseconds, seconds):
    moment = START + dt.timedelta(milliseconds=milliseconds)
    version = Version("Basic", "x", 1, moment, b"{}")
    since = moment.replace(microsecond=0) + dt.timedelta(seconds=seconds)
    header = since.strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert answer.unchanged(version, "", header) is (seconds >= 0)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=10)
    | st.decimals(allow_nan=False, allow_infinity=False, places=2),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=5))
def test_pretty_changes_nothing_but_blanks(value):
    raw = plain_json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).encode("utf-8", "replace")
    shown = pretty(raw)
    assert plain_json.loads(shown) == plain_json.loads(raw)


def test_pretty_keeps_the_digits():
    assert pretty(json.dumps({"value": Decimal("1.20"), "list": [], "none": {}})) == (
        b'{\n  "value": 1.20,\n  "list": [],\n  "none": {}\n}\n'
    )


@given(st.text(max_size=60))
def test_any_accept_header_is_a_content_type_or_a_refusal(accept):
    wanted = media.wanted(accept, "")
    name = wanted.header.decode().partition(";")[0]
    kinds = ("application/", "application/fhir+", "text/")
    assert name in {f"{kind}{sub}" for kind in kinds for sub in ("json", "xml")}
    assert wanted.acceptable or name == "application/fhir+json"


@pytest.mark.parametrize("name", ["application/json", "text/json", "application/xml", "text/xml"])
def test_a_generic_type_is_answered_under_the_name_that_was_asked_for(name):
    assert media.wanted(name, "").header == media.wanted("", name).header == f"{name}; charset=utf-8".encode()


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        ("application/fhir+json;q=0, */*", "application/fhir+xml"),
        ("*/*;q=0.5, application/fhir+json;q=0", "application/fhir+xml"),
        ("application/fhir+xml;q=0, */*", "application/fhir+json"),
        ("application/fhir+json;q=0, application/fhir+xml;q=0, */*", ""),
    ],
)
def test_a_range_leaves_out_what_is_refused_by_name(accept, answer):
    wanted = media.wanted(accept, "")
    assert (wanted.header.decode().partition(";")[0] if wanted.acceptable else "") == answer


@pytest.mark.parametrize(
    ("accept", "native", "acceptable"),
    [
        ("", False, True), ("*/*", False, True), ("application/fhir+json", False, True), ("image/png", True, False),
        ("image/png, */*;q=0.1", True, True), ("image/png, application/fhir+json;q=0.1", False, True), ("image/*", True, False),
        ("application/fhir+json; fhirVersion=3.0", False, False), ("application/json;q=0", False, False), ("image/png;q=0", False, False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False, True), ("nonsense", False, False),
    ],
)  # fmt: skip
def test_another_type_than_fhirs_is_for_a_binary_alone(accept, native, acceptable):
    wanted = media.wanted(accept, "")
    assert (wanted.native, wanted.acceptable) == (native, acceptable)


@given(st.binary(max_size=200))
def test_any_query_string_is_pairs_or_a_refusal(query):
    try:
        pairs = asking.pairs_of(query)
    except errors.Incorrect:
        return
    assert all(isinstance(name, str) and isinstance(value, str) for name, value in pairs)


@given(st.sampled_from(["GET", "POST", "PUT", "BREW", ""]), st.text(max_size=40).map(lambda text: "/" + text))
def test_any_address_has_a_row_or_a_refusal(method, path):
    try:
        assert routes.find(method, path).route in routes.TABLE
    except (errors.NotFound, errors.NotAllowed) as refused:
        assert refused.status in {404, 405}  # noqa: PT017


def test_every_row_of_the_table_is_found_by_its_own_pattern():
    for row in routes.TABLE:
        path = row.pattern.replace("{type}", "Patient").replace("{id}", "x").replace("{version}", "3")
        path = path.replace("{member}", "Observation")
        assert routes.find(row.method, path).route is row


@given(st.binary(min_size=1, max_size=200_000), st.sampled_from(["gzip", "zstd"]))
@settings(max_examples=40, deadline=None)
def test_what_is_packed_unpacks_to_the_same(body, coding):
    packed = asyncio.run(codings.pack(body, coding))
    unpack = gzip.decompress if coding == "gzip" else lambda data: bytes(cramjam.zstd.decompress(data))
    assert unpack(packed) == body


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (b"", ""), (b"gzip", "gzip"), (b"x-gzip", "gzip"), (b"gzip, deflate, br", "gzip"), (b"gzip, zstd", "gzip"), (b"zstd;q=0.5, gzip", "gzip"),
        (b"gzip;q=0", ""), (b"identity", ""), (b"*", ""), (b"gzip;q=high", ""), (b"GZIP;q=1.0", "gzip"), (b"gzip;", "gzip"),
    ],
)  # fmt: skip
def test_a_coding_is_chosen_as_the_caller_weighs_it(accepted, coding):
    assert codings.chosen(accepted) == coding


@given(st.binary(max_size=100))
def test_any_accept_encoding_is_a_coding_or_none(header):
    assert codings.chosen(header) in {"", "gzip", "zstd"}


def test_last_modified_is_an_http_date():
    for day in range(1, 29, 3):
        moment = dt.datetime(2026, day % 12 + 1, day, 3, 4, 5, 600_000, tzinfo=dt.timezone(dt.timedelta(hours=2)))
        (_, tag), (_, written) = answer.stamps(Version("Basic", "x", 7, moment, b"{}"))
        assert tag == b'W/"7"'
        assert written.decode() == email.utils.format_datetime(moment.astimezone(UTC), usegmt=True)


@pytest.mark.parametrize(
    ("header", "name", "value"),
    [
        (b"handling=lenient", "handling", "lenient"), (b"return=minimal, handling=strict", "handling", "strict"), (b"Handling = Lenient", "handling", "lenient"),
        (b'handling="lenient"; x=y', "handling", "lenient"), (b"", "handling", ""), (b"respond-async", "handling", ""), (b"handling=strict, handling=lenient", "handling", "strict"),
    ],
)  # fmt: skip
def test_preferences_are_read_by_name(header, name, value):
    request = asking.Asking(routes.find("GET", "/Patient/x"), {b"prefer": header} if header else {}, [])
    assert request.preference(name) == value
