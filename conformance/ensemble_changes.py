"""Changes of the members of an ensemble while there are faults, and what must be so after each.

Shell.

One change after the other: members are added, as voters and as observers, removed, moved to other
ports, promoted and demoted, the leader as well.  Who is asked is anybody; what has no answer is
asked again, which changes nothing if it was done.  Once a change is acknowledged it must be what
every member says that is asked behind a sync.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from conformance import wire
from conformance.differential.requests import SUPER
from conformance.ensemble_clients import Worker
from conformance.ensemble_cluster import Cluster, mode
from conformance.ensemble_history import OF_SESSIONS
from conformance.frames import Client, ClosedError, Frame
from conformance.mixed.changing import CONFIG_NODE, FOR_NOW, version_of
from conformance.mixed.members import MixedError, check, eventually

FEWEST_VOTERS: Final = 3
MOST_VOTERS: Final = 5
MOST_OBSERVERS: Final = 2
LONGEST_PAUSE_S: Final = 2.0
ANSWER_S: Final = 5.0
KNOWN_S: Final = 30.0
KINDS: Final = {
    "add a voter": 4,
    "add an observer": 3,
    "remove a voter": 4,
    "remove the leader": 2,
    "remove an observer": 2,
    "replace a voter": 2,
    "move for clients": 2,
    "move for the quorum": 3,
    "move for elections": 3,
    "move all": 2,
    "move the leader": 3,
    "promote": 3,
    "demote": 2,
    "demote the leader": 1,
}
"""Kinds of changes, and how often each comes."""


class Claims:
    """Who has a member for itself: to stop it, or to remove it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: set[int] = set()

    def take(self, *sids: int) -> bool:
        """Takes all of these members; returns False when one of them is taken."""
        with self._lock:
            if self._taken & set(sids):
                return False
            self._taken.update(sids)
            return True

    def give(self, sid: int) -> None:
        """Gives a member back."""
        with self._lock:
            self._taken.discard(sid)

    def free(self, sids: Iterable[int]) -> list[int]:
        """Returns those that nobody has taken."""
        with self._lock:
            return [sid for sid in list(sids) if sid not in self._taken]


class Changer:
    """Changes the members, in a thread of its own."""

    def __init__(
        self,
        cluster: Cluster,
        chance: random.Random,
        claims: Claims,
        workers: Sequence[Worker],
        wanted: int,
    ) -> None:
        self.cluster = cluster
        self.chance = chance
        self.claims = claims
        self.workers = workers
        self.wanted = wanted
        self.counts: Counter[str] = Counter()
        self.refused: Counter[int] = Counter()
        self.unknown = 0
        self.slowest_s = 0.0
        self.log: list[str] = []
        self.trouble = ""
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self._turn = threading.Lock()
        self._next_sid = max(cluster.members) + 1

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.counts.items()))
        refused = ", ".join(f"{count} times {error}" for error, count in self.refused.items())
        return (
            f"{sum(self.counts.values())} changes: {kinds}\n"
            f"refused for now {refused or 'never'}, without answer {self.unknown},"
            f" slowest change {self.slowest_s:.1f} s"
        )

    @contextmanager
    def held(self, timeout: float) -> Iterator[None]:
        """Waits until the change that is under way is done, and lets none begin meanwhile."""
        if not self._turn.acquire(timeout=timeout):
            raise MixedError(f"the change was not done in {timeout:g} s: {self.log[-1]}")
        try:
            self.cluster.close_gates()
            yield
        finally:
            self._turn.release()

    def _run(self) -> None:
        try:
            while sum(self.counts.values()) < self.wanted:
                with self._turn:
                    self._change()
                time.sleep(self.chance.uniform(0, LONGEST_PAUSE_S))
        except Exception as error:
            self.trouble = f"the changes ended with {error!r}"
        self.is_over.set()

    def _note(self, text: str) -> None:
        self.log.append(f"{time.monotonic():.3f} {text}")

    # --- one change -----------------------------------------------------------------

    def _change(self) -> None:
        """Makes one change, if there is a member for it."""
        kind = self.chance.choices(list(KINDS), list(KINDS.values()))[0]
        begin = time.monotonic()
        if not self._make(kind):
            return
        self.counts[kind] += 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - begin)
        self._check_known()

    def _make(self, kind: str) -> bool:
        voters = [sid for sid in self.cluster.lines if self.cluster.votes(sid)]
        observers = [sid for sid in self.cluster.lines if self.cluster.observes(sid)]
        if kind == "add a voter" and len(voters) < MOST_VOTERS:
            self._reconfig(kind, join=[self._come(is_observer=False)])
        elif kind == "add an observer" and len(observers) < MOST_OBSERVERS:
            self._reconfig(kind, join=[self._come(is_observer=True)])
        elif kind == "replace a voter":
            leaving = self.chance.choice(voters)
            self._reconfig(kind, join=[self._come(is_observer=False)], leave=[leaving])
            self._go(leaving)
        elif kind.startswith("move"):
            self._move(kind)
        elif kind == "promote" and observers and len(voters) < MOST_VOTERS:
            self._turn_into(kind, self.chance.choice(observers), is_observer=False)
        elif kind.startswith(("remove", "demote")):
            return self._lose(kind, voters, observers)
        else:
            return False
        return True

    def _lose(self, kind: str, voters: list[int], observers: list[int]) -> bool:
        """Removes or demotes a member; returns False when there is none to spare."""
        candidates = observers if kind.endswith("observer") else voters
        if kind.endswith("the leader"):
            candidates = [sid for sid in voters if mode(self.cluster[sid]) == "leader"]
        if not candidates or (candidates is not observers and len(voters) <= FEWEST_VOTERS):
            return False
        sid = self.chance.choice(candidates)
        if kind.startswith("demote"):
            self._turn_into(kind, sid, is_observer=True)
        else:
            self._reconfig(kind, leave=[sid])
            self._go(sid)
        return True

    def _come(self, *, is_observer: bool) -> int:
        """Starts a server with a new id, which is no member yet; now and then waits for it."""
        sid = self._next_sid
        self._next_sid += 1
        self.claims.take(sid)
        launcher = next(iter(self.cluster.members.values())).launcher
        self.cluster.members[sid] = self.cluster.new_member(sid, launcher, is_observer)
        self.cluster.start_member(sid)
        self.claims.give(sid)
        end = time.monotonic() + self.chance.choice((0.0, 0.5, 5.0))
        while time.monotonic() < end and not mode(self.cluster[sid]):
            time.sleep(0.1)
        return sid

    def _go(self, sid: int) -> None:
        """Ends a server that is no member any more; it may go on serving for a while."""
        time.sleep(self.chance.uniform(0, LONGEST_PAUSE_S))
        while not self.claims.take(sid):
            time.sleep(0.1)
        self._tell_clients(without=sid)
        member = self.cluster.members.pop(sid)
        self.cluster.former.append(member)
        member.kill()

    def _move(self, kind: str) -> None:
        sids = list(self.cluster.lines)
        if kind == "move the leader":
            sids = [sid for sid in sids if mode(self.cluster[sid]) == "leader"] or sids
        sid = self.chance.choice(sids)
        is_any = kind in ("move all", "move the leader")
        self.cluster[sid].move(
            client=is_any or kind.endswith("clients"),
            quorum=is_any or kind.endswith("quorum"),
            election=is_any or kind.endswith("elections"),
        )
        self.cluster.open_gates()
        self._reconfig(kind, join=[sid])

    def _turn_into(self, kind: str, sid: int, *, is_observer: bool) -> None:
        self.cluster[sid].is_observer = is_observer
        self._reconfig(kind, join=[sid])

    # --- the operation --------------------------------------------------------------

    def _reconfig(self, kind: str, join: Sequence[int] = (), leave: Sequence[int] = ()) -> None:
        """Asks until the change is done."""
        body, lines = self.cluster.wanted(join, leave)
        self._note(f"{kind}: {', '.join(lines[sid] for sid in join)} in, {leave} out")
        while True:
            answer = self._ask(lambda client: client.call("reconfig", body))
            if answer is None or answer.err in OF_SESSIONS:
                self.unknown += 1
            elif not answer.err:
                break
            else:
                check(answer.err in FOR_NOW, f"{kind}: error {answer.err} for {body!r}")
                self.refused[answer.err] += 1
            time.sleep(0.1)
        version = version_of(answer)
        check(version > self.cluster.version, f"version {version:x} after {self.cluster.version:x}")
        self.cluster.become(lines, [], version)
        self._tell_clients()
        self._note(f"done: version {version:x}")

    def _ask(self, question: Callable[[Client], Frame]) -> Frame | None:
        """Asks any member; returns None when there was no answer."""
        member = self.chance.choice(list(self.cluster.members.values()))
        try:
            client = Client(member.address, ANSWER_S)
        except OSError:
            return None
        try:
            if not client.connect(4000):
                return None
            client.login(SUPER)
            return question(client)
        except ClosedError:
            return None
        finally:
            client.channel.close()

    def _check_known(self) -> None:
        """Waits until a member says the configuration that was acknowledged, behind a sync. A
        leader that is deposed and does not know it may answer with the one before."""
        wanted = [*self.cluster.text.split("\n"), f"version={self.cluster.version:x}"]
        found: list[str] = []

        def read(client: Client) -> Frame:
            client.call("sync", wire.string(CONFIG_NODE))
            return client.call("getData", wire.path_watch(CONFIG_NODE))

        def is_said() -> bool:
            answer = self._ask(read)
            if answer is None or answer.err:
                return False
            text = (wire.Reader(answer.body).buffer() or b"").decode()
            found[:] = text.split("\n")
            return sorted(found) == sorted(wanted)

        try:
            eventually("a member says what was acknowledged", is_said, KNOWN_S)
        except MixedError as error:
            raise MixedError(f"{error}: {wanted}, but {found}") from error

    def _tell_clients(self, without: int = 0) -> None:
        """Tells the clients where the members are now."""
        members = [each for each in self.cluster.members.values() if each.sid != without]
        for worker in self.workers:
            worker.addresses = [member.address for member in members]
