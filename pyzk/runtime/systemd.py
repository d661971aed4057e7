"""What a service manager and this server tell each other: sd_notify, the watchdog, sockets.

Shell. It is the protocol of systemd, which others speak, too (docs/decisions/0040). The server is
told by environment variables and has one datagram socket to answer on; where there is none, nothing
of this happens, and the module is not imported. The variables are taken out of the environment, so
that no child answers in the name of the server.

ZooKeeper has nothing of the kind.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import socket
import time
from collections.abc import Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from pyzk.errors import ConfigError
from pyzk.outsiders import one_line
from pyzk.runtime.addresses import look_up, pair_of, place
from pyzk.runtime.seams import Seams

if TYPE_CHECKING:
    from pyzk.config.server import ServerConfig

NOTIFY_SOCKET: Final = "NOTIFY_SOCKET"
LISTEN_FDS: Final = "LISTEN_FDS"
_WATCHDOG: Final = "WATCHDOG_USEC"
_ALL: Final = (NOTIFY_SOCKET, LISTEN_FDS, _WATCHDOG, "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDNAMES")

FIRST_DESCRIPTOR: Final = 3
"""The number of the first socket that is handed over."""
CLIENT, SECURE_CLIENT, ADMIN = "client", "secure-client", "admin"
"""The names of sockets, FileDescriptorName= in their units."""
_ANYWHERE: Final = (None, "0.0.0.0", "::")  # noqa: S104 - what zoo.cfg may say
PATIENCE_S: Final = 1.0
"""How long a message that must arrive waits for room in the socket of the manager."""
LOOK_S: Final = 1.0
"""The seconds between two looks at what the server is, for the status."""

_log = logging.getLogger(__name__)


class Notifier:
    """The socket on which the manager is told how the server is."""

    def __init__(self, address: str, watchdog_s: float | None = None) -> None:
        """``address`` is a path, or the name of an abstract socket behind an @. If
        ``watchdog_s`` is given, the manager ends a server from which it has heard nothing for so
        many seconds."""
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._shown = address
        self.watchdog_s = watchdog_s
        self._status: str | None = None
        self._is_gone = False

    def ready(self, status: str) -> None:
        """Tell that the server has started."""
        self._status = status
        self._send(f"READY=1\nSTATUS={one_line(status)}", must_arrive=True)

    def status(self, text: str) -> None:
        """Tell in words what the server is, if that is not what was told last."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={one_line(text)}")

    def alive(self) -> None:
        """Tell that the event loop goes round."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """Tell that the server reads files again, as it was asked to by SIGHUP. `reloaded` follows,
        in any case."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now_us}", must_arrive=True)

    def reloaded(self) -> None:
        """Tell that what was to be read again was read."""
        self._send("READY=1", must_arrive=True)

    def stopping(self, why: str) -> None:
        """Tell that the server ends."""
        self._send(f"STOPPING=1\nSTATUS={one_line(why)}", must_arrive=True)

    def _send(self, text: str, *, must_arrive: bool = False) -> None:
        """Send a message. A manager that does not listen costs a warning, once."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(PATIENCE_S if must_arrive else 0)
                sock.sendto(text.encode("utf-8", "replace"), self._address)
        except BlockingIOError:
            return  # it has more than enough to read; the next one will tell it
        except OSError as error:
            if not self._is_gone:
                self._is_gone = True
                _log.warning(
                    "the service manager cannot be told how the server is: %s: %s",
                    self._shown,
                    error.strerror or error,
                )
            return
        self._is_gone = False


def take_environment(environment: MutableMapping[str, str]) -> dict[str, str]:
    """Take the variables of this protocol out of the environment, and return those that are meant
    for this process."""
    found = {name: environment.pop(name) for name in _ALL if name in environment}
    mine = str(os.getpid())
    if found.get("LISTEN_PID") != mine:
        found.pop(LISTEN_FDS, None)
    if found.get("WATCHDOG_PID", mine) != mine:
        found.pop(_WATCHDOG, None)
    return found


def notifier_of(told: dict[str, str]) -> Notifier | None:
    """Return the socket for answers, or None if there is none that is known here."""
    address = told.get(NOTIFY_SOCKET)
    if not address:
        return None
    if address[0] not in "/@":
        _log.warning("%s=%s: only a path, or a name behind an @, is known", NOTIFY_SOCKET, address)
        return None
    interval = told.get(_WATCHDOG, "")
    if not interval.isdecimal() or int(interval) == 0:
        return Notifier(address)
    return Notifier(address, int(interval) / 1_000_000)


def sockets_of(told: dict[str, str]) -> dict[str, list[socket.socket]]:
    """Return the sockets that were handed over, by their names; those that have none of our names
    are for the client port. Raises ConfigError for what listens for no TCP connections."""
    count = told.get(LISTEN_FDS, "")
    if not count:
        return {}
    if not count.isdecimal():
        raise ConfigError(f"{count!r} is not a number of sockets", key=LISTEN_FDS)
    names = told.get("LISTEN_FDNAMES", "").split(":")
    found: dict[str, list[socket.socket]] = {}
    for index in range(int(count)):
        descriptor = FIRST_DESCRIPTOR + index
        name = names[index] if index < len(names) else ""
        if name not in (SECURE_CLIENT, ADMIN):
            name = CLIENT
        found.setdefault(name, []).append(_listener(descriptor, name))
    return found


def _listener(descriptor: int, name: str) -> socket.socket:
    label = f"descriptor {descriptor} ({name})"
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ConfigError(f"{label}: {error.strerror}", key=LISTEN_FDS) from None
    is_tcp = sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM
    if not is_tcp or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.close()
        raise ConfigError(
            f"{label} takes no TCP connections; the socket unit needs ListenStream=PORT"
            " and Accept=no",
            key=LISTEN_FDS,
        )
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock


def check_places(
    sockets: Sequence[socket.socket],
    host: str | None,
    port: int | None,
    key: str,
    address_key: str,
) -> None:
    """Check that sockets listen where the configuration says: at this port, if it is not 0, and, if
    it names a host, at no other address. Raises ConfigError.

    Other members and clients are told the port by the configuration; and who writes an address
    there relies on it that nobody else can connect.
    """
    for sock in sockets:
        where = pair_of(sock.getsockname())
        if port is None:
            raise ConfigError(f"is not set, but a socket is handed over ({place(*where)})", key=key)
        if port not in (0, where[1]):
            raise ConfigError(
                f"is {port}, but the socket that is handed over listens on {place(*where)}: change"
                " one of them",
                key=key,
            )
        if host not in _ANYWHERE and where[0] not in _addresses(host or "", where[1]):
            raise ConfigError(
                f"is {host}, but the socket that is handed over listens on {place(*where)}: change"
                " one of them",
                key=address_key,
            )


def _addresses(host: str, port: int) -> list[object]:
    try:
        return [address[0] for _, address in look_up(host, port)]
    except OSError:
        return []  # a name that nobody knows is that of no socket


class Served(Protocol):
    """What is told of the server: `pyzk.runtime.main.Runner` has it."""

    @property
    def config(self) -> ServerConfig: ...
    @property
    def client_address(self) -> tuple[str, int]: ...
    @property
    def role(self) -> str: ...


class Manager:
    """The service manager that has started this process: what it has handed over, and what it is
    told from the start to the end."""

    def __init__(
        self, notifier: Notifier | None, sockets: Mapping[str, Sequence[socket.socket]]
    ) -> None:
        self._notifier = notifier
        self._sockets = sockets
        self._look: asyncio.TimerHandle | None = None

    @classmethod
    def of_environment(cls, environment: MutableMapping[str, str]) -> Manager:
        """Return the manager that the environment tells of. Raises ConfigError."""
        told = take_environment(environment)
        return cls(notifier_of(told), sockets_of(told))

    def seams(self, config: ServerConfig) -> Seams | None:
        """Return the sockets that the runner takes over, None if there are none. Raises ConfigError
        if they are not where the configuration says."""
        found = self._sockets
        if not found:
            return None
        check_places(
            found.get(CLIENT, ()),
            config.client_port_address,
            config.client_port,
            "clientPort",
            "clientPortAddress",
        )
        check_places(
            found.get(SECURE_CLIENT, ()),
            config.secure_client_port_address,
            config.secure_client_port,
            "secureClientPort",
            "secureClientPortAddress",
        )
        admin = config.admin
        check_places(
            found.get(ADMIN, ()),
            None if admin is None else admin.host,
            None if admin is None else admin.server_port,
            "admin.serverPort",
            "admin.serverAddress",
        )
        return Seams(
            listeners=found.get(CLIENT),
            secure_listeners=found.get(SECURE_CLIENT),
            admin_listeners=found.get(ADMIN),
        )

    def begin(self, server: Served) -> None:
        """Tell that the server has started, and from then on what it is and that its event loop
        goes round."""
        notifier = self._notifier
        if notifier is None:
            return
        loop = asyncio.get_running_loop()

        def look() -> None:
            notifier.status(describe(server))
            self._look = loop.call_later(LOOK_S, look)

        def watch(half_s: float) -> None:
            notifier.alive()
            loop.call_later(half_s, watch, half_s)

        notifier.ready(describe(server))
        self._look = loop.call_later(LOOK_S, look)
        if notifier.watchdog_s is not None:
            # A loop that hangs is ended by SIGABRT: the log then has where each thread was.
            faulthandler.enable()
            watch(notifier.watchdog_s / 2)

    def reloading(self) -> None:
        """Tell that files are read again; `reloaded` follows in any case."""
        if self._notifier is not None:
            self._notifier.reloading()

    def reloaded(self) -> None:
        """Tell that they were read."""
        if self._notifier is not None:
            self._notifier.reloaded()

    def stopping(self, why: str) -> None:
        """Tell that the server ends, once. Until the loop ends it is said that it goes round."""
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if self._notifier is not None:
            notifier, self._notifier = self._notifier, None
            notifier.stopping(why)


def describe(server: Served) -> str:
    """Return in words what a server is."""
    role = server.role or "looking for a leader"
    ensemble = server.config.ensemble
    who = role if ensemble is None else f"server {ensemble.my_sid}, {role}"
    return f"{who}, clients on {place(*server.client_address)}"
