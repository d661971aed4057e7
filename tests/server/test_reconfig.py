"""A reconfig between the request and the reply: what Prep asks for, leaves behind, and answers."""

from __future__ import annotations

import pytest

from pyzk.auth.provider import AuthId
from pyzk.config.server import ServerConfig
from pyzk.constants import ErrorCode, OpCode
from pyzk.data.paths import CONFIG
from pyzk.data.txn import decode_txn
from pyzk.errors import BadVersion, NewConfigNoQuorum
from pyzk.jute.archive import encode_buffer
from pyzk.jute.records import ACL, ErrorTxn, ReconfigRequest, SetDataRequest, SetDataTxn
from pyzk.server.prep import Prep
from pyzk.server.reply import encode_applied
from pyzk.server.request import Request
from tests.world import World

ENABLED = ServerConfig(reconfig_enabled=True)
SUPER = (AuthId("super", ""),)
REQUEST = ReconfigRequest(None, "3", None, -1)


def planned(request: ReconfigRequest, zxid: int) -> bytes:
    return f"server.1=a:1:2;3\nversion={zxid:x}".encode()


class Preparing:
    """A Prep that is handed requests; nothing is logged or applied."""

    def __init__(self, config: ServerConfig = ENABLED, plan: object = planned) -> None:
        self.world = World(config)
        self.connection = self.world.connect().connection
        session = self.connection.session
        assert session is not None
        self.session = session
        self.prep = Prep(self.world.server, plan)  # type: ignore[arg-type]

    def err(
        self,
        opcode: int = OpCode.RECONFIG,
        record: object = REQUEST,
        ids: tuple[AuthId, ...] = SUPER,
    ) -> int:
        self.request = Request(self.connection, self.session, 1, opcode, record, ids, 0)
        self.body = decode_txn(self.prep.prepare(self.request)).body
        return self.body.err if isinstance(self.body, ErrorTxn) else 0


def test_the_transaction_has_the_text_that_was_planned() -> None:
    preparing = Preparing()
    digest = preparing.world.tree.digest
    assert preparing.err() == 0
    text = planned(REQUEST, preparing.request.zxid)
    assert preparing.body == SetDataTxn(CONFIG, text, -1)
    assert preparing.request.type == OpCode.RECONFIG
    assert preparing.request.digest == digest, "the znode is below /zookeeper/"


def test_the_overlay_has_the_znode_as_it_will_be() -> None:
    preparing = Preparing()
    assert preparing.err(ids=()) == ErrorCode.NO_AUTH
    assert preparing.err() == 0
    node = preparing.prep.changes.nodes[CONFIG]
    assert (node.version, node.mzxid, node.mtime) == (
        -1,
        preparing.request.zxid,
        preparing.request.time,
    )
    assert node.data == preparing.body.data  # type: ignore[union-attr]
    set_data = SetDataRequest(CONFIG, b"x", 7)
    assert preparing.err(OpCode.SET_DATA, set_data) == ErrorCode.BAD_VERSION


@pytest.mark.parametrize("error", [BadVersion, NewConfigNoQuorum])
def test_an_error_of_the_plan_comes_before_that_of_the_acl(error: type[Exception]) -> None:
    def fails(request: ReconfigRequest, zxid: int) -> bytes:
        raise error

    preparing = Preparing(plan=fails)
    assert preparing.err(ids=()) == error.code  # type: ignore[attr-defined]
    assert CONFIG not in preparing.prep.changes.nodes


def test_nothing_changes_for_who_may_not_write() -> None:
    preparing = Preparing()
    assert preparing.err(ids=()) == ErrorCode.NO_AUTH
    assert CONFIG not in preparing.prep.changes.nodes


def test_an_acl_may_allow_it() -> None:
    preparing = Preparing()
    tree = preparing.world.tree
    tree._set_acl(tree.nodes[CONFIG], [ACL(2, "world", "anyone")])
    assert preparing.err(ids=()) == 0


def test_disabled_comes_before_the_session() -> None:
    preparing = Preparing(ServerConfig())
    preparing.world.server.sessions.mark_closing(preparing.session.session_id)
    assert preparing.err() == ErrorCode.RECONFIG_DISABLED


def test_the_session_comes_before_the_plan() -> None:
    preparing = Preparing(plan=None)
    assert preparing.err() == ErrorCode.UNIMPLEMENTED
    preparing.world.server.sessions.mark_closing(preparing.session.session_id)
    assert preparing.err() == ErrorCode.SESSION_EXPIRED


def test_a_text_that_no_log_can_hold_is_refused() -> None:
    def plans_much(request: ReconfigRequest, zxid: int) -> bytes:
        return b"h" * (1 << 21)

    preparing = Preparing(plan=plans_much)
    assert preparing.err() == ErrorCode.BAD_ARGUMENTS
    assert CONFIG not in preparing.prep.changes.nodes


def test_the_reply_is_the_text_and_the_stat() -> None:
    preparing = Preparing()
    assert preparing.err() == 0
    request = preparing.request
    tree = preparing.world.tree
    applied = tree.apply(request, request.body, request.foretold)
    reply = encode_applied(5, request.zxid, applied)
    node = tree.nodes[CONFIG]
    assert node.data is not None
    assert reply[20:] == encode_buffer(node.data) + node.encode_stat()
    assert (node.version, node.mzxid) == (-1, request.zxid)
