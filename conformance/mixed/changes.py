"""Changes of the members of a live ensemble, each of them while kazoo clients work.

Shell.

The last of the voters leads at first.  After each change every server must serve in its role and
have the configuration, in memory and on its disk; the clients must get on with their work.  In the
end no session was lost, and all servers have the same trees and logs.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from conformance import wire
from conformance.frames import Client
from conformance.mixed import changed
from conformance.mixed.changing import FOR_NOW, ChangingEnsemble, ChangingMember
from conformance.mixed.load import Load
from conformance.mixed.members import MixedMember, check, eventually, implementation
from conformance.mixed.transaction_logs import sound_hosts
from pyzk.runtime.free_ports import free_port


class Changes:
    """An ensemble whose members change under load, and how it went."""

    def __init__(
        self,
        names: Sequence[str],
        prepare: Mapping[int, Callable[[ChangingMember], None]] | None = None,
    ) -> None:
        """Makes the members by their names; ``prepare`` says what is done with some of them before
        the start."""
        self.ensemble = ChangingEnsemble([implementation(name) for name in names])
        for sid, change in (prepare or {}).items():
            change(self.ensemble[sid])
        self.load: Load | None = None
        self.led_by: list[int] = []
        """Who led after each change."""

    def __enter__(self) -> Changes:
        try:
            self.ensemble.start(leader=len(self.ensemble.members))
            self.load = Load(self.ensemble.hosts)
            self.load.start()
            self.settled()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def pause(self) -> None:
        """Lets the clients wait, with their sessions."""
        assert self.load is not None
        self.load.pause()

    def resume(self) -> None:
        """Lets the clients go on."""
        assert self.load is not None
        self.load.resume()

    def settled(self) -> None:
        """Checks that all serve as the configuration says, and that the clients work."""
        assert self.load is not None
        self.load.use(self.ensemble.hosts)
        changed.settle(self.ensemble)
        self.led_by.append(self.ensemble.leader().sid)
        self.load.progress()

    def finish(self) -> str:
        """Ends the clients' work and compares all servers; returns a few words."""
        assert self.load is not None
        words = self.load.finish(sound_hosts(self.ensemble))
        led_by = ", ".join(map(str, self.led_by))
        return f"{words}; led by {led_by}; {changed.all_agree(self.ensemble)}"

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            error.add_note(f"led by {self.led_by}, configuration:\n{self.ensemble.text}")
        if self.load is not None:
            self.load.close()
        self.ensemble.__exit__(kind, error, trace)


def come_and_go(names: Sequence[str], newcomers: Sequence[str]) -> str:
    """An observer and a participant are added; the observer becomes a voter; members go."""
    first, second = (implementation(name) for name in newcomers)
    with Changes(names) as run:
        ensemble = run.ensemble
        ensemble.come(4, first, is_observer=True)
        ensemble.reconfig(join=[4])
        run.settled()
        ensemble[4].is_observer = False
        ensemble.reconfig(join=[4], through=1)
        run.settled()
        ensemble.come(5, second)
        ensemble.reconfig(join=[5], through=4)
        run.settled()
        # Who is no member goes on serving until it is stopped.
        ensemble.reconfig(leave=[1], through=5)
        run.settled()
        ensemble.leave(1)
        # One that goes, one that becomes an observer, and a former member that comes back empty.
        ensemble.come(1, implementation(names[0]))
        ensemble[4].is_observer = True
        ensemble.reconfig(join=[1, 4], leave=[2])
        run.settled()
        ensemble.leave(2)
        ensemble.reconfig(leave=[4])
        run.settled()
        ensemble.leave(4)
        return run.finish()


def leader_leaves(names: Sequence[str]) -> str:
    """The leader is removed, follows the others until it is added again, and so each in turn."""
    with Changes(names) as run:
        ensemble = run.ensemble
        for _ in names:
            leader = ensemble.leader().sid
            ensemble.reconfig(leave=[leader])
            run.settled()
            check(run.led_by[-1] != leader, f"member {leader} leads, and is no member")
            ensemble.reconfig(join=[leader])
            run.settled()
        return run.finish()


def move(names: Sequence[str]) -> str:
    """A follower and the leader get other ports, one after the other and all at once."""
    with Changes(names) as run:
        ensemble = run.ensemble
        for ports in (["client"], ["election"], ["quorum"], ["client", "election", "quorum"]):
            leader = ensemble.leader()
            follower = next(member for member in ensemble.running if member is not leader)
            for member in (follower, leader):
                _move(run, ensemble[member.sid], ports)
        # The new ports are good for an election, too.
        leader = ensemble.leader()
        leader.kill()
        ensemble.wait_serving()
        ensemble.start_member(leader.sid)
        run.settled()
        return run.finish()


def _move(run: Changes, member: ChangingMember, ports: list[str]) -> None:
    """Gives a member other ports. Connections to an old one for clients live on, unless the member
    leads no longer."""
    was_leader = run.ensemble.leader() is member
    staying = member.new_session()
    before = member.address
    member.move(**dict.fromkeys(ports, True))
    run.ensemble.reconfig(join=[member.sid])
    run.settled()
    is_leader = run.ensemble.leader() is member
    if "quorum" not in ports:
        check(is_leader == was_leader, f"{member} moved its {ports}, and leads {is_leader}")
    if is_leader == was_leader:
        answer = staying.call("exists", wire.path_watch("/"))
        check(not answer.err, f"{member} moved its {ports}; an old connection: {answer.err}")
    if "client" in ports:
        try:
            Client(before, 2).channel.close()
        except OSError:
            return
        check(False, f"{member} still listens for clients at {before}")


def change_roles(names: Sequence[str]) -> str:
    """A follower becomes an observer and a voter again; the leader does, too."""
    with Changes(names) as run:
        ensemble = run.ensemble
        for is_leader in (False, True):
            leader = ensemble.leader()
            member = next(one for one in ensemble.running if (one is leader) == is_leader)
            for is_observer in (True, False):
                member.is_observer = is_observer
                ensemble.reconfig(join=[member.sid])
                run.settled()
        return run.finish()


def weigh(names: Sequence[str]) -> str:
    """Groups and weights come, change, and go; a member without weight counts for nothing."""
    with Changes(names) as run:
        ensemble = run.ensemble
        sids = sorted(ensemble.members)
        group = f"group.1={':'.join(map(str, sids))}"
        ensemble.replace(sids, [group, *(f"weight.{sid}=1" for sid in sids)])
        run.settled()
        heavy = ensemble.leader().sid
        weights = {sid: 3 if sid == heavy else 1 for sid in sids}
        ensemble.replace(sids, [group, *(f"weight.{sid}={weights[sid]}" for sid in sids)])
        run.settled()
        # The heavy one is a quorum by itself.
        light = [ensemble[sid] for sid in sids if sid != heavy]
        for member in light:
            member.kill()
        ensemble.touch()
        for member in light:
            ensemble.start_member(member.sid)
        run.settled()
        weights = {sid: 0 if sid == min(sids) else 1 for sid in sids}
        ensemble.replace(sids, [group, *(f"weight.{sid}={weights[sid]}" for sid in sids)])
        run.settled()
        ensemble.replace(sids)
        run.settled()
        return run.finish()


CROWD: Final = 4
"""How many changes each administrator makes."""


def back_to_back(names: Sequence[str]) -> str:
    """Administrators at all members add and remove observers, which never come, without a pause:
    one change after the other, or a refusal."""
    with Changes(names) as run:
        ensemble = run.ensemble
        versions: list[int] = []
        troubles: list[BaseException] = []
        refused: list[int] = []

        def administer(member: MixedMember) -> None:
            try:
                client = ensemble.administrator(member.sid)
                for number in range(CROWD):
                    sid = 10 * member.sid + number // 2
                    ports = ":".join(str(free_port()) for _ in range(2))
                    client_port = free_port()
                    line = f"server.{sid}=127.0.0.1:{ports}:observer;127.0.0.1:{client_port}"
                    joining, leaving = (None, str(sid)) if number % 2 else (line, None)
                    body = wire.reconfig(joining, leaving, None)
                    while (answer := client.call("reconfig", body)).err in FOR_NOW:
                        refused.append(answer.err)
                    check(not answer.err, f"{body!r} through {member}: error {answer.err}")
                    versions.append(answer.zxid)
                client.close_session()
            except BaseException as error:
                troubles.append(error)

        threads = [
            threading.Thread(target=administer, args=(member,)) for member in ensemble.running
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if troubles:
            raise troubles[0]
        check(len(set(versions)) == len(names) * CROWD, f"versions given: {versions}")
        ensemble.version = max(versions)
        run.settled()
        return f"{len(versions)} changes, {len(refused)} refused; {run.finish()}"


PROPOSED: Final = "proposed"
"""Only the leader has logged the change; it never was."""
LOGGED: Final = "logged"
"""The other voters have logged it, too, and the leader does not know; it must come true."""
COMMITTED: Final = "committed"
"""The leader has told the client that it is done, and the others do not know."""


def under_way(names: Sequence[str], newcomer: str, stage: str) -> str:
    """The leader is killed while member 4 is being added, and comes back later."""
    with Changes(names) as run:
        ensemble = run.ensemble
        # Voters that know the change only from their logs need its quorum, too. The original may
        # get none if that takes the newcomer, which a restart has made forget the change.
        ensemble.come(4, implementation(newcomer), is_observer=stage == COMMITTED)
        leader, before = ensemble.leader(), ensemble.version
        others = [member for member in ensemble.running if member is not leader]
        _interrupt(ensemble, leader, others, stage)
        if stage != LOGGED:
            # What has been sent to them is lost; the newcomer starts with a first zoo.cfg, as its
            # own is now one that it is not in.
            for member in others:
                member.kill()
            ensemble[4].forget()
            for member in others:
                if member.sid != 4 or stage == PROPOSED:
                    ensemble.start_member(member.sid)
        ensemble.wait_serving()
        found = changed.said(ensemble.leader())[2]
        check((found != before) == (stage != PROPOSED), f"version {found:x} after {before:x}")
        ensemble.version = found
        if stage != PROPOSED:
            ensemble.lines[4] = ensemble[4].server_line()
        run.settled()
        ensemble.start_member(leader.sid)
        if stage == PROPOSED:
            # What only this one has proposed stays on its disk until the next change.
            changed.wait_roles(ensemble)
            ensemble.reconfig(join=[4])
        elif stage == COMMITTED:
            ensemble.start_member(4)
        run.settled()
        return run.finish()


def _interrupt(
    ensemble: ChangingEnsemble, leader: MixedMember, others: Sequence[MixedMember], stage: str
) -> None:
    """Has the leader propose member 4, and kills it at a stage of this. What is sent to a stopped
    process waits for it in its sockets."""
    line = f"server.4={ensemble[4].server_line()}"
    client = ensemble.administrator(leader.sid)
    for member in others:
        member.signal(signal.SIGSTOP)
    xid = client.send("reconfig", wire.reconfig(line, None, None))
    _wait_logged([leader], line)
    if stage != PROPOSED:
        leader.signal(signal.SIGSTOP)
        for member in others:
            member.signal(signal.SIGCONT)
        # A leader of pyzk tells the newcomer only when it knows that a voter has it.
        told = [each for each in others if each.sid != 4 or not leader.is_pyzk]
        _wait_logged(told, line)
    if stage == COMMITTED:
        for member in others:
            member.signal(signal.SIGSTOP)
        leader.signal(signal.SIGCONT)
        answer = client.receive()
        check((answer.xid, answer.err) == (xid, 0), f"the change was answered: {answer}")
    leader.kill()


def _wait_logged(members: Sequence[MixedMember], text: str) -> None:
    """Waits until members have a text in their last log."""
    for member in members:
        eventually(f"{member} logs the change", partial(_has_logged, member, text), 10)


def _has_logged(member: MixedMember, text: str) -> bool:
    last = list(member.files("log"))[-1]
    return text.encode() in last.read_bytes()
