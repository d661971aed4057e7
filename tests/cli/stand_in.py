"""An ensemble that is none: ports that answer what `pyzk members` asks, as Apache's servers do.

It has a configuration and no data. Reconfigurations are taken without a quorum or an election; what
goes wrong is what a test says. The answers are those that real servers gave (3.9.3).
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs
from click.testing import CliRunner, Result

from pyzk.cli import main
from pyzk.config.members import Membership, QuorumServer, config_text, parse_membership
from pyzk.constants import ErrorCode, OpCode
from pyzk.jute.records import (
    ACL,
    AuthPacket,
    ClientInfo,
    ConnectRequest,
    ConnectResponse,
    GetACLResponse,
    GetDataResponse,
    ReconfigRequest,
    Stat,
    WhoAmIResponse,
)

SRVR = """\
Zookeeper version: 3.9.3-c26634f34490bb0ea7a09cc51e05ede3b4e320ee, built on 2024-10-17 23:21 UTC
Latency min/avg/max: 3/3.5/4
Received: 18
Sent: 18
Connections: 1
Outstanding: 0
Zxid: {zxid:#x}
Mode: {mode}
Node count: 13
"""
PASSWORD = "super:secret"
NOT_SERVING = "not serving"


class Port:
    """A port of 127.0.0.1 whose connections are served by one function."""

    def __init__(self, serve: Callable[[socket.socket], None], port: int = 0) -> None:
        self._serve = serve
        self._socket = socket.create_server(("127.0.0.1", port))
        self.number = int(self._socket.getsockname()[1])
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._handle, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _handle(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, struct.error):
            self._serve(connection)

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._threads[0].join()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()


@attrs.define
class StandInServer:
    """One server: a client port, an election port, and what it says of itself."""

    sid: int
    client: Port
    election: Port
    mode: str
    zxid: int
    claimed_id: int | None
    """The id that `conf` shows; None: the word is not allowed."""
    secure_port: int = -1
    """What `conf` shows as secureClientPort; -1 as in the original means that there is none."""
    is_fixed: bool = False
    """Whether it goes by version 0 of the configuration."""
    is_full: bool = False
    """Whether it gives no client a session, as the ensemble's `is_full`."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.client.number}"

    def line(self, role: str = "participant") -> str:
        """What stands behind `server.N=`; the quorum port is below those of the system."""
        ports = f"{2000 + self.sid}:{self.election.number}"
        return f"127.0.0.1:{ports}:{role};{self.address}"


class StandIn:
    """An ensemble; a context manager."""

    def __init__(self) -> None:
        self.servers: dict[int, StandInServer] = {}
        self.membership = Membership((), 0x100000000)
        self.requests: list[ReconfigRequest] = []
        self.zxid = 0x100000007
        self.refusal: int | None = None
        """The error code with which every reconfiguration is answered."""
        self.loses: str = ""
        """Whether the connection is lost `before` or `after` a reconfiguration is made."""
        self.is_full = False
        """Whether no client gets a session."""
        self.sessions = 0
        """How many sessions were asked for."""
        self.tells_identities = True
        """Whether whoAmI is answered, as by 3.7 and later."""
        self.is_open = False
        """Whether anybody may change the configuration."""
        self.then: Callable[[], None] = lambda: None
        """What happens behind each reconfiguration that is made."""

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers.values():
            server.client.close()
            server.election.close()

    def start(self, sid: int, mode: str = "follower", zxid: int | None = None) -> StandInServer:
        """Starts a server, which is no member yet."""
        client = Port(lambda connection: self._serve(sid, connection))
        election = Port(lambda connection: None)
        at = self.zxid if zxid is None else zxid
        self.servers[sid] = StandInServer(sid, client, election, mode, at, sid)
        return self.servers[sid]

    def form(self, voters: int, observers: int = 0, extra: str = "") -> StandIn:
        """Starts members; server 1 leads."""
        lines = []
        for sid in range(1, voters + observers + 1):
            mode = "leader" if sid == 1 else "follower" if sid <= voters else "observer"
            server = self.start(sid, mode)
            role = "participant" if sid <= voters else "observer"
            lines.append(f"server.{sid}={server.line(role)}")
        text = "\n".join([*lines, extra, "version=100000000"])
        self.membership = parse_membership(text.encode())
        return self

    @property
    def connect_string(self) -> str:
        return ",".join(server.address for server in self.servers.values())

    def stop(self, sid: int) -> None:
        """Ends a server; its ports are closed."""
        self.servers[sid].client.close()
        self.servers[sid].election.close()

    # --- the client port --------------------------------------------------------------

    def _serve(self, sid: int, connection: socket.socket) -> None:
        server = self.servers[sid]
        head = _exactly(connection, 4)
        if head.isalpha():
            connection.sendall(self._word(server, head.decode()).encode())
            return
        self.sessions += 1
        if server.mode == NOT_SERVING or self.is_full or server.is_full:
            return
        asked, _ = ConnectRequest.decode(_exactly(connection, struct.unpack(">i", head)[0]), 0, 44)
        _send(connection, ConnectResponse(0, asked.timeout_ms, 0x10000, bytes(16), False).encode())
        identities: list[str] = []
        while True:
            (length,) = struct.unpack(">i", _exactly(connection, 4))
            request = _exactly(connection, length)
            xid, opcode = struct.unpack_from(">ii", request)
            error, body = self._answer(server, opcode, request[8:], identities)
            if opcode == OpCode.RECONFIG and self.loses:
                return
            _send(connection, struct.pack(">iqi", xid, self.zxid, error) + body)
            if opcode == OpCode.CLOSE_SESSION or error == ErrorCode.UNIMPLEMENTED:
                return

    def _word(self, server: StandInServer, word: str) -> str:
        if server.mode == NOT_SERVING:
            return "This ZooKeeper instance is not currently serving requests\n"
        if word == "srvr":
            return SRVR.format(zxid=server.zxid, mode=server.mode)
        if word == "conf" and server.claimed_id is not None:
            ids = f"secureClientPort={server.secure_port}\nserverId={server.claimed_id}\n"
            return f"{ids}membership: \n{self._text(server)}"
        return f"{word} is not executed because it is not in the whitelist.\n"

    def _text(self, server: StandInServer) -> str:
        """Return the configuration that a server shows."""
        shown = attrs.evolve(self.membership, version=0) if server.is_fixed else self.membership
        return config_text(shown) if shown.members else ""

    def _answer(
        self, server: StandInServer, opcode: int, body: bytes, identities: list[str]
    ) -> tuple[int, bytes]:
        text = self._text(server).encode()
        stat = Stat(0, self.membership.version, 0, 0, -1, 0, -1, 0, len(text), 0, 0)
        if opcode == OpCode.AUTH:
            packet, _ = AuthPacket.decode(body, 0, len(body))
            identities.append((packet.auth or b"").decode())
        elif opcode == OpCode.GET_DATA:
            return ErrorCode.OK, GetDataResponse(text, stat).encode()
        elif opcode == OpCode.GET_ACL:
            perms = 31 if self.is_open else 1
            return ErrorCode.OK, GetACLResponse([ACL(perms, "world", "anyone")], stat).encode()
        elif opcode == OpCode.WHO_AM_I:
            if not self.tells_identities:
                return ErrorCode.UNIMPLEMENTED, b""
            scheme = "super" if PASSWORD in identities else "digest"
            known = [ClientInfo("ip", "127.0.0.1"), ClientInfo(scheme, "")]
            return ErrorCode.OK, WhoAmIResponse(known).encode()
        elif opcode == OpCode.SYNC:
            return ErrorCode.OK, body
        elif opcode == OpCode.RECONFIG:
            asked, _ = ReconfigRequest.decode(body, 0, len(body))
            error = self._reconfigure(asked, identities)
            made = config_text(self.membership).encode()
            return error, b"" if error else GetDataResponse(made, stat).encode()
        return ErrorCode.OK, b""

    def _reconfigure(self, asked: ReconfigRequest, identities: list[str]) -> int:
        self.requests.append(asked)
        if self.refusal is not None:
            return self.refusal
        if asked.cur_config_id != self.membership.version:
            return ErrorCode.BAD_VERSION
        if not self.is_open and PASSWORD not in identities:
            return ErrorCode.NO_AUTH
        if self.loses == "before":
            return ErrorCode.OK
        self.zxid += 1
        self.membership = attrs.evolve(self._next(asked), version=self.zxid)
        for member in self.membership.members:
            server = self.servers.get(member.sid)
            if server is not None and server.mode in ("follower", "observer"):
                server.mode = "observer" if member.is_observer else "follower"
        self.then()
        return ErrorCode.OK

    def _next(self, asked: ReconfigRequest) -> Membership:
        if asked.new_members:
            return parse_membership(asked.new_members.replace(",", "\n").encode())
        members: dict[int, QuorumServer] = {m.sid: m for m in self.membership.members}
        for sid in (asked.leaving_servers or "").split(","):
            members.pop(int(sid or -1), None)
        joining = parse_membership((asked.joining_servers or "").replace(",", "\n").encode())
        members |= {member.sid: member for member in joining.members}
        return Membership(tuple(members[sid] for sid in sorted(members)))


def _exactly(connection: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        part = connection.recv(length - len(found))
        if not part:
            raise OSError("closed")
        found += part
    return found


def _send(connection: socket.socket, payload: bytes) -> None:
    connection.sendall(struct.pack(">i", len(payload)) + payload)


# --- the command ----------------------------------------------------------------------

AUTH = f"--auth=digest:{PASSWORD}"


def run(ensemble: StandIn | str, *arguments: str, **options: Any) -> Result:
    """Runs a command of `pyzk members`, which asks server 1."""
    servers = ensemble if isinstance(ensemble, str) else ensemble.servers[1].address
    command, *others = arguments
    return CliRunner().invoke(main, ["members", command, "-s", servers, *others], **options)


def change(ensemble: StandIn, *arguments: str, **options: Any) -> Result:
    """Runs a command as the superuser."""
    return run(ensemble, *arguments, AUTH, **options)


def asked(ensemble: StandIn) -> list[tuple[str | None, str | None, str | None]]:
    """Returns what was asked for: (joining, leaving, new members)."""
    return [
        (each.joining_servers, each.leaving_servers, each.new_members) for each in ensemble.requests
    ]
