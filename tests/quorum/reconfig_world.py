"""A leader whose ensemble may change, and what is asked of it."""

from __future__ import annotations

from typing import Any

import attrs

from pyzk.config.members import Membership
from pyzk.constants import OpCode
from pyzk.data.txn import decode_txn
from pyzk.jute.records import Id, ReconfigRequest
from pyzk.quorum import packets
from pyzk.quorum.commands import SaveConfig
from pyzk.quorum.epochs import Epochs
from pyzk.quorum.packets import ForwardedRequest
from pyzk.zxid import make
from tests.quorum.leader_world import LeaderWorld, Learner, membership
from tests.transactions import SESSION, database_of, new_session

SUPER = [Id("super", "")]


def line(sid: int, kind: str = "participant", port: int = 0) -> str:
    port = port or 2000 + 10 * sid
    return f"server.{sid}=127.0.0.1:{port}:{port + 1}:{kind};0.0.0.0:{port + 2}"


def numbered(members: Membership, version: int) -> Membership:
    return attrs.evolve(members, version=version)


class ReconfigWorld(LeaderWorld):
    """A leader with ``reconfigEnabled`` whose ensemble, if it is established, has a version."""

    def __init__(self, members: Membership | None = None, **settings: Any) -> None:
        database = settings.pop("database", None) or database_of([new_session(make(1, 1))])
        config = {"reconfig_enabled": True, **settings.pop("config", {})}
        super().__init__(
            members or numbered(membership(), 5),
            database=database,
            epochs=Epochs(1, 1),
            config=config,
            reconfig_enabled=True,
            **settings,
        )

    def with_learners(self, *sids: int, observers: tuple[int, ...] = ()) -> list[Learner]:
        """Bring learners to UPTODATE, all at the same time."""
        learners = [self.learner(sid) for sid in sids]
        learners += [self.learner(sid, is_observer=True) for sid in observers]
        for learner in learners:
            learner.info(accepted=1)
        for learner in learners:
            learner.ack_epoch(make(1, 1), 1)
        for learner in learners:
            learner.ack_new_leader()
        for learner in learners:
            assert learner.fresh()[-1] == "UPTODATE", learner.got
        return learners

    def late(self, sid: int) -> Learner:
        """Bring one more learner to the wait for UPTODATE, or further."""
        learner = self.learner(sid)
        learner.info(accepted=1)
        learner.ack_epoch(make(1, 1), 1)
        return learner

    @property
    def voters(self) -> list[int]:
        return list(self.member.membership.voters)

    @property
    def saved_configs(self) -> list[tuple[int, bool]]:
        return [
            (each.membership.version, each.is_active)
            for each in self.commands
            if isinstance(each, SaveConfig)
        ]


def reconfig(
    learner: Learner,
    joining: str | None = None,
    leaving: str | None = None,
    members: str | None = None,
    version: int = -1,
    ids: list[Id] = SUPER,
) -> None:
    """Ask for a change in the name of a learner's client."""
    body = ReconfigRequest(joining, leaving, members, version).encode()
    request = ForwardedRequest(SESSION, 1, OpCode.RECONFIG, body, ids)
    learner.send(packets.encode_request(request))


def proposals(learner: Learner) -> list[Any]:
    """The transactions that a follower has been sent."""
    return [
        decode_txn(packets.txn_payload(packet))
        for packet in learner.packets
        if packet.type == packets.PROPOSAL
    ]


def last_txn(learner: Learner) -> Any:
    return proposals(learner)[-1]


def err_of(learner: Learner) -> int:
    """The error of the last transaction that was proposed."""
    txn = last_txn(learner)
    return int(txn.body.err) if txn.header.type == OpCode.ERROR else 0
