"""Small files by HTTP, within a time and a size: lists of revoked certificates, answers of OCSP.

Shell. It waits for the network, so it runs beside the loop. urllib's own limit holds for each read,
so that who sends a byte now and then would keep a thread for ever; here a watch ends the connection
when the time for the whole answer is over. How long a name may take that is looked up is the
resolver's matter.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import urllib.error
import urllib.request
from functools import partial
from types import TracebackType
from typing import Any, Final, cast

USER_AGENT: Final = "pyzk"


def fetch(
    place: str,
    *,
    limit_bytes: int,
    timeout_s: float,
    body: bytes | None = None,
    content_type: str = "",
) -> bytes:
    """Return what is at ``place``, an address of http, https or file; with ``body`` it is asked for
    by POST. Raises TimeoutError if it is not there in time, another OSError if it cannot be had,
    ValueError if it is longer than ``limit_bytes``, or no answer of HTTP."""
    headers = {"User-Agent": USER_AGENT}
    if content_type:
        headers["Content-Type"] = content_type
    request = urllib.request.Request(place, body, headers)  # noqa: S310 - see _opener
    with _Watch(timeout_s) as watch:
        try:
            with _opener(watch).open(request, timeout=timeout_s) as answer:
                content: bytes = answer.read(limit_bytes + 1)
                is_cut = bool(getattr(answer, "length", None))
        except urllib.error.HTTPError as error:
            error.close()
            raise OSError(f"HTTP status {error.code}") from None
        except (OSError, http.client.HTTPException) as error:
            watch.check()
            raise _plain(error) from None
        watch.check()  # an end that the watch has made may look like that of the answer
    if len(content) > limit_bytes:
        raise ValueError(f"longer than {limit_bytes} bytes")
    if is_cut:
        raise ValueError("no answer of HTTP: its end is missing")
    return content


def _plain(error: OSError | http.client.HTTPException) -> OSError | ValueError:
    """Return what lies behind an error of urllib."""
    if isinstance(error, urllib.error.URLError):
        return error.reason if isinstance(error.reason, OSError) else OSError(str(error.reason))
    return error if isinstance(error, OSError) else ValueError("no answer of HTTP")


class _Watch:
    """Ends a connection when its time is over."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._timer = threading.Timer(timeout_s, self._end)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._is_late = False

    def __enter__(self) -> _Watch:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._sock = None

    def take(self, sock: socket.socket) -> None:
        """Watch this connection from now on. Raises TimeoutError if it is too late."""
        with self._lock:
            self._sock = sock
        self.check()

    def check(self) -> None:
        """Raises TimeoutError if the time is over."""
        with self._lock:
            if self._is_late:
                raise TimeoutError(f"no answer within {self._timeout_s:g} s")

    def _end(self) -> None:
        with self._lock:
            self._is_late = True
            if self._sock is not None:
                with contextlib.suppress(OSError):
                    # Not the method of an SSLSocket, which another thread is reading from.
                    socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


class _Connection(http.client.HTTPConnection):
    """A connection that tells the watch of its socket."""

    def __init__(self, *arguments: Any, watch: _Watch, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._watch = watch

    def connect(self) -> None:
        """Connect, and be watched."""
        super().connect()
        self._watch.take(self.sock)


class _SecureConnection(http.client.HTTPSConnection):
    """A connection by TLS that tells the watch of its socket."""

    def __init__(self, *arguments: Any, watch: _Watch, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._watch = watch

    def connect(self) -> None:
        """Connect, and be watched."""
        super().connect()
        self._watch.take(self.sock)


class _Handler(urllib.request.HTTPHandler):
    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._make = partial(_Connection, watch=watch)

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(cast("Any", self._make), req)


class _SecureHandler(urllib.request.HTTPSHandler):
    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._make = partial(_SecureConnection, watch=watch)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(cast("Any", self._make), req)


def _opener(watch: _Watch) -> urllib.request.OpenerDirector:
    """Return what opens places of http, https and file, and no others, whatever a redirection
    says."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        _Handler(watch),
        _SecureHandler(watch),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.FileHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener
