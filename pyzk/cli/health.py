"""`pyzk health`: whether one server is alive, or ready, as a probe wants to know it.

Shell. A server of pyzk on this machine is asked at a socket of its own, `runtime/health_socket.py`:
that works with TLS, too, and is none of the connections that maxClientCnxns allows. Any other
ZooKeeper is asked for `srvr`, the word that is always allowed, at its client port; an admin port is
asked by HTTP. A probe runs every few seconds, so this imports as little as it can: no asyncio, and
ssl only for TLS. ZooKeeper: zkServer.sh status
"""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from pyzk.cli.client_addresses import DEFAULT_PORT, ClientAddress, parse_addresses
from pyzk.cli.number import timeout_option
from pyzk.cli.output import JSON, output_option, print_json, print_out
from pyzk.cli.tls_flags import TLS_NAMES, TLS_OPTIONS
from pyzk.exit_codes import HealthCode
from pyzk.runtime.health_names import names_for

if TYPE_CHECKING:
    import ssl

ADMIN_PORT: Final = 8080
"""The port of an admin server where its URL names none."""
_LIVE: Final = "live"
_READY: Final = "ready"
_PATHS: Final = {_LIVE: "/livez", _READY: "/readyz"}
_MAX_ANSWER: Final = 1 << 20
_LOOPBACK: Final = "127.0.0.1"


class Found(NamedTuple):
    """What is known of a server."""

    code: int
    """One of HealthCode."""
    said: str
    """What it is, or what is wrong with it."""
    asked: str = "srvr"
    """How it was asked: local, srvr or http."""
    checks: tuple[dict[str, Any], ...] = ()
    """What a server of pyzk has looked at."""


class _NoAnswerError(Exception):
    """Nobody answers; the text says why."""


class _TurnedAwayError(_NoAnswerError):
    """The other side ends the connection without a word."""


class _Patience:
    """The time that is left for everything together."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end_s = time.monotonic() + seconds

    def left_s(self) -> float:
        """Return the seconds that are left. Raises TimeoutError."""
        left = self._end_s - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def __str__(self) -> str:
        return f"{self._seconds:g} s"


def ask(
    target: str, question: str, timeout_s: float, tls: ssl.SSLContext | None = None
) -> tuple[str, Found]:
    """Ask a server; return where it was asked, and what is known. Raises ValueError if ``target``
    is no address."""
    patience = _Patience(timeout_s)
    scheme, mark, rest = target.partition("://")
    if mark:
        if scheme not in ("http", "https") or not rest or "/" in rest.removesuffix("/"):
            raise ValueError(f"{target}: expected http://HOST:PORT, without a path, or https://")
        return target, _guarded(patience, lambda: _ask_http(target, question, patience, tls))
    addresses = parse_addresses(target)
    if len(addresses) > 1:
        raise ValueError("one server is asked; pyzk status asks all of an ensemble")
    where = addresses[0]
    found = None if tls is not None else _ask_here(where, question, patience)
    if found is None:
        found = _guarded(patience, lambda: _ask_srvr(where, question, patience, tls))
    return str(where), found


def _guarded(patience: _Patience, call: Any) -> Found:
    """Return what a call finds, or that nobody answers."""
    try:
        found = call()
    except (OSError, _NoAnswerError) as error:
        return Found(HealthCode.NO_ANSWER, _reason(error, patience))
    assert isinstance(found, Found)
    return found


def _reason(error: Exception, patience: _Patience) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {patience}"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: nothing listens there"
    if "ssl" in sys.modules and isinstance(error, OSError):
        from pyzk.cli.access import explain_tls

        if (text := explain_tls(error)) is not None:
            return text
    return getattr(error, "strerror", None) or str(error)


# --- at the socket of this machine ----------------------------------------------------


def _ask_here(where: ClientAddress, question: str, patience: _Patience) -> Found | None:
    """Ask the server of this machine that takes clients at an address; None if there is none, or
    if it has too many visitors."""
    if sys.platform != "linux":
        return None
    host, is_loopback = _address(where.host)
    for name in names_for(host, where.port, is_loopback=is_loopback):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(patience.left_s())
            try:
                sock.connect(name)
            except OSError:
                continue
            try:
                found = _exchange_http(sock, _LOOPBACK, question, patience)
            except (_TurnedAwayError, BrokenPipeError, ConnectionResetError):
                return None
            except (OSError, _NoAnswerError) as error:
                found = Found(HealthCode.NO_ANSWER, _reason(error, patience))
            return found._replace(asked="local")
    return None


def _address(host: str) -> tuple[str, bool]:
    """Return a host's address, and whether that is of the loopback. Names are left alone: to look
    one up may take long."""
    if host == "localhost":
        return _LOOPBACK, True
    return host, host.startswith("127.") or host == "::1"


# --- by HTTP --------------------------------------------------------------------------


def _ask_http(url: str, question: str, patience: _Patience, tls: ssl.SSLContext | None) -> Found:
    scheme, _, rest = url.partition("://")
    (where,) = parse_addresses(rest, ADMIN_PORT)
    if scheme == "https" and tls is None:
        from pyzk.cli.access import client_context

        tls = client_context()
    with _connected(where, patience, tls if scheme == "https" else None) as sock:
        return _exchange_http(sock, str(where), question, patience)._replace(asked="http")


def _exchange_http(sock: socket.socket, host: str, question: str, patience: _Patience) -> Found:
    request = f"GET {_PATHS[question]} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    sock.sendall(request.encode())
    answer = _read_all(sock, patience)
    if not answer:
        raise _TurnedAwayError("it closes the connection without an answer")
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.partition(b"\r\n")[0].split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise _NoAnswerError("what answers does not talk HTTP")
    return _read_verdict(int(words[1]), body)


def _read_verdict(status: int, body: bytes) -> Found:
    import json

    try:
        told = json.loads(body)
        checks = tuple(told["checks"])
        failed = [f"{each['name']}: {each['detail']}" for each in checks if not each["ok"]]
        role = str(told["role"])
    except (ValueError, KeyError, TypeError):
        raise _NoAnswerError(f"what answers is no server of pyzk (status {status})") from None
    if status == 200:
        return Found(HealthCode.HEALTHY, role, checks=checks)
    return Found(HealthCode.NOT_READY, "; ".join(failed) or role, checks=checks)


# --- at the client port ---------------------------------------------------------------


def _ask_srvr(
    where: ClientAddress, question: str, patience: _Patience, tls: ssl.SSLContext | None
) -> Found:
    with _connected(where, patience, tls) as sock:
        sock.sendall(b"srvr")
        text = _read_all(sock, patience).decode("utf-8", "replace")
    if text.startswith("This ZooKeeper instance is not currently serving"):
        code = HealthCode.HEALTHY if question == _LIVE else HealthCode.NOT_READY
        why = "it has no leader yet, or no quorum; its log says what it waits for"
        return Found(code, f"it does not serve: {why}")
    if not text.startswith("Zookeeper version: ") or "\nMode: " not in text:
        raise _NoAnswerError(_what_else(text))
    mode = text.partition("\nMode: ")[2].partition("\n")[0]
    if mode == "read-only" and question == _READY:
        return Found(HealthCode.NOT_READY, "it serves reads only: it has lost the quorum")
    return Found(HealthCode.HEALTHY, mode)


def _what_else(text: str) -> str:
    if text.startswith("\x15\x03"):
        return "it takes TLS only at this port: --tls"
    if text:
        return f"its answer to srvr is not ZooKeeper's: {text[:60]!r}"
    return (
        "it closes the connection without an answer: this is not the client port of a ZooKeeper,"
        " or it has too many connections from here (maxClientCnxns), or it takes TLS only (--tls)"
    )


def _connected(
    where: ClientAddress, patience: _Patience, tls: ssl.SSLContext | None
) -> socket.socket:
    sock = socket.create_connection(where, timeout=patience.left_s())
    if tls is None:
        return sock
    sock.settimeout(patience.left_s())
    try:
        return tls.wrap_socket(sock, server_hostname=where.host)
    except BaseException:
        sock.close()
        raise


def _read_all(sock: socket.socket, patience: _Patience) -> bytes:
    """Return what comes until the other side ends. Raises OSError, and _NoAnswerError for what does
    not end."""
    parts: list[bytes] = []
    size = 0
    while size <= _MAX_ANSWER:
        sock.settimeout(patience.left_s())
        try:
            part = sock.recv(1 << 16)
        except ConnectionResetError:
            part = b""
        except OSError as error:
            if parts and type(error).__name__ == "SSLEOFError":
                part = b""  # a server may never say goodbye in TLS
            else:
                raise
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
    raise _NoAnswerError("its answer does not end; this is not a ZooKeeper")


# --- the command ----------------------------------------------------------------------


@click.command("health")
@click.argument("server", required=False, metavar="[HOST:PORT | URL | ZOO_CFG]")
@click.option(
    "--ready", is_flag=True, help="Does it serve, with a quorum and a disk that gets on? (default)"
)
@click.option("--live", is_flag=True, help="Does it answer at all?")
@output_option
@timeout_option("How long everything may take.")
def command(
    server: str | None,
    ready: bool,
    live: bool,
    output: str,
    timeout_s: float,
    **tls_options: Any,
) -> None:
    """Tell whether one server is ready, or alive; pyzk's or Apache ZooKeeper's.

    Without SERVER it is the one of this machine at port 2181; URL is http:// or https:// and the
    place of an admin port. Codes: 0 yes, 1 it answers and is not ready, 2 wrong arguments, 3 no
    answer.
    """
    if ready and live:
        raise click.UsageError("--ready and --live are two questions; ask one")
    question = _LIVE if live else _READY
    target = _target(server)
    try:
        where, found = ask(target, question, timeout_s, _tls(tls_options))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    is_well = found.code == HealthCode.HEALTHY
    if output == JSON:
        print_json(
            {
                "server": where,
                "question": question,
                "healthy": is_well,
                "exit_code": found.code,
                "asked": found.asked,
                "detail": found.said,
                "checks": list(found.checks),
            }
        )
    else:
        print_out(f"{where} is {'' if is_well else 'not '}{question}: {found.said}\n")
    raise SystemExit(found.code)


for _option in reversed(TLS_OPTIONS):
    command = _option(command)


def _tls(options: dict[str, Any]) -> ssl.SSLContext | None:
    """Return what the options of TLS say, or end the process with one line."""
    if not options["tls"] and not any(options[name] for name in TLS_NAMES):
        return None
    from pyzk.cli.access import AccessError
    from pyzk.cli.access_options import AccessOptions
    from pyzk.cli.sources import fail

    try:
        return AccessOptions(**options).read().tls
    except AccessError as error:
        fail(str(error))


def _target(server: str | None) -> str:
    """Return the server that is meant; a file is a `zoo.cfg`, which says where it takes clients."""
    if server is None:
        return f"{_LOOPBACK}:{DEFAULT_PORT}"
    if ":" in server or not os.path.isfile(server):
        return server
    from pyzk.cli.sources import load

    config = load(server)
    host, port = config.client_port_address, config.client_port
    if port is None:
        host, port = config.secure_client_port_address, config.secure_client_port
    if not port:
        raise click.UsageError(f"{server} lets the server take any free port; give HOST:PORT")
    return str(ClientAddress(host or _LOOPBACK, port))
