"""Drives a peer: carries out what it wants, in one order, for every world.

Pure. A world (the real server, the simulator, a test) gives a peer its inputs, and has the effects
of `quorum.contract`. It calls ``flush`` behind each input that is not the last of a turn, and at
the end of a turn ``end_turn``:

    flush      clients are written to; then, if there are commands, those that save a configuration
               are carried out, the log is handed out, and the others are carried out
    end_turn   the same, then links to other members, then the log, then the timer; then the next
               piece of what the peer has not finished, and the next clients that have watch events

What comes in one turn goes together: one write for each client and link and one batch for the disk.
Each write of its own would wake every other member (scripts/bench, set 50x1). The log goes last:
before that its thread would only wake to wait for the GIL. Where that pays although it costs more,
the world calls ``hand_over``.

What is long is done in pieces, one a turn, between which other clients are served (`server.marks`).
A piece has whole transactions, and their events are in the ``out`` of each client at once, ahead of
all replies to come: only the system calls are put off. A client is written to early if it has a
reply.

An effect may raise; then no later effect happens. This lets a world stop between any two effects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyzk.quorum.commands import (
    CloseElection,
    DialElection,
    DialLeader,
    ListenForClients,
    ListenForElections,
    ListenForLearners,
    ListenForObservers,
    SaveConfig,
    SendVote,
    StopListening,
    StopListeningForObservers,
    StorageCommand,
)
from pyzk.server.outbox import Command, SaslStep, TakeSnapshot

if TYPE_CHECKING:
    from pyzk.quorum.contract import Effects, MemberEffects
    from pyzk.quorum.peer import Peer

MANY_ANSWERED: Final = 8
"""With so many clients whose reads are answered in a turn the log waits for no other turn. Each
adds about 15 us to it."""
_NEVER_MS: Final = 1 << 62


class Driver:
    """Carries out the outbox of one peer."""

    def __init__(
        self,
        peer: Peer,
        effects: Effects,
        member_effects: MemberEffects | None = None,
        gathering_turns: int = 0,
    ) -> None:
        """Takes the peer and its world. ``member_effects`` is None for a server that stands
        alone. The log waits for up to ``gathering_turns`` turns while writes keep coming."""
        self._peer: Peer = peer
        self._effects: Effects = effects
        self._member_effects: MemberEffects | None = member_effects
        self._gathering_turns: int = gathering_turns
        self._gathered: int = 0
        """How many records were waiting when the last turn ended."""
        self._turns: int = 0
        """For how many turns the waiting records have been held back."""
        self._last_batch: int = 0
        """How many records were handed out last."""
        self._is_turn_open: bool = False
        self._armed_ms: int = _NEVER_MS
        """When the timer goes off."""
        self._due_ms: int = _NEVER_MS
        """When it should go off, which may not be in the past."""
        self._is_telling: bool = False
        """Whether clients that have events wait for the end of the turn."""
        self._is_closing: bool = False

    def start(self, *, wants_snapshot: bool = False) -> None:
        """Starts the peer."""
        self._peer.start(wants_snapshot=wants_snapshot)
        self.flush()
        self._arm()

    def wake(self) -> None:
        """Wakes the peer: the time of the last ``wake_at`` has come."""
        self._armed_ms = _NEVER_MS
        self._peer.metrics.jvm_pause_time_ms.add(max(0, self._peer.clock.now_ms - self._due_ms))
        self._peer.wake()
        self.flush()
        self._arm()

    def close(self) -> None:
        """Hands out the log, unless it is abandoned; from now on only clients are written to. What
        is unfinished is done now: the disk may have nothing more to answer."""
        if not self._is_closing:
            self._append()
            self._is_closing = True
            outbox = self._peer.outbox
            if outbox.told or outbox.is_unfinished:
                self._is_telling = False  # no further turn ends: what is left is done now
                self.flush()

    def abandon(self) -> None:
        """Hands out nothing more: the state is in doubt, or what is not durable is meant to be
        lost."""
        self._is_closing = True
        self._peer.outbox.is_unfinished = False

    def flush(self) -> None:
        """Carries out what an input has led to, but for what waits for the end of the turn."""
        peer = self._peer
        outbox = peer.outbox
        while self._is_closing and outbox.is_unfinished:
            outbox.is_unfinished = False  # no further turn ends
            peer.go_on()
        peer.flush()
        effects = self._effects
        if outbox.dirty:
            for connection in outbox.take_dirty():
                connection.is_dirty = connection.is_told = False
                effects.write(connection)
        if outbox.told and not self._is_telling:
            self._tell()
        if self._is_closing:
            return
        if outbox.commands:
            commands = outbox.take_commands()
            for command in commands:
                if isinstance(command, SaveConfig):  # ahead of the record that proposes it
                    self._carry_out(command)
            self._append()
            for command in commands:
                if not isinstance(command, SaveConfig):
                    self._carry_out(command)
        if not self._is_turn_open and (
            outbox.log or outbox.links or outbox.told or outbox.is_unfinished or peer.moves_deadline
        ):
            self._is_turn_open = True
            effects.end_turn_soon()

    def hand_over(self) -> None:
        """Hands out the log before the turn ends, for the disk to sync it meanwhile."""
        if not self._is_closing:
            self._append()

    def end_turn(self) -> None:
        """Carries out what the inputs of a whole turn have led to.

        The clients that have just been answered send their next writes at about the same time. A
        sync for the first of them would only make the others wait for a second one (scripts/bench,
        set 50x1: 33 -> 39 thousand a second). A write that comes alone, as the one before it did,
        waits for nobody. And a turn is long when many clients read: no write waits for their reads
        while the disk is idle.
        """
        if self._is_closing:
            return
        answered = len(self._peer.outbox.dirty)
        self._is_turn_open = True  # and is not to be ended once more
        self.flush()
        self._is_turn_open = False
        outbox = self._peer.outbox
        member = self._member_effects
        if member is not None and outbox.links:
            for link in outbox.take_links():
                link.is_dirty = False
                member.send(link)
        count = len(outbox.log)
        if (
            count > self._gathered
            and self._turns < self._gathering_turns
            and answered < MANY_ANSWERED
            and (count > 1 or self._last_batch > 1)
        ):
            self._gathered = count
            self._turns += 1
            self._is_turn_open = True
            self._effects.end_turn_soon()
        else:
            self._append()
            if self._peer.deadline < self._armed_ms:
                self._arm()
        if outbox.told or outbox.is_unfinished:
            self._go_on()

    def _go_on(self) -> None:
        """Does the next piece of what is done in pieces."""
        outbox = self._peer.outbox
        if outbox.is_unfinished:
            outbox.is_unfinished = False
            self._peer.go_on()
        self._is_telling = False
        self.flush()

    def _tell(self) -> None:
        """Writes the watch events of some clients; of all, if no further turn will end."""
        told = self._peer.outbox.told
        count = len(told)
        if not self._is_closing:
            count = min(count, self._peer.server.marks.told_at_once)
        for _ in range(count):
            connection = told.popleft()
            if connection.is_told:
                connection.is_told = False
                self._effects.write(connection)
        self._is_telling = bool(told)

    def _append(self) -> None:
        self._gathered = self._turns = 0
        outbox = self._peer.outbox
        if outbox.log:
            self._last_batch = len(outbox.log)
            self._effects.append(outbox.take_log(), outbox.log_zxid)

    def _arm(self) -> None:
        self._armed_ms = self._peer.deadline
        self._due_ms = max(self._armed_ms, self._peer.clock.now_ms)
        self._effects.wake_at(self._armed_ms)

    def _carry_out(self, command: Command) -> None:
        if isinstance(command, TakeSnapshot):
            self._effects.take_snapshot(self._peer.database)
            return
        if isinstance(command, SaslStep):
            command.start()
            return
        member = self._member_effects
        assert member is not None, command
        if isinstance(command, StorageCommand):
            member.order(command)
        elif isinstance(command, DialLeader):
            member.dial_leader(command)
        elif isinstance(command, ListenForLearners):
            member.listen_for_learners(command)
        elif isinstance(command, StopListening):
            member.stop_listening()
        elif isinstance(command, ListenForObservers):
            member.listen_for_observers(command)
        elif isinstance(command, StopListeningForObservers):
            member.stop_listening_for_observers()
        elif isinstance(command, ListenForElections):
            member.listen_for_elections(command)
        elif isinstance(command, ListenForClients):
            member.listen_for_clients(command)
        elif isinstance(command, DialElection):
            member.dial_election(command)
        elif isinstance(command, SendVote):
            member.send_vote(command.link, command.data)
        else:
            assert isinstance(command, CloseElection), command
            member.close_election(command.link)
