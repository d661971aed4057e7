"""conformance/mixed/exercise.py: a session that goes from member to member as a client does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.frames import Client, ClosedError
from conformance.mixed.ensemble import Ensemble
from conformance.mixed.exercise import move
from conformance.mixed.members import MixedError, MixedMember
from conformance.servers import pyzk_launcher

SEEN = 7
SESSION = 0x77


class FakeChannel:
    """A connection that only knows whether it is closed."""

    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


class FakeClient(Client):
    """A connection to a FakeMember."""

    def __init__(self, member: FakeMember) -> None:
        self.member = member
        self.address = member.address
        self.channel = FakeChannel()  # type: ignore[assignment]
        self.session, self.password = SESSION, b""
        self.last_zxid, self.xid = 0, 0

    def connect(
        self,
        timeout_ms: int = 10000,
        session: int = 0,
        password: bytes = bytes(16),
        last_zxid: int = 0,
        read_only: bool | None = False,
    ) -> bool:
        member = self.member
        member.attempts += 1
        if member.wrongly or last_zxid > member.at:
            member.at += member.progress
            raise ClosedError("no answer to the connect request")
        return session == SESSION


class FakeMember(MixedMember):
    """A member that is at some zxid, and gets further with each attempt."""

    at = SEEN
    progress = 1
    wrongly = False
    attempts = 0

    def connection(self, timeout: float = 10.0) -> Client:
        return FakeClient(self)

    def zxid(self) -> int:
        return self.at


class FakeEnsemble(Ensemble):
    """Members without processes."""

    @property
    def running(self) -> list[MixedMember]:
        return list(self.members.values())


@pytest.fixture
def ensemble(tmp_path: Path) -> Iterator[Ensemble]:
    made = FakeEnsemble([])
    for sid in (1, 2, 3):
        made.members[sid] = FakeMember(sid, pyzk_launcher(), tmp_path)
    yield made
    made.cleanup()


def member_of(ensemble: Ensemble, sid: int) -> FakeMember:
    member = ensemble[sid]
    assert isinstance(member, FakeMember)
    return member


def client_of(ensemble: Ensemble, sid: int) -> Client:
    client = FakeClient(member_of(ensemble, sid))
    client.last_zxid = SEEN
    return client


def test_a_member_that_is_not_behind_takes_the_session(ensemble: Ensemble) -> None:
    again = move(ensemble, ensemble[2], client_of(ensemble, 1))
    assert again.address == ensemble[2].address
    assert (again.session, again.last_zxid) == (SESSION, SEEN)
    assert [member_of(ensemble, sid).attempts for sid in (1, 2, 3)] == [0, 1, 0]


def test_a_member_that_lags_is_asked_again_after_another_server(ensemble: Ensemble) -> None:
    member_of(ensemble, 2).at = SEEN - 2
    again = move(ensemble, ensemble[2], client_of(ensemble, 1))
    assert again.address == ensemble[2].address
    assert [member_of(ensemble, sid).attempts for sid in (1, 2, 3)] == [1, 3, 1]


def test_a_member_that_has_seen_as_much_must_not_refuse(ensemble: Ensemble) -> None:
    member_of(ensemble, 2).wrongly = True
    with pytest.raises(MixedError, match="is at 0x7 and refuses who has seen 0x7"):
        move(ensemble, ensemble[2], client_of(ensemble, 1))


def test_a_member_that_lags_for_good_is_waited_for_no_longer(ensemble: Ensemble) -> None:
    member_of(ensemble, 2).at, member_of(ensemble, 2).progress = 0, 0
    with pytest.raises(MixedError, match="did not take a session up"):
        move(ensemble, ensemble[2], client_of(ensemble, 1), timeout=0.01)
