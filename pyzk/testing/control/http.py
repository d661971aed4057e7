"""An HTTP endpoint for `ControlApi`: faults on demand for tests in any language.

Shell. It uses http.server of the standard library, with a thread for each connection, on 127.0.0.1
only. A web page that a developer happens to have open must not reach it: the Host header has to
name this machine (against DNS rebinding), and a body has to be application/json, for which a
browser asks permission first and gets none.

    POST /fail {"operation": "create", "error": "NodeExists"}   ->   200 {"fault": "1", ...}
    POST /fial {}                                               ->   404 {"error": "unknown ..."}
"""

from __future__ import annotations

import json
import logging
import socketserver
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar, Final, NoReturn, Self
from urllib.parse import parse_qsl

from pyzk import __version__
from pyzk.errors import PyzkError
from pyzk.testing.control.api import ControlApi, Json, UnknownEndpointError, WrongMethodError
from pyzk.testing.errors import FixtureError, NotRunningError
from pyzk.testing.server import ZooKeeperServer

log = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
MAX_BODY_BYTES: Final = 64 << 20
"""The most bytes of a body, enough to load a tree."""
_MAX_DIGITS: Final = 20
"""The most digits of a Content-Length."""
MAX_CONNECTIONS: Final = 64
"""A connection beyond this number is closed at once, as each has a thread."""
IDLE_S: Final = 300.0
"""How long a connection may be idle."""
_LOCAL_NAMES: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})


class _RefusedError(Exception):
    """A request that does not get as far as `ControlApi`."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class ControlEndpoint:
    """Serves from the start to the end of its ``with`` block."""

    def __init__(self, server: ZooKeeperServer, port: int = 0) -> None:
        self.api = ControlApi(server)
        self._port = port
        self._http: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The URL, without a slash at the end."""
        return f"http://{HOST}:{self._port}"

    def __enter__(self) -> Self:
        try:
            self._http = _Server(self._port, self.api)
        except OSError as error:
            raise FixtureError(
                f"cannot listen on {HOST}:{self._port}: {error.strerror or error};"
                " 0 takes a free port"
            ) from error
        self._port = self._http.server_address[1]
        # It checks every 0.05 s whether it should end.
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.05,), name="pyzk-control", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._http is not None and self._thread is not None:
            self._http.shutdown()
            self._http.server_close()
            self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # The end does not wait for clients that keep their connections.
    block_on_close = False

    def __init__(self, port: int, api: ControlApi) -> None:
        self.api = api
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__((HOST, port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer.server_bind would ask the DNS for the name of this machine.
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Json, client_address: Json) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            log.warning("more than %d connections to the control port", MAX_CONNECTIONS)
            self.shutdown_request(request)

    def process_request_thread(self, request: Json, client_address: Json) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Json, client_address: Json) -> None:
        # A client that leaves in the middle of a request is no error.
        log.debug("control: connection of %s broke", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = f"pyzk/{__version__}"
    sys_version = ""
    timeout: ClassVar[float | None] = IDLE_S
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        try:
            self._check_host()
            path, _, query = self.path.partition("?")
            if self.command == "POST":
                arguments = self._read_arguments()
            else:
                arguments = dict(parse_qsl(query))
                if {"Content-Length", "Transfer-Encoding"} & set(self.headers.keys()):
                    # The body of a GET is not read, and must not be taken for a request.
                    self.close_connection = True
            assert isinstance(self.server, _Server)
            self._send(HTTPStatus.OK, self.server.api.call(self.command, path, arguments))
        except _RefusedError as error:
            # The body is not read, so no other request can follow.
            self.close_connection = True
            self._send(error.status, {"error": str(error)})
        except (PyzkError, TimeoutError) as error:
            self._send(_status(error), {"error": str(error)})
        except Exception as error:
            log.exception("control: %s %s: this is a bug in pyzk", self.command, self.path)
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": repr(error)})

    def _check_host(self) -> None:
        host = self.headers.get("Host", "")
        name, _, port = host.rpartition(":")
        if not port.isdecimal():
            name = host
        if name.lower() not in _LOCAL_NAMES:
            raise _RefusedError(
                HTTPStatus.FORBIDDEN, f"Host is {host!r}; it must name this machine: 127.0.0.1"
            )

    def _read_arguments(self) -> dict[str, Json]:
        body = self._read_body()
        if not body.strip():
            return {}
        try:
            arguments = json.loads(body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise FixtureError(f"the body is not JSON: {error}") from None
        if not isinstance(arguments, dict):
            raise FixtureError("the body is not a JSON object; arguments are given by name")
        return arguments

    def _read_body(self) -> bytes:
        kind = self.headers.get_content_type() if "Content-Type" in self.headers else "missing"
        if kind != "application/json":
            raise _RefusedError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type is {kind}, not application/json"
            )
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or "Transfer-Encoding" in self.headers:
            raise _RefusedError(HTTPStatus.LENGTH_REQUIRED, "a Content-Length is required")
        if len(length) > _MAX_DIGITS or int(length) > MAX_BODY_BYTES:
            raise _RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"a body has at most {MAX_BODY_BYTES} bytes, this one {length[:_MAX_DIGITS]}",
            )
        try:
            body = self.rfile.read(int(length))
        except TimeoutError:
            body = b""
        if len(body) < int(length):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, f"the body has less than {length} bytes")
        return body

    def _send(self, status: HTTPStatus, answer: dict[str, Json]) -> None:
        body = json.dumps(answer).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what http.server itself refuses in the form of all other errors."""
        self.close_connection = True
        status = HTTPStatus(code)
        if status == HTTPStatus.NOT_IMPLEMENTED:
            status = HTTPStatus.METHOD_NOT_ALLOWED
        self._send(status, {"error": message or status.phrase})

    def log_message(self, format: str, *args: object) -> None:
        log.debug("control: " + format, *args)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a value of JSON")


def _status(error: Exception) -> HTTPStatus:
    if isinstance(error, UnknownEndpointError):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, WrongMethodError):
        return HTTPStatus.METHOD_NOT_ALLOWED
    if isinstance(error, NotRunningError):
        return HTTPStatus.CONFLICT
    if isinstance(error, TimeoutError):
        return HTTPStatus.REQUEST_TIMEOUT
    return HTTPStatus.BAD_REQUEST
