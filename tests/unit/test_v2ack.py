"""Laws of acknowledgements."""

from __future__ import annotations

import datetime as dt

import pytest

from gateway.formats import er7, v2ack

NOW = dt.datetime(2026, 10, 25, 2, 30, tzinfo=dt.timezone(dt.timedelta(hours=1)))


def incoming(
    *,
    control: bytes = b"00042 ",
    accept: bytes = b"",
    application: bytes = b"",
    version: bytes = b"2.5.1",
    mark: bytes = b"|^~\\&",
) -> bytes:
    bar, hat = mark[:1], mark[1:2]
    fields = [
        b"MSH" + mark,
        b"LAB",
        b"OUH",
        b"SUNDBRO",
        b"RSD",
        b"2026",
        b"",
        b"ORU" + hat + b"R01",
        control,
        b"P",
        version,
        b"",
        b"",
        accept,
        application,
    ]
    return bar.join(fields) + b"\rPID\r"


def test_the_control_id_goes_back_byte_for_byte() -> None:
    answer = v2ack.acknowledge(incoming(), "AA", now=NOW, control_id="S1")
    assert answer.split(b"\r")[1] == b"MSA|AA|00042 "


def test_separators_and_version_are_the_senders() -> None:
    answer = v2ack.acknowledge(
        incoming(mark=b"#*+!%", version=b"2.3"), "AE", now=NOW, control_id="S1", text="no # here", error="101"
    )
    assert (
        answer
        == b"MSH#*+!%#SUNDBRO#RSD#LAB#OUH#20261025023000.000+0100##ACK*R01*ACK#S1#P#2.3\rMSA#AE#00042 #no !F! here\r"
    )


def test_err_tells_table_0357_since_version_2_5() -> None:
    answer = v2ack.acknowledge(er7.peek(incoming()), "AR", now=NOW, control_id="S1", text="type", error="200")
    assert answer.endswith(b"ERR|||200^Unsupported message type^HL70357|E||||type\r")


@pytest.mark.parametrize(
    ("accept", "application", "mode"),
    [
        (b"", b"", v2ack.AckMode.ORIGINAL),
        (b"AL", b"", v2ack.AckMode.ACCEPT),
        (b"AL", b"NE", v2ack.AckMode.ACCEPT),
        (b"AL", b"AL", v2ack.AckMode.BOTH),
        (b"NE", b"AL", v2ack.AckMode.ORIGINAL),
        (b"NE", b"NE", v2ack.AckMode.NONE),
        (b"ER", b"NE", v2ack.AckMode.ACCEPT),
    ],
)
def test_the_sender_decides_the_mode(accept: bytes, application: bytes, mode: v2ack.AckMode) -> None:
    assert v2ack.mode(er7.peek(incoming(accept=accept, application=application))) is mode


def test_er_wants_errors_and_su_wants_success() -> None:
    on_error, on_success = er7.peek(incoming(accept=b"ER")), er7.peek(incoming(accept=b"SU"))
    assert (v2ack.wanted(on_error, "CA"), v2ack.wanted(on_error, "CE")) == (False, True)
    assert (v2ack.wanted(on_success, "CA"), v2ack.wanted(on_success, "CR")) == (True, False)


@pytest.mark.parametrize("body", [b"nonsense", b"", b"MSH||LAB|OUH|X|Y|2026||ADT^A01|77|P|2.4\r", b"MSH"])
def test_even_bytes_that_cannot_be_read_get_an_answer_that_can(body: bytes) -> None:
    answer = er7.parse(v2ack.acknowledge(body, "AR", now=NOW, control_id="S1", text="unreadable"), "utf-8")
    assert answer.segment("MSA").raw(1) == "AR"
    assert answer.segment("MSA").raw(2) == ("77" if b"77" in body else "")


def test_a_batch_is_answered_with_a_batch() -> None:
    batch = er7.peek_batch(b"BHS|^~\\&|A|B|C|D|2026||||B-1\rMSH|^~\\&|\rBTS|1\r")
    assert batch is not None
    answer = v2ack.acknowledge_batch(batch, [b"MSH|^~\\&|\rMSA|AA|1\r"], now=NOW, control_id="S9")
    assert answer == b"BHS|^~\\&|C|D|A|B|20261025023000.000+0100||||S9|B-1\rMSH|^~\\&|\rMSA|AA|1\rBTS|1\r"
