"""An OCSP responder on loopback that answers right, wrong, or never."""

from __future__ import annotations

import base64
import threading
import urllib.parse
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from tests.certificates import Issued

GOOD: Final = ocsp.OCSPCertStatus.GOOD
REVOKED: Final = ocsp.OCSPCertStatus.REVOKED
UNKNOWN: Final = ocsp.OCSPCertStatus.UNKNOWN


def answer(
    question: bytes,
    signer: Issued,
    issuer: Issued,
    status: ocsp.OCSPCertStatus = GOOD,
    *,
    age_s: float = 0.0,
    left_s: float | None = 3600.0,
    certificates: Sequence[x509.Certificate] = (),
    by_key: bool = False,
    serial: int | None = None,
    revoked_days_ago: float = 1.0,
) -> bytes:
    """The answer to a question, as DER. ``signer`` signs it, for ``issuer``, who has signed the
    certificate; it is ``age_s`` old and good for ``left_s`` more, None for no end; ``serial`` is
    that of another certificate than the one that was asked about."""
    asked = ocsp.load_der_ocsp_request(question)
    now = datetime.now(UTC)
    kind = ocsp.OCSPResponderEncoding.HASH if by_key else ocsp.OCSPResponderEncoding.NAME
    builder = ocsp.OCSPResponseBuilder()
    builder = builder.add_response_by_hash(
        asked.issuer_name_hash,
        asked.issuer_key_hash,
        asked.serial_number if serial is None else serial,
        asked.hash_algorithm,
        status,
        now - timedelta(seconds=age_s),
        None if left_s is None else now + timedelta(seconds=left_s),
        now - timedelta(days=revoked_days_ago) if status is REVOKED else None,
        None,
    ).responder_id(kind, signer.certificate)
    if certificates:
        builder = builder.certificates(certificates)
    signed = builder.sign(signer.key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


def refusal(status: ocsp.OCSPResponseStatus) -> bytes:
    """An answer that is none, as DER."""
    built = ocsp.OCSPResponseBuilder.build_unsuccessful(status)
    return built.public_bytes(serialization.Encoding.DER)


Say = Callable[[bytes], bytes | int | None]
"""Returns the answer to a question: DER, or a status of HTTP, or None to say nothing until the
responder is closed."""


class Responder:
    """A responder, whose places say different things: the first part of a path chooses."""

    def __init__(self) -> None:
        self.says: dict[str, Say] = {}
        """The first part of a path -> what is said there."""
        self.asked: list[tuple[str, str, bytes]] = []
        """(method, the first part of the path, question) of each question."""
        self._closing = threading.Event()
        responder = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                part, _, text = self.path.removeprefix("/").partition("/")
                responder._tell(self, part, base64.b64decode(urllib.parse.unquote(text)))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                responder._tell(self, self.path.strip("/"), body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def _tell(self, handler: BaseHTTPRequestHandler, part: str, question: bytes) -> None:
        assert handler.command is not None
        self.asked.append((handler.command, part, question))
        said = self.says[part](question)
        if said is None:
            self._closing.wait(60)
        elif isinstance(said, int):
            handler.send_error(said)
        else:
            handler.send_response(200)
            handler.send_header("Content-Type", "application/ocsp-response")
            handler.send_header("Content-Length", str(len(said)))
            handler.end_headers()
            handler.wfile.write(said)

    def ask(self, place: str, question: bytes) -> bytes:
        """What `pyzk.runtime.ocsp.ask` does, without a network and without waiting."""
        part = place.partition("//")[2].partition("/")[2]
        if part not in self.says:
            raise ConnectionRefusedError("Connection refused")
        said = self.says[part](question)
        if said is None:
            raise TimeoutError("no answer in time")
        if isinstance(said, int):
            raise OSError(f"HTTP status {said}")
        return said

    def place(self, part: str, say: Say | None = None) -> str:
        """Returns the address of a place, at which ``say`` is asked."""
        if say is not None:
            self.says[part] = say
        return f"http://127.0.0.1:{self._server.server_port}/{part}"

    def __enter__(self) -> Responder:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
