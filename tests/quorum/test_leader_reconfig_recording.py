"""A recorded reconfiguration of the original: each request gets the same answer, and each event."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from pyzk.config.members import parse_membership
from pyzk.constants import OpCode
from pyzk.data.paths import CONFIG
from pyzk.data.txn import decode_txn
from pyzk.jute.packing import pack_int
from pyzk.jute.records import GetDataResponse, Id, SetDataTxn
from pyzk.quorum import packets
from pyzk.quorum.packets import ForwardedRequest
from tests.frames import Reply
from tests.quorum.leader_world import LeaderWorld, Learner
from tests.transactions import SESSION

FILE = Path(__file__).parents[1] / "testdata" / "reconfig" / "ens_reconfig.jsonl.gz"
MTIME = (242, 250)
"""Where it is in a frame with the configuration of three."""


def recorded() -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(FILE.read_bytes()).splitlines()][1:]


def frames(name: str) -> list[dict[str, Any]]:
    """The frames of one client behind its handshake, up to the request that cannot be read."""
    found = [line for line in recorded() if line["conn"] == name and "frame" in line][2:]
    for at, line in enumerate(found):
        if line.get("comment") == "no body":
            return found[:at]
    return found


def body_of(line: dict[str, Any]) -> bytes:
    """The record of a request, or what stands behind the header of a reply."""
    data = bytes.fromhex(line["hex"])
    return data[12:] if line["dir"] == "c2s" else data[20:]


class Replay:
    """Leader 3 of the recording; A's follower is server 1, and B is a client of the leader."""

    def __init__(self) -> None:
        watched = next(line for line in frames("B") if line["dir"] == "s2c")
        text = GetDataResponse.decode(body_of(watched), 0, len(body_of(watched)))[0].data or b""
        members = parse_membership(text.rpartition(b"\n")[0])
        self.world = LeaderWorld(
            members, sid=3, config={"reconfig_enabled": True}, reconfig_enabled=True
        )
        self.followers: list[Learner] = [self.world.learner(1), self.world.learner(2)]
        for follower in self.followers:
            follower.info()
        for follower in self.followers:
            follower.ack_epoch()
        for follower in self.followers:
            follower.ack_new_leader()
        self.ids = [Id("ip", "127.0.0.1")]
        self.request(OpCode.CREATE_SESSION, pack_int(20000))
        self.client = self.world.open()
        self.client.handshake()
        self.acknowledge()
        assert self.client.connect_response() is not None

    def request(self, kind: int, body: bytes) -> None:
        request = ForwardedRequest(SESSION, 1, kind, body, self.ids)
        self.followers[0].send(packets.encode_request(request))
        self.acknowledge()

    def acknowledge(self) -> None:
        for follower in self.followers:
            follower.ack_all()

    def last_txn(self) -> Any:
        told = [each for each in self.followers[0].packets if each.type == packets.PROPOSAL]
        return decode_txn(packets.txn_payload(told[-1]))

    def ask(self, line: dict[str, Any], answer: dict[str, Any]) -> None:
        """Ask what A asked, and compare the transaction with what it was answered."""
        self.request(OpCode.RECONFIG, body_of(line))
        txn = self.last_txn()
        assert txn.header.zxid == int(answer["frame"]["zxid"], 16)
        err = answer["frame"]["err"]
        if err:
            assert (txn.header.type, txn.body.err) == (OpCode.ERROR, err), line
            return
        response = GetDataResponse.decode(body_of(answer), 0, len(body_of(answer)))[0]
        assert txn.body == SetDataTxn(CONFIG, response.data, -1)
        node = self.world.server.tree.nodes[CONFIG]
        stat = response.stat
        assert node.data == response.data
        assert (node.version, node.mzxid, node.pzxid) == (stat.version, stat.mzxid, stat.pzxid)


def test_each_request_is_answered_as_it_was() -> None:
    replay = Replay()
    lines = frames("A")
    asked = 0
    for line in lines:
        frame = line["frame"]
        if line["dir"] != "c2s":
            continue
        if frame["opName"] == "auth":
            replay.ids = [Id("super", ""), *replay.ids]
        if frame["opName"] == "reconfig":
            answer = next(
                each
                for each in lines
                if each["dir"] == "s2c" and each["frame"]["xid"] == frame["xid"]
            )
            replay.ask(line, answer)
            asked += 1
    assert asked == 11
    assert list(replay.world.member.membership.voters) == [1, 2, 3]


def test_the_watcher_is_told_what_it_was() -> None:
    replay = Replay()
    said: list[Reply] = []
    expected: list[Reply] = []
    for line in recorded()[6:]:
        if line.get("comment") == "no body":
            break
        frame = line.get("frame", {})
        if line["dir"] == "s2c" and line["conn"] == "B":
            expected.append(Reply.of(bytes.fromhex(line["hex"])[4:]))
        elif line["dir"] == "c2s" and line["conn"] == "B":
            replay.client.send(bytes.fromhex(line["hex"]))
        elif line["dir"] == "c2s" and frame["opName"] == "auth":
            replay.ids = [Id("super", ""), *replay.ids]
        elif line["dir"] == "c2s" and frame["opName"] == "reconfig":
            replay.request(OpCode.RECONFIG, body_of(line))
        said += replay.client.replies()
    assert len(said) == len(expected) == 9
    for got, wanted in zip(said, expected, strict=True):
        assert (got.xid, got.zxid, got.err) == (wanted.xid, wanted.zxid, wanted.err)
        assert _without_mtime(got) == _without_mtime(wanted)


def _without_mtime(reply: Reply) -> bytes:
    body = reply.body
    if len(body) < 200:
        return body
    return body[: MTIME[0] - 20] + body[MTIME[1] - 20 :]
