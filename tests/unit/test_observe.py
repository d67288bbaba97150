"""Telling: percentiles, logs without payload, library logs without values, spans of one trace, one metric a listener."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import logging

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.observe import catalogue, events, logs, metrics, summary, traces
from gateway.observe.durations import Durations


@given(st.lists(st.floats(0.0005, 30), min_size=1, max_size=300), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_out_of_buckets_lies_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    bounds = [*catalogue.DURATIONS, float("inf")]
    buckets = {bound: float(sum(value <= bound for value in values)) for bound in bounds}
    found = metrics.percentile(buckets, share)
    ranked = sorted(values)
    true = ranked[max(0, -(-int(len(ranked) * share * 1000) // 1000) - 1)]
    place = next(i for i, bound in enumerate(bounds) if true <= bound)
    assert found is not None
    assert (bounds[place - 1] if place else 0.0) <= found + 1e-9
    assert found <= bounds[min(place + 1, len(bounds) - 1)] + 1e-9


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40))
def test_durations_taken_together_are_those_observed_one_by_one(values: list[float]) -> None:
    def histogram() -> Durations:
        return Durations("waits", "of a test", buckets=catalogue.DURATIONS, registry=None)

    def samples(of: Durations) -> dict[tuple[str, str], float]:
        (family,) = of.collect()
        return {(one.name, one.labels.get("le", "")): one.value for one in family.samples if "created" not in one.name}

    together, each = histogram(), histogram()
    together.take(values)
    for value in values:
        each.observe(value)
    assert samples(together) == pytest.approx(samples(each))


async def test_what_requests_took_is_counted_when_the_loop_has_turned() -> None:
    listener = metrics.Metrics()
    for status in (200, 200, 404):
        listener(events.RequestAnswered("read", "Patient", status, 0.02))
    await asyncio.sleep(0)
    text = prometheus_client.generate_latest(listener.registry).decode()
    counted = [line for line in text.splitlines() if line.startswith("sundbro_request_seconds_count")]
    assert [line.rpartition(" ")[2] for line in counted] == ["2.0", "1.0"]


def test_an_empty_histogram_has_no_percentile() -> None:
    assert metrics.percentile({}, 0.5) is None
    assert metrics.percentile({1.0: 0.0, float("inf"): 0.0}, 0.5) is None


def test_every_metric_is_named_by_the_rule_and_has_advice() -> None:
    for metric in catalogue.METRICS:
        assert metric.name.startswith("sundbro_")
        assert metric.kind == "counter" or not metric.name.endswith("_total")
        assert metric.kind != "counter" or metric.name.endswith("_total")
        assert metric.meaning
        assert metric.advice
        assert not set(metric.labels) & {"receipt", "lane", "patient", "url", "control_id"}


def test_every_observation_holds_only_what_may_be_told() -> None:
    names = {"str", "int", "float", "tuple[str, ...]"}
    for kind in vars(events).values():
        if isinstance(kind, type) and issubclass(kind, events.Observation):
            assert {str(field.type) for field in dataclasses.fields(kind)} <= names, kind.__name__


def test_logs_write_what_has_a_level_as_one_json_line() -> None:
    out = io.StringIO()
    listener = logs.Logs(level="warning", write=out, process="p")
    listener(events.MessageRejected("hospital", "r1", "ADT^A01", ("structure",)))
    listener(events.RoleStarted("publish"))  # info: below the level
    listener(events.MessageReceived("hospital", "mllp", "r2", 10, 0.1))  # counted, never logged
    (line,) = out.getvalue().splitlines()
    told = json.loads(line)
    assert told["event"] == "message_rejected"
    assert told["level"] == "warning"
    assert told["process"] == "p"
    assert told["codes"] == ["structure"]


def test_a_library_that_logs_a_value_is_heard_without_it() -> None:
    out = io.StringIO()
    before = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        logs.hear_libraries(logs.Logs(write=out))
        logging.getLogger("somebody").error("cannot parse %s", "251248-9996")
    finally:
        logging.getLogger().handlers[:], level = before
        logging.getLogger().setLevel(level)
    assert "9996" not in out.getvalue()
    assert "cannot parse" in out.getvalue()


SENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_senders_traceparent_is_kept_and_a_wrong_one_replaced() -> None:
    assert traces.traceparent(SENT, 0.0) == SENT
    for wrong in ("", "nonsense", SENT[:-3], SENT.replace("b7ad6b7169203331", "0" * 16)):
        made = traces.traceparent(wrong, 1.0)
        assert made != wrong
        assert traces.sampled(made)
    assert not traces.sampled(traces.traceparent("", 0.0))


def test_spans_of_a_message_share_its_trace_and_an_unsampled_one_has_none() -> None:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    listener = traces.Traces(exporter)
    for parent in (SENT, SENT[:-2] + "00"):
        listener(events.MessageReceived("hospital", "mllp", "r", 10, 0.01, parent))
        listener(events.MessageTranslated("hospital", "r", "ADT^A01", 3, 0.002, parent))
        listener(events.MessageStored("hospital", "r", 3, 0, 0, 0.05, 0.01, parent))
        listener(events.RecordPublished("fhir.Patient", 0.1, parent))
    listener.stop()
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["receive", "translate", "store", "publish"]
    assert {f"{span.context.trace_id:032x}" for span in spans} == {SENT.split("-")[1]}
    assert {f"{span.parent.span_id:016x}" for span in spans if span.parent} == {SENT.split("-")[2]}


def test_the_summary_reads_the_exposition() -> None:
    text = """# TYPE sundbro_messages_received_total counter
sundbro_messages_received_total{feed="home",door="http"} 3.0
# TYPE sundbro_visible_seconds histogram
sundbro_visible_seconds_bucket{feed="home",le="0.1"} 1.0
sundbro_visible_seconds_bucket{feed="home",le="1.0"} 2.0
sundbro_visible_seconds_bucket{feed="home",le="+Inf"} 2.0
sundbro_visible_seconds_count{feed="home"} 2.0
sundbro_visible_seconds_sum{feed="home"} 0.6
"""
    numbers = summary.by_feed(text)["home"]
    assert numbers.received == 3
    assert numbers.visible_seconds(0.5) == pytest.approx(0.1)
    assert numbers.visible_seconds(0.99) == pytest.approx(0.982)
