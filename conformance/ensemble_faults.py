"""Faults on an ensemble of real processes, which must keep its promises to clients all the same.

Shell.

    python -m conformance.ensemble_faults --faults 100
    python -m conformance.ensemble_faults --faults 100 --seed 7 --compiled
    python -m conformance.ensemble_faults --changes 60

Three servers, with every quorum and election connection going through a gate of its own, serve a
few clients while members are killed and started again, stopped and woken, cut off, made deaf or
slow, at random.  Faults overlap; after every ten all are healed and the ensemble must serve again.
With --changes the members change meanwhile, as often as this says (conformance.ensemble_changes).
In the end everything that any client was told must fit one history (conformance.ensemble_history).
The seed chooses the faults and the clients' requests; when they meet is the processes' own.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from conformance.ensemble_changes import Changer, Claims
from conformance.ensemble_clients import (
    REGISTERS,
    DisorderError,
    Worker,
    prepare,
    read_tree,
    run_together,
)
from conformance.ensemble_cluster import Cluster, mode, with_own_names
from conformance.ensemble_history import History, longest_gap, violations
from conformance.mixed import changed
from conformance.mixed.members import MixedError
from conformance.servers import NotStartedError, pyzk_launcher
from pyzk.zxid import epoch_of
from scripts.compiled import tree_of

ROOT: Final = Path(__file__).parent.parent
MEMBERS: Final = 3
WINDOWS: Final = (1, 1, 1, 1, 4, 4, 10, 10, 1, 1)
"""How many requests each client sends at once."""
READERS: Final = (8, 9)
"""These clients only read."""
CONFIG: Final = {
    "tickTime": "500",
    "initLimit": "10",
    "syncLimit": "4",
    "snapCount": "2000",
    "maxSessionTimeout": "10000",
}
KINDS: Final = {
    "kill": 20,
    "kill the leader": 12,
    "kill all": 3,
    "stop": 14,
    "stop the leader": 10,
    "cut": 12,
    "isolate": 10,
    "isolate the leader": 8,
    "refuse": 8,
    "one way": 8,
    "part two": 6,
    "delay": 5,
}
"""Kinds of faults, and how often each comes."""
LONGEST_S: Final = 6.0
HEALED_EVERY: Final = 10
RECOVERY_S: Final = 60.0
SETTLE_S: Final = 30.0


class Injector:
    """Makes faults, and undoes them when their time is over."""

    def __init__(
        self, cluster: Cluster, chance: random.Random, claims: Claims, changer: Changer | None
    ) -> None:
        self.cluster = cluster
        self.chance = chance
        self.claims = claims
        self.changer = changer
        self.counts: Counter[str] = Counter()
        self.log: list[str] = []
        self.recoveries: list[float] = []
        self._undo: list[tuple[float, Callable[[], None]]] = []
        self._is_network_busy = False

    def run(self, is_over: Callable[[], bool]) -> None:
        """Makes faults until it is over; in the end the ensemble must serve."""
        while not is_over():
            kind = self.chance.choices(list(KINDS), list(KINDS.values()))[0]
            if self._inject(kind):
                self.counts[kind] += 1
                if sum(self.counts.values()) % HEALED_EVERY == 0:
                    self._heal()
            self._pass(self.chance.uniform(0.2, 2.5))
        self._heal()

    def _note(self, text: str) -> None:
        self.log.append(f"{time.monotonic():.3f} {text}")

    def _pass(self, seconds: float) -> None:
        """Lets time pass, undoes faults whose time is over, and checks that all members live."""
        end = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            for entry in [entry for entry in self._undo if entry[0] <= now]:
                self._undo.remove(entry)
                entry[1]()
            for member in self.cluster.running:
                member.check_running()
            if now >= end:
                return
            time.sleep(min([end, *(due for due, _ in self._undo)], default=end) - now + 0.001)

    def _heal(self) -> None:
        """Undoes all faults; soon all members must serve, and have the same configuration if it
        changes."""
        for _, undo in self._undo:
            undo()
        self._undo.clear()
        self._note("healed")
        begin = time.monotonic()
        if self.changer is None:
            changed.wait_roles(self.cluster, RECOVERY_S)
        else:
            with self.changer.held(RECOVERY_S):
                changed.settle(self.cluster)
        self.recoveries.append(time.monotonic() - begin)
        self._note(f"all serve after {self.recoveries[-1]:.2f} s")

    # --- one fault ------------------------------------------------------------------

    def _inject(self, kind: str) -> bool:
        """Makes a fault of a kind; returns False when no member is free for it."""
        if kind == "kill all":
            everybody = list(self.cluster.members)
            if not self.claims.take(*everybody):
                return False
            self._note(kind)
            for each in everybody:
                self.cluster[each].kill()
            for each in everybody:
                self._later(self.chance.uniform(0.1, 0.5), self._starter(each), each)
            return True
        victim = self._victim(kind.endswith("the leader"))
        is_network = kind.split()[0] not in ("kill", "stop", "cut")
        if victim is None or (is_network and self._is_network_busy):
            return False
        sid = victim
        if kind.startswith(("kill", "stop")) and not self.claims.take(sid):
            return False
        seconds = self.chance.uniform(0.3, LONGEST_S)
        self._note(f"{kind}: member {sid}, {seconds:.2f} s")
        if kind.startswith("kill"):
            self.cluster[sid].kill()
            self._later(seconds / 2, self._starter(sid), sid)
        elif kind.startswith("stop"):
            self._stop(sid, seconds)
        elif kind == "cut":
            for gate, _ in self.cluster.ways(sid):
                gate.drop()
        else:
            self._network(kind, sid, seconds)
        return True

    def _victim(self, is_leader: bool) -> int | None:
        members = dict(self.cluster.members)  # meanwhile one may be removed
        free = self.claims.free(members)
        if is_leader:
            free = [sid for sid in free if mode(members[sid]) == "leader"]
        return self.chance.choice(free) if free else None

    def _later(self, seconds: float, undo: Callable[[], None], sid: int | None = None) -> None:
        """Undoes a fault later, and gives the member back that it was claimed for."""

        def done() -> None:
            undo()
            if sid is not None:
                self.claims.give(sid)

        self._undo.append((time.monotonic() + seconds, done))

    def _starter(self, sid: int) -> Callable[[], None]:
        def start() -> None:
            self._note(f"member {sid} starts")
            self.cluster.start_member(sid)

        return start

    def _stop(self, sid: int, seconds: float) -> None:
        self.cluster[sid].signal(signal.SIGSTOP)

        def wake() -> None:
            self._note(f"member {sid} goes on")
            self.cluster[sid].signal(signal.SIGCONT)

        self._later(seconds, wake, sid)

    def _network(self, kind: str, sid: int, seconds: float) -> None:
        ways = self.cluster.ways(sid)
        if kind == "part two":
            other = self.chance.choice([one for one in self.cluster.members if one != sid])
            ways = [(gate, True) for gate in self.cluster.between(sid, other)]
        speaks_only = self.chance.random() < 0.5
        for gate, is_dialing in ways:
            if kind == "delay":
                gate.delay_s = 0.03
            elif kind == "refuse":
                gate.is_shut = True
                gate.drop()
            elif kind == "one way":
                # The member is not heard, or hears nothing.
                if is_dialing != speaks_only:
                    gate.is_deaf = True
                else:
                    gate.is_held = True
            else:
                gate.is_held = gate.is_deaf = True
        loses = self.chance.random() < 0.5
        self._is_network_busy = True

        def heal() -> None:
            self._note(f"the network heals{', what was held is lost' if loses else ''}")
            self._is_network_busy = False
            for gate, _ in ways:
                if loses and (gate.is_held or gate.is_deaf):
                    gate.drop()
                gate.is_held = gate.is_deaf = gate.is_shut = False
                gate.delay_s = 0.0

        self._later(seconds, heal)


def finish(cluster: Cluster, workers: list[Worker]) -> History:
    """Waits until the ephemerals of ended sessions are gone; returns the history with all trees."""
    history = History(
        [each for worker in workers for each in worker.operations], set(), set(REGISTERS)
    )
    end = time.monotonic() + SETTLE_S
    while True:
        history.alive = {worker.session for worker in workers if worker.session}
        try:
            trees = {sid: read_tree(member.address) for sid, member in cluster.members.items()}
        except OSError as error:
            # A busy machine may cost an ensemble its leader even now.
            if time.monotonic() > end:
                raise MixedError(f"the trees cannot be read: {error}") from error
            time.sleep(0.5)
            continue
        history.trees.update(trees)
        owners = {one.stat.owner for tree in history.trees.values() for one in tree.values()}
        if owners <= {0, *history.alive} or time.monotonic() > end:
            return history
        time.sleep(0.5)


def summary(
    history: History, injector: Injector, workers: list[Worker], epochs: int, seconds: float
) -> str:
    """Returns what was done, in a few lines."""
    operations = history.operations
    answered = [each for each in operations if each.returned is not None]
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(injector.counts.items()))
    written = sum(each.kind in ("create", "set", "delete") and each.is_done for each in answered)
    changes = f"{injector.changer}\n" if injector.changer is not None else ""
    return (
        f"{sum(injector.counts.values())} faults in {seconds:.0f} s: {kinds}\n{changes}"
        f"{len(operations)} operations sent, {len(answered)} answered ({written} writes done),"
        f" {len(operations) - len(answered)} without answer; {len(workers)} clients,"
        f" {sum(worker.sessions for worker in workers)} sessions,"
        f" {sum(worker.moves for worker in workers)} moves\n"
        f"{epochs} elections, longest time without a write {longest_gap(operations):.1f} s,"
        f" slowest recovery of all members {max(injector.recoveries):.1f} s;"
        f" {history.stale_syncs} syncs answered by a deposed leader"
    )


def run(cluster: Cluster, faults: int, changes: int, seed: int) -> list[str]:
    """Does one run, of so many faults or so many changes under faults; returns what was wrong."""
    cluster.start()
    prepare(cluster[1].address)
    first = epoch_of(cluster.wait_in_step())
    addresses = [member.address for member in cluster.members.values()]
    workers = [
        Worker(number, addresses, random.Random(f"{seed}.{number}"), window, number in READERS)
        for number, window in enumerate(WINDOWS)
    ]
    claims = Claims()
    changer = None
    if changes:
        changer = Changer(cluster, random.Random(f"{seed}.changes"), claims, workers, changes)
    injector = Injector(cluster, random.Random(seed), claims, changer)

    def is_over() -> bool:
        if changer is not None:
            return changer.is_over.is_set()
        return sum(injector.counts.values()) >= faults

    begin = time.monotonic()
    wrong: list[str] = []
    try:
        try:
            if changer is not None:
                changer.thread.start()
            run_together(workers, lambda: injector.run(is_over))
            history = finish(cluster, workers)
        except (MixedError, DisorderError) as error:
            wrong.append(str(error))
            operations = [each for worker in workers for each in worker.operations]
            history = History(operations, set(), set(REGISTERS))
    finally:
        for worker in workers:
            worker.is_over.set()
    wrong.extend(worker.trouble for worker in workers if worker.trouble)
    if changer is not None and changer.trouble:
        wrong.append(changer.trouble)
    if history.trees:
        wrong.extend(violations(history))
        epochs = epoch_of(cluster.wait_in_step()) - first
        print(summary(history, injector, workers, epochs, time.monotonic() - begin))
    if wrong:
        everything = sorted(history.operations, key=lambda each: each.sent)
        (cluster.root / "history").write_text("".join(f"{each}\n" for each in everything))
        notes = sorted([*injector.log, *(changer.log if changer is not None else ())], key=_when)
        (cluster.root / "faults").write_text("".join(f"{line}\n" for line in notes))
    return wrong


def _when(note: str) -> float:
    """Returns the time at which a note begins."""
    return float(note.split()[0])


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m conformance.ensemble_faults")
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument(
        "--changes", type=int, default=0, help="changes of the members, instead of --faults"
    )
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--compiled", action="store_true", help="what `make compile` has made")
    parser.add_argument("--command", help="server command line with {cfg} and {props}")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    path: list[Path] = []
    if options.compiled:
        path = [tree_of(ROOT), ROOT]
        if not path[0].is_dir():
            parser.error("the core is not compiled: make compile")
    launcher = with_own_names(pyzk_launcher(options.command), *path)
    what = f"{options.changes} changes" if options.changes else f"{options.faults} faults"
    print(f"{what} on members of {launcher.name}, seed {seed}", flush=True)
    config = {**CONFIG, "reconfigEnabled": str(bool(options.changes)).lower()}
    cluster = Cluster(launcher, MEMBERS, config)
    wrong: list[str] = []
    try:
        wrong = run(cluster, options.faults, options.changes, seed)
    except (MixedError, NotStartedError) as error:
        wrong = [str(error)]
    finally:
        cluster.cleanup(keep=bool(wrong))
    if wrong:
        print(f"BROKEN: {len(wrong)} violations; history, faults and logs are in {cluster.root}")
        print("\n".join(wrong[:20]))
        return 1
    print("every answer fits one history; nothing acknowledged is missing; all trees are equal")
    return 0


if __name__ == "__main__":
    sys.exit(main())
