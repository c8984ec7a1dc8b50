"""The mail catcher, the collector and what reads their files."""

import http.client
import json
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from io import StringIO
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rich.console import Console

from penguinmails import mailbox, otlp, ports, trace
from penguinmails.collector import RotatedFile

TRACE = bytes(range(16))


@contextmanager
def running(*arguments: str) -> Iterator[int]:
    """A module of ours on a free port, which is yielded."""
    port = ports.random_free(set())
    with subprocess.Popen([sys.executable, "-m", *arguments, "--port", str(port)]) as process:
        try:
            deadline = time.monotonic() + 10
            while ports.is_free(port):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield port
        finally:
            process.terminate()


def test_mail_is_kept_as_it_came(tmp_path: Path) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@x.example", "b@y.example", "Ahoj, světe"
    message.set_content("Open https://x.example/?token=" + "a" * 100 + "\n", cte="8bit")
    catcher = running("penguinmails.mailcatcher", "--maildir", str(tmp_path))
    with catcher as port, smtplib.SMTP("127.0.0.1", port) as client:
        client.send_message(message, to_addrs=["b@y.example", "hidden@y.example"])
    mails = mailbox.read_all(tmp_path)
    assert len(mails) == 1
    parsed = mailbox.parse(mails[0])
    assert parsed["X-Envelope-To"] == "b@y.example, hidden@y.example"
    assert parsed["Subject"] == "Ahoj, světe"
    assert "token=" + "a" * 100 in mailbox.text(mails[0])
    assert mailbox.table(mails).row_count == 1


def _request() -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    for service, name, parent, start in (("gateway", "GET x", b"", 0), ("audit", "ingest", b"\1" * 8, 5)):
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = service
        span = group.scope_spans.add().spans.add(name=name, trace_id=TRACE, parent_span_id=parent)
        span.span_id = b"\1" * 8 if not parent else b"\2" * 8
        span.start_time_unix_nano, span.end_time_unix_nano = start * 10**6, (start + 10) * 10**6
        span.attributes.add(key="http.response.status_code").value.int_value = 200
        span.attributes.add(key="many").value.array_value.values.add(bool_value=True)
        span.links.add(trace_id=TRACE, span_id=b"\3" * 8)
        span.events.add(name="retry")
    return request


def test_spans_are_collected_and_drawn(tmp_path: Path) -> None:
    with running("penguinmails.collector", "--folder", str(tmp_path)) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for path, body in (
            ("/v1/traces", _request().SerializeToString()),
            ("/v1/traces", b"\xff"),
            ("/x", b""),
        ):
            connection.request("POST", path, body, {"content-type": "application/x-protobuf"})
            response = connection.getresponse()
            response.read()
            assert response.status == {"/x": 404}.get(path, 400 if body == b"\xff" else 200)
        connection.close()
    spans = trace.find(tmp_path / "traces.jsonl", TRACE.hex(), patience=2)
    assert [(span.service, span.name) for span in spans] == [("gateway", "GET x"), ("audit", "ingest")]
    drawn = StringIO()
    Console(file=drawn, width=120).print(trace.tree(spans))
    lines = drawn.getvalue().splitlines()
    assert "2 spans of 2 services, 15.0 ms" in lines[0]
    assert "gateway GET x +0.0 ms 10.0 ms" in lines[1]
    assert "audit ingest +5.0 ms 10.0 ms" in lines[2]
    assert lines[2].index("audit") > lines[1].index("gateway")


def test_otlp_json_has_hexadecimal_ids_and_text_numbers() -> None:
    span = otlp.traces(_request().SerializeToString())["resourceSpans"][1]["scopeSpans"][0]["spans"][0]
    assert (span["traceId"], span["parentSpanId"]) == (TRACE.hex(), "01" * 8)
    assert span["startTimeUnixNano"] == "5000000"
    assert span["attributes"][0] == {"key": "http.response.status_code", "value": {"intValue": "200"}}
    assert span["attributes"][1]["value"] == {"arrayValue": {"values": [{"boolValue": True}]}}
    assert span["links"][0]["spanId"] == "03" * 8


def test_files_stay_bounded(tmp_path: Path) -> None:
    file = RotatedFile(tmp_path / "traces.jsonl", limit=100)
    for number in range(50):
        file.append(b"line %02d" % number)
    file.file.close()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 200
    assert (tmp_path / "traces.jsonl").read_bytes().endswith(b"line 49\n")


def test_an_unknown_trace_is_waited_for_no_longer_than_asked(tmp_path: Path) -> None:
    began = time.monotonic()
    assert trace.find(tmp_path / "traces.jsonl", "0" * 32, patience=0.3) == []
    assert time.monotonic() - began < 1


def test_the_beginning_of_an_id_is_enough_and_a_wrong_one_is_helped(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    message = json.dumps(otlp.traces(_request().SerializeToString()), separators=(",", ":"))
    sibling = TRACE.hex()[:6] + "f" * 26
    file.write_text(message + "\n" + message.replace(TRACE.hex(), sibling) + "\n")
    assert len(trace.find_one(file, TRACE.hex(), patience=0)) == 2
    assert {span.name for span in trace.find_one(file, sibling[:7], patience=0)} == {"GET x", "ingest"}
    with pytest.raises(trace.NoSuchTrace, match="2 traces begin with") as several:
        trace.find_one(file, sibling[:6], patience=0)
    assert several.value.others == [f"{TRACE.hex()} gateway GET x", f"{sibling} gateway GET x"]
    with pytest.raises(trace.NoSuchTrace, match="The newest traces") as none:
        trace.find_one(file, "0" * 32, patience=0)
    assert len(none.value.others) == 2
    for wrong in ("xyz", "abc", "a" * 33):
        with pytest.raises(trace.NoSuchTrace, match="no trace id"):
            trace.find_one(file, wrong, patience=0)


@pytest.mark.parametrize("size", [1 << 20, 20 << 20])
def test_the_collector_takes_bodies_up_to_its_limit(tmp_path: Path, size: int) -> None:
    with running("penguinmails.collector", "--folder", str(tmp_path)) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request(
            "POST", "/v1/logs", b"[" + b" " * size + b"]", {"content-type": "application/json"}
        )
        response = connection.getresponse()
        response.read()
        connection.close()
    assert response.status == (200 if size < 16 << 20 else 413)
