"""One server's side of a differential run: its connections, and what came over them.

Shell.

After each command every open connection gets a ping; whatever comes before its answer belongs to
the command, so that watch events are complete without waiting.
"""

from __future__ import annotations

import contextlib

from conformance import wire
from conformance.differential.doors import Door, log_in, plain_token
from conformance.differential.requests import SUPER, Request
from conformance.frames import Address, Client, ClosedError, new_session

Answers = dict[str, list[object]]
"""What each connection has received, in order; what differs between runs is replaced."""

PING_XID = -2
FATAL = ("auth", "sasl", "unknown", "notification", "check")
"""Requests after whose refusal the server closes the connection."""
_ZXIDS = ("zxid", "czxid", "mzxid", "pzxid")
_TIMES = ("ctime", "mtime")


class Slot:
    """A client: a session, and mostly a connection."""

    def __init__(self, number: int, client: Client) -> None:
        self.number = number
        self.label = f"client{number}"
        self.client = client
        self.connected = True
        self.over = False
        self.sent: dict[int, str] = {}


class World:
    """All clients of one example on one server."""

    def __init__(self, name: str, address: Address, door: Door, entrance: Address) -> None:
        """``address`` is the plaintext port; clients come in by the door, at ``entrance``."""
        self.name = name
        self.address = address
        self.door = door
        self.entrance = entrance
        self.slots: list[Slot] = []
        self.sessions: dict[int, str] = {}
        self.base = 0
        self.prefix = ""

    # ----- the frame around an example

    def begin(self, prefix: str) -> object:
        """Creates the example's top node; returns what must be equal on both servers."""
        self.prefix = prefix
        self.slots, self.sessions = [], {}
        admin = self._admin()
        self._remove(admin, prefix)
        self._remove(admin, f"/zookeeper/quota{prefix}")
        made = admin.call("create2", wire.create(prefix))
        self.base = made.zxid
        root = admin.call("getData", wire.path_watch("/"))
        count = admin.call("getAllChildrenNumber", wire.string("/"))
        decoded = wire.decode_reply(root.payload, wire.OPS["getData"])
        admin.close_session()
        self.base += 1
        return self._normal(decoded), count.body.hex()

    def end(self) -> None:
        """Ends all sessions and removes the example's nodes. Raises OSError if a session may be
        left: its end would come into a later example, and on one of the servers first."""
        for slot in self.slots:
            if not slot.over:
                self._end_session(slot)
            slot.client.channel.close()
        self.slots = []
        admin = self._admin()
        self._remove(admin, self.prefix)
        self._remove(admin, f"/zookeeper/quota{self.prefix}")
        admin.close_session()

    def _end_session(self, slot: Slot) -> None:
        if slot.connected:
            with contextlib.suppress(OSError):
                slot.client.call("closeSession")
                return
        client = Client(self.address)
        if client.connect(10000, slot.client.session, slot.client.password):
            client.call("closeSession")
        client.channel.close()

    def _admin(self) -> Client:
        admin = new_session(self.address)
        admin.login(SUPER)
        return admin

    def _remove(self, admin: Client, path: str) -> None:
        answer = admin.call("getChildren", wire.path_watch(path))
        if answer.err:
            return
        for name in wire.Reader(answer.body).strings() or ():
            self._remove(admin, f"{path}/{name}")
        admin.call("delete", wire.path_version(path))

    # ----- commands; each returns what every connection received

    def connect(self, timeout_ms: int, read_only: bool | None) -> Answers:
        """Adds a client."""
        client = self.door.client(self.entrance, len(self.slots))
        client.connect(timeout_ms, read_only=read_only)
        slot = Slot(len(self.slots), client)
        self.sessions[client.session] = slot.label
        self.slots.append(slot)
        entered = self.door.enter(client, slot.number)
        return self._collect({slot.label: [("connected", client.negotiated_ms), *entered]})

    def log_in(self, index: int, user: str, password: str) -> Answers:
        """Lets a client log in by SASL, for the first time or once more."""
        slot = self.slots[index]
        received = log_in(slot.client, user, password)
        last = received[-1]
        if isinstance(last, str) or (isinstance(last, tuple) and last[0]):
            received.append(self._rest(slot.client))
            slot.connected = False
            slot.client.channel.close()
        return self._collect({slot.label: received})

    def drop(self, index: int) -> Answers:
        """Breaks the client's connection; its session goes on."""
        slot = self.slots[index]
        slot.client.channel.close()
        slot.connected = False
        return self._collect({})

    def reattach(self, index: int, wrong: bool, relative_seen: int) -> Answers:
        """Takes up the client's session on a new connection; the old one may still be open."""
        slot = self.slots[index]
        password = b"\xff" * 16 if wrong else slot.client.password
        seen = 0 if relative_seen < 0 else self.base + relative_seen
        received: list[object] = []
        try:
            client = self._reattached(slot, password, seen)
        except ClosedError:
            return self._collect({f"{slot.label} again": ["closed without an answer"]})
        received.append(("reattached", client.negotiated_ms, client.session == slot.client.session))
        if client.negotiated_ms > 0:
            received += self.door.enter(client, slot.number)
        if client.negotiated_ms <= 0:
            received.append(self._rest(client))
            client.channel.close()
            return self._collect({f"{slot.label} again": received})
        old, slot.client = slot.client, client
        client.password = old.password if client.password == old.password else b"changed"
        answers: Answers = {}
        if slot.connected:
            answers[f"{slot.label} before"] = [self._rest(old)]
        slot.connected = True
        old.channel.close()
        answers[slot.label] = received
        return self._collect(answers)

    def _reattached(self, slot: Slot, password: bytes, seen: int) -> Client:
        client = self.door.client(self.entrance, slot.number)
        client.xid = slot.client.xid
        try:
            client.connect(10000, slot.client.session, password, seen)
        except ClosedError:
            client.channel.close()
            raise
        return client

    def _rest(self, client: Client) -> str:
        try:
            frame = client.receive()
        except ClosedError:
            return "closed" if client.channel.eof else "left open"
        return f"an extra frame {frame.payload.hex()}"

    def send(self, index: int, requests: list[Request]) -> Answers:
        """Sends the requests in one piece and reads as many replies."""
        slot = self.slots[index]
        data = b""
        waiting: set[int] = set()
        for request in requests:
            xid = self._xid(slot, request)
            body = request.bytes_for(self.prefix, self.base)
            slot.sent[xid] = request.op
            waiting.add(xid)
            data += wire.frame(wire.request(xid, wire.OPS.get(request.op, 99), body))
        slot.client.channel.send(data)
        received: list[object] = []
        pings = sum(request.op == "ping" for request in requests)
        waiting.discard(PING_XID)
        while waiting or pings:
            got = self._receive(slot, received)
            if got is None:
                break
            waiting.discard(got)
            pings -= got == PING_XID
            if not slot.connected:
                break
        return self._collect({slot.label: received})

    def _xid(self, slot: Slot, request: Request) -> int:
        if request.op == "ping":
            return PING_XID
        slot.client.xid += 1
        return slot.client.xid

    def _receive(self, slot: Slot, received: list[object]) -> int | None:
        """Reads one frame into ``received``; returns its xid, or None when the connection is
        gone."""
        try:
            frame = slot.client.receive()
        except ClosedError as error:
            received.append(str(error))
            slot.connected = False
            slot.client.channel.close()
            return None
        op = wire.OPS.get(slot.sent.get(frame.xid, ""), None)
        try:
            decoded: object = wire.decode_reply(frame.payload, op)
        except wire.WireError as error:
            decoded = {"undecodable": frame.payload.hex(), "why": str(error)}
        received.append(self._normal(decoded))
        sent = slot.sent.get(frame.xid)
        slot.over = slot.over or (sent == "closeSession" and frame.err == 0)
        if slot.over or (sent in FATAL and frame.err):
            # The server closes after this answer, but how soon is a race.
            received.append(self._rest(slot.client))
            slot.connected = False
            slot.client.channel.close()
        return frame.xid

    def _collect(self, answers: Answers) -> Answers:
        """Reads everything else that the command has caused, on every connection."""
        for slot in self.slots:
            if not slot.connected:
                continue
            received = answers.setdefault(slot.label, [])
            slot.client.send("ping", xid=PING_XID)
            while (got := self._receive(slot, received)) is not None:
                if got == PING_XID or not slot.connected:
                    break
        return answers

    # ----- what may differ between two runs

    def _normal(self, value: object, key: str = "") -> object:
        """Returns the decoded frame with relative zxids, and names for times and sessions."""
        if isinstance(value, dict):
            return {name: self._normal(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self._normal(item) for item in value]
        if key == "token" and isinstance(value, str):
            return plain_token(bytes.fromhex(value))
        if key in _TIMES:
            return "zero" if value == 0 else "a time"
        if key in _ZXIDS and isinstance(value, str):
            number = int(value, 16)
            if number >= 1 << 63 or number <= 0:
                return value
            return f"start{number - self.base:+d}" if number >= self.base - 2 else "before"
        if key == "ephemeralOwner" and isinstance(value, str):
            number = int(value, 16)
            return self.sessions.get(number - (1 << 64) * (number >> 63), value)
        return value
