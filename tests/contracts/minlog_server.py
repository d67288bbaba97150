"""A registration service that behaves as NSP's MinLog2 is described to: SOAP in, partial failure out, its schema kept.

It refuses a request that is not valid by the XML schema or has more than 500 entries with a SOAP fault, answers 503 when told
to, and says of some entries that they failed.
"""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from lxml import etree

from gateway.audit.minlog import NAMESPACE
from tests.corpus import SHARED

SCHEMA = SHARED / "terminology" / "nsp-minlog2" / "minlog2-registration_20250312.xsd"


class MinlogServer:
    """`taken` is every entry that was added, as {element: text}; `refuse` says the fault code of an entry, '' to take it."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.requests: list[int] = []
        self.faults: list[str] = []
        self.down = False
        self.refuse: Any = lambda _: ""
        self.schema = etree.XMLSchema(etree.parse(str(SCHEMA)))
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, answer = server.answer(body)
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._http.server_port}/minlog2"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, body: bytes) -> tuple[int, bytes]:
        if self.down:
            return 503, b"away"
        (request,) = etree.fromstring(body).find("{http://schemas.xmlsoap.org/soap/envelope/}Body")
        document = etree.ElementTree(etree.fromstring(etree.tostring(request)))
        entries = document.getroot().findall("LogDataEntry/Destination")
        if not self.schema.validate(document) or len(entries) > 500:
            self.faults.append(str(self.schema.error_log))
            return 500, b"<soap:Fault/>"
        self.requests.append(len(entries))
        failed = []
        for entry in entries:
            told: dict[str, Any] = {}
            for child in entry:
                told.setdefault(child.tag, []).append((child.text, dict(child.attrib)))
            if fault := self.refuse(told):
                failed.append((fault, told["SequenceNumber"][0][0]))
            else:
                self.taken.append(told)
        said = "".join(
            f"<FailedLogDataEntries><FaultCode>{fault}</FaultCode><FaultText>no</FaultText><SequenceNumber>{number}"
            "</SequenceNumber></FailedLogDataEntries>"
            for fault, number in failed
        )
        added = len(entries) - len(failed)
        return 200, (
            '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
            f'<m:RegistrationResponse xmlns:m="{NAMESPACE}">{said}<NumberAdded>{added}</NumberAdded>'
            f"<NumberFailed>{len(failed)}</NumberFailed></m:RegistrationResponse></s:Body></s:Envelope>"
        ).encode()
