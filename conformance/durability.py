"""kill -9 in the middle of writes, many times: nothing acknowledged is missing, nothing invented.

Shell.

    python -m conformance.durability --rounds 200
    python -m conformance.durability --oracle 3.9 --rounds 5         the check, checked

Each round starts a server on the same directory, looks at what the round before left, lets four
clients write (two wait for every answer, two keep many requests under way; in every third round
only the first of them writes) and kills the server at a random moment.  Every client writes in an
order, so what is found must be a prefix of what it sent, and at least as long as what was
acknowledged.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import Final

import attrs

from conformance import oracle, wire
from conformance.frames import Client, ClosedError, new_session
from conformance.servers import Launcher, Server, pyzk_launcher

WINDOWS: Final = (1, 1, 20, 100)
"""How many requests each client keeps under way."""
TIMEOUTS_MS: Final = (10000, 400, 400, 400)
"""The first client's session goes on after the crash, those of the others expire."""
CONFIG: Final = {
    "tickTime": "100",
    "minSessionTimeout": "200",
    "maxSessionTimeout": "10000",
    "snapCount": "700",
}


class LostError(Exception):
    """The server did not keep what it promised."""


@attrs.define
class Writer:
    """A client that writes until the server is killed, and what it then knows."""

    round: int
    number: int
    window: int
    client: Client
    sent: int = 0
    acknowledged: int = 0
    last_zxid: int = 0
    trouble: str = ""

    @property
    def top(self) -> str:
        """The path of the client's own node."""
        return f"/round{self.round}/writer{self.number}"

    @property
    def ephemeral(self) -> str:
        """The path of the client's ephemeral node."""
        return f"/round{self.round}/ephemeral{self.number}"

    def value(self, step: int) -> bytes:
        """Returns what step number `step` writes."""
        return f"{self.round}.{self.number}.{step}.".encode() * (1 + step % 7)

    def prepare(self) -> None:
        """Creates the nodes that the steps write to."""
        for path, flags in ((self.top, 0), (f"{self.top}/register", 0), (self.ephemeral, 1)):
            answer = self.client.call("create", wire.create(path, b"", flags=flags))
            if answer.err:
                raise LostError(f"cannot create {path}: error {answer.err}")
        for name in ("left", "right"):
            self.client.call("create", wire.create(f"{self.top}/{name}"))

    def step(self, step: int) -> tuple[str, bytes]:
        """Returns one write: a new node, a new value, or two values at once."""
        value = self.value(step)
        if step % 3 == 0:
            return "create", wire.create(f"{self.top}/n{step:06d}", value)
        if step % 3 == 1:
            return "setData", wire.set_data(f"{self.top}/register", value)
        op = wire.OPS["setData"]
        both = [(op, wire.set_data(f"{self.top}/{name}", value)) for name in ("left", "right")]
        return "multi", wire.multi(both)

    def run(self) -> None:
        """Writes until the connection breaks."""
        under_way: deque[int] = deque()
        while True:
            while len(under_way) < self.window:
                op, body = self.step(self.sent)
                self.sent += 1
                under_way.append(self.client.send(op, body))
            try:
                answer = self.client.receive(5)
            except ClosedError as error:
                if not self.client.channel.eof:
                    self.trouble = str(error)
                return
            expected = under_way.popleft()
            if answer.xid != expected or answer.err or answer.zxid <= self.last_zxid:
                self.trouble = f"answer {answer.xid} {answer.err} to request {expected}"
                return
            self.last_zxid = answer.zxid
            self.acknowledged += 1


@attrs.define
class Totals:
    """Sums over all rounds."""

    rounds: int = 0
    sent: int = 0
    acknowledged: int = 0
    found: int = 0
    expired: int = 0
    reattached: int = 0
    slowest_start_s: float = 0.0


class Rounds:
    """Rounds on one directory."""

    def __init__(self, launcher: Launcher, chance: random.Random) -> None:
        self.launcher = launcher
        self.chance = chance
        self.root = Path(tempfile.mkdtemp(prefix="pyzk-durability-"))
        self.totals = Totals()
        self.before: list[Writer] = []

    def run(self, rounds: int) -> Totals:
        """Runs all rounds and a last check; the directory is kept when something is wrong."""
        for number in range(rounds + 1):
            server = Server(self.launcher, CONFIG, data=self.root / "data")
            try:
                server.start()
                self.totals.slowest_start_s = max(self.totals.slowest_start_s, server.started_in)
                self._round(number, server, last=number == rounds)
                server.kill()
            except (LostError, OSError) as error:
                raise LostError(f"round {number}: {error}; see {self.root} {server.log}") from error
            finally:
                server.kill()
            server.cleanup()
        shutil.rmtree(self.root)
        return self.totals

    def _round(self, number: int, server: Server, last: bool) -> None:
        admin = new_session(server.address)
        back = self._come_back(server)
        for writer in self.before:
            self._check(writer, admin)
        if not last:
            writers = self._write(number, server)
            self._await_ephemerals(admin, back)
            threads = [threading.Thread(target=writer.run, daemon=True) for writer in writers]
            for thread in threads:
                thread.start()
            time.sleep(self.chance.uniform(0.01, 0.25))
            server.kill()
            for thread in threads:
                thread.join()
            for writer in writers:
                if writer.trouble:
                    raise LostError(f"{writer.top}: {writer.trouble}")
                self.totals.sent += writer.sent
                self.totals.acknowledged += writer.acknowledged
            self.before = writers
            self.totals.rounds += 1
        else:
            self._await_ephemerals(admin, back)
        admin.channel.close()

    def _write(self, number: int, server: Server) -> list[Writer]:
        made = new_session(server.address)
        made.call("create", wire.create(f"/round{number}"))
        made.close_session()
        writers = []
        # A client that is alone has its writes made durable in another way (docs/decisions/0029).
        windows = WINDOWS[:1] if number % 3 == 2 else WINDOWS
        for index, window in enumerate(windows):
            client = new_session(server.address, TIMEOUTS_MS[index])
            writer = Writer(number, index, window, client)
            writer.prepare()
            writers.append(writer)
        return writers

    def _come_back(self, server: Server) -> Writer | None:
        """Takes up one session of the round before, and checks that its ephemeral is there."""
        if not self.before:
            return None
        writer = self.before[0]
        old = writer.client
        again = Client(server.address)
        if not again.connect(TIMEOUTS_MS[0], old.session, old.password, writer.last_zxid):
            raise LostError(f"session {old.session:#x} is refused after a restart")
        if again.call("exists", wire.path_watch(writer.ephemeral)).err:
            raise LostError(f"{writer.ephemeral} of a living session is gone after a restart")
        again.xid += 1000000
        writer.client = again
        self.totals.reattached += 1
        return writer

    def _check(self, writer: Writer, admin: Client) -> None:
        names = wire.Reader(admin.call("getChildren", wire.path_watch(writer.top)).body).strings()
        steps = sorted(int(name[1:]) for name in names or () if name and name.startswith("n"))
        values = {step: writer.value(step) for step in range(writer.sent)}
        if any(step not in values for step in steps):
            raise LostError(f"{writer.top} has nodes that were never sent: {steps[-3:]}")
        created = steps[-1] if steps else -1
        register = self._number(admin, f"{writer.top}/register", writer)
        left = self._number(admin, f"{writer.top}/left", writer)
        right = self._number(admin, f"{writer.top}/right", writer)
        if left != right:
            raise LostError(f"{writer.top}: half a multi, {left} and {right}")
        found = max(created, register, left) + 1
        expected = [step for step in range(found) if step % 3 == 0]
        whole = (
            steps == expected
            and register == max((s for s in range(found) if s % 3 == 1), default=-1)
            and left == max((s for s in range(found) if s % 3 == 2), default=-1)
        )
        if not whole or not writer.acknowledged <= found <= writer.sent:
            raise LostError(
                f"{writer.top}: sent {writer.sent}, acknowledged {writer.acknowledged}, found"
                f" {found} ({len(steps)} nodes to {created}, register {register}, multi {left})"
            )
        for step in steps[-2:]:
            self._number(admin, f"{writer.top}/n{step:06d}", writer)
        self.totals.found += found

    def _number(self, admin: Client, path: str, writer: Writer) -> int:
        """Returns which step wrote a node, by its data; -1 when none did."""
        answer = admin.call("getData", wire.path_watch(path))
        if answer.err:
            raise LostError(f"{path}: error {answer.err}")
        data = wire.Reader(answer.body).buffer() or b""
        if not data:
            return -1
        step = int(data.split(b".")[2])
        if data != writer.value(step) or step >= writer.sent:
            raise LostError(f"{path} has data that nobody sent: {data[:60]!r}")
        return step

    def _await_ephemerals(self, admin: Client, back: Writer | None) -> None:
        """Waits until the ephemerals of expired sessions are gone; that of the other must stay."""
        end = time.monotonic() + 5
        waiting = [writer for writer in self.before if writer is not back]
        while waiting and time.monotonic() < end:
            if back is not None:
                back.client.call("ping", xid=-2)
            writer = waiting[0]
            if admin.call("exists", wire.path_watch(writer.ephemeral)).err == -101:
                self.totals.expired += 1
                waiting.pop(0)
            else:
                time.sleep(0.02)
        if waiting:
            raise LostError(f"{waiting[0].ephemeral} of a dead session is still there")
        if back is not None:
            if admin.call("exists", wire.path_watch(back.ephemeral)).err:
                raise LostError(f"{back.ephemeral} of a living session went")
            back.client.close_session()


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m conformance.durability")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--command", help="server command line with {cfg} and {props}")
    parser.add_argument("--oracle", metavar="VERSION", help="an installed original")
    options = parser.parse_args(arguments)
    chance = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    launcher = oracle.launcher(options.oracle) if options.oracle else pyzk_launcher(options.command)
    begin = time.monotonic()
    rounds = Rounds(launcher, random.Random(chance))
    try:
        totals = rounds.run(options.rounds)
    except LostError as error:
        print(f"durability of {launcher.name}, seed {chance}: BROKEN\n{error}")
        return 1
    print(
        f"durability of {launcher.name}, seed {chance}: {totals.rounds} rounds of kill -9 in"
        f" {time.monotonic() - begin:.0f} s; {totals.sent} writes sent, {totals.acknowledged}"
        f" acknowledged, {totals.found} found, none missing, none invented; {totals.expired}"
        f" dead sessions' ephemerals went, {totals.reattached} sessions came back; slowest start"
        f" {totals.slowest_start_s:.2f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
