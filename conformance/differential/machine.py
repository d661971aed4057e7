"""The state machine: draws commands, runs each on both servers, compares.

Shell.

    python -m conformance.differential.machine --examples 100
    python -m conformance.differential.machine --first 3.9 --second 3.8      what it can find
    python -m conformance.differential.machine --door tls                    with certificates
    python -m conformance.differential.machine --door sasl                   after logins
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, note, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from conformance import oracle, wire
from conformance.differential import requests as rq
from conformance.differential.doors import DOORS
from conformance.differential.world import Answers, World
from conformance.servers import Launcher, Server, pyzk_launcher

PROPERTIES = {
    "zookeeper.extendedTypesEnabled": "true",
    "zookeeper.forceSync": "no",
    "zookeeper.DigestAuthenticationProvider.superDigest": rq.digest_id(rq.SUPER),
    # No background deletion in the middle of an example.
    "znode.container.checkIntervalMs": "3600000",
}
MOST_CLIENTS = 4


class Pair:
    """The two servers. They are started again when their states are no longer the same."""

    def __init__(
        self,
        first: Launcher,
        second: Launcher,
        enforce_quota: bool = False,
        door: str = "plain",
    ) -> None:
        self.launchers = (first, second)
        self.folder = tempfile.TemporaryDirectory(prefix="pyzk-doors-")
        self.door = DOORS[door](Path(self.folder.name))
        self.has_logins = door == "sasl"
        self.has_identities = door != "plain"
        self.enforce_quota = enforce_quota
        self.properties = dict(PROPERTIES)
        if enforce_quota:
            self.properties["zookeeper.enforceQuota"] = "true"
        self.servers: list[Server] = []
        self.numbers = itertools.count(1)
        self.starts = 0
        self.difference = ""
        self.commands = 0

    def start(self) -> None:
        """Starts two fresh servers."""
        self.stop()
        self.starts += 1
        for launcher in self.launchers:
            # A busy machine stands still for longer than a client asks for, and then what nobody
            # pings would expire on one server only, with a zxid.
            config = {"minSessionTimeout": "120000", "maxSessionTimeout": "180000"}
            server = self.door.server(launcher, config, self.properties)
            self.servers.append(server)
            server.start()

    def logs(self) -> str:
        """Returns what both servers printed last."""
        return "\n".join(f"{s.launcher.name}: {s.log_tail(2000)}" for s in self.servers)

    def stop(self) -> None:
        """Stops both servers."""
        for server in self.servers:
            server.cleanup()
        self.servers = []

    def _world(self, server: Server) -> World:
        entrance = self.door.address(server)
        return World(server.launcher.name, server.address, self.door, entrance)

    def worlds(self) -> list[World]:
        """Returns a world on each server, in the same state."""
        if not self.servers:
            self.start()
        starts: list[object] = []
        for _ in range(2):
            prefix = rq.example_prefix(next(self.numbers))
            worlds = [self._world(server) for server in self.servers]
            try:
                starts = [world.begin(prefix) for world in worlds]
            except OSError as error:
                raise AssertionError(f"a server is gone: {error}\n{self.logs()}") from error
            if starts[0] == starts[1]:
                return worlds
            self.start()
        raise AssertionError(f"the servers differ from the start: {starts[0]} and {starts[1]}")


def _before_race(requests: list[rq.Request]) -> int:
    """Returns how many of these requests may be sent in one piece without a race in the original.

    A new ACL is used only when it is applied. A container that is created with the flags of an
    ephemeral ends with its session only while it is not applied.
    """
    for index, request in enumerate(requests):
        before = requests[:index]
        if any(one.op == "setACL" for one in before):
            return index
        if request.op == "closeSession" and any("createContainer" in repr(one) for one in before):
            return index
    return len(requests)


def comparable(answers: Answers) -> Answers:
    """Returns the answers without orders that are not defined."""
    return {
        label: [wire.without_order(frame) for frame in frames] for label, frames in answers.items()
    }


class Comparison(RuleBasedStateMachine):
    """Sends the commands of several clients to two servers, and compares."""

    pair: ClassVar[Pair]

    def __init__(self) -> None:
        super().__init__()
        self.worlds = self.pair.worlds()
        self.history: list[str] = []

    # ----- running a command on both

    def both(self, text: str, method: str, *arguments: Any) -> None:
        """Runs one command on both servers and compares what all clients received."""
        self.history.append(text)
        self.pair.commands += 1
        note(text)
        found = [comparable(getattr(world, method)(*arguments)) for world in self.worlds]
        if found[0] == found[1]:
            return
        parts = ["the servers differ", *(f"  {line}" for line in self.history)]
        for label in sorted({*found[0], *found[1]}):
            ours, theirs = found[0].get(label, []), found[1].get(label, [])
            if ours != theirs:
                parts.append(f"{label}:")
                parts += self._sides(ours, theirs)
        for server in self.pair.servers:
            if server.process is None or server.process.poll() is not None:
                parts.append(f"{server.launcher.name} has ended:\n{server.log_tail()}")
        self.pair.difference = "\n".join(parts).replace(self.worlds[0].prefix, "/PREFIX")
        raise AssertionError(self.pair.difference)

    def _sides(self, ours: list[object], theirs: list[object]) -> list[str]:
        lines = []
        for pair in itertools.zip_longest(ours, theirs, fillvalue="nothing"):
            mark = "   " if pair[0] == pair[1] else "***"
            for world, frame in zip(self.worlds, pair, strict=True):
                lines.append(f"  {mark} {world.name:16} {json.dumps(frame)}")
        return lines

    def connected(self, choice: int) -> int:
        """Returns the index of a client that is connected, a new one if there is none."""
        slots = self.worlds[0].slots
        usable = [i for i, slot in enumerate(slots) if slot.connected and not slot.over]
        if not usable:
            self.both("a new client", "connect", 10000, False)
            return len(slots) - 1
        return usable[choice % len(usable)]

    # ----- rules

    @initialize(first=rq.good_paths)
    def two_clients(self, first: str) -> None:
        """Begins with two clients, as most of what matters happens between two."""
        self.both("a new client", "connect", 10000, False)
        self.both("a new client", "connect", 30000, None)
        self.send(0, [rq.Request("create", wire.create(first), text=repr(first))])
        if self.pair.enforce_quota:
            for request in rq.QUOTA_NODES:
                self.send(0, [request])

    def send(self, index: int, requests: list[rq.Request]) -> None:
        """Sends requests in one piece, on both servers."""
        cut = 1 if self.pair.enforce_quota else _before_race(requests)
        if cut < len(requests):
            # A quota is checked against what is applied: how far a burst exceeds it is a race.
            self.send(index, requests[:cut])
            self.send(self.connected(index), requests[cut:])
            return
        text = f"client{index}: {'; '.join(map(repr, requests))}".replace(rq.PREFIX[1:], "PREFIX")
        self.both(text, "send", index, requests)

    @precondition(lambda self: len(self.worlds[0].slots) < MOST_CLIENTS)
    @rule(
        timeout=st.sampled_from([0, 1, 10000, 30000, 1000000, -5]),
        read_only=st.sampled_from([False, True, None]),
    )
    def new_client(self, timeout: int, read_only: bool | None) -> None:
        """Opens another session."""
        # Short sessions could expire on one server only: 4 s is the shortest.
        self.both(f"a new client, {timeout} ms", "connect", timeout, read_only)

    @rule(choice=st.integers(0, 3), request=rq.plain_requests)
    def single(self, choice: int, request: rq.Request) -> None:
        """Sends one request."""
        self.send(self.connected(choice), [request])

    @rule(choice=st.integers(0, 3), requests=rq.in_order)
    def effective(self, choice: int, requests: list[rq.Request]) -> None:
        """Sends requests that mostly succeed, one after the other, by any of the clients."""
        for offset, request in enumerate(requests):
            self.send(self.connected(choice + offset % 2), [request])

    @rule(choice=st.integers(0, 3), requests=rq.in_order)
    def effective_burst(self, choice: int, requests: list[rq.Request]) -> None:
        """Sends several requests that mostly succeed, in one piece."""
        self.send(self.connected(choice), requests)

    @rule(choice=st.integers(0, 3), request=rq.effective_multis)
    def effective_multi(self, choice: int, request: rq.Request) -> None:
        """Sends a multi that can succeed."""
        self.send(self.connected(choice), [request])

    @rule(choice=st.integers(0, 3), burst=st.lists(rq.plain_requests, min_size=2, max_size=6))
    def pipelined(self, choice: int, burst: list[rq.Request]) -> None:
        """Sends several requests in one piece."""
        self.send(self.connected(choice), burst)

    @precondition(lambda self: self.pair.enforce_quota)
    @rule(choice=st.integers(0, 3), request=rq.quotas())
    def quota(self, choice: int, request: rq.Request) -> None:
        """Sets a quota, or asks how much of one is used."""
        self.send(self.connected(choice), [request])

    @rule(choice=st.integers(0, 3), request=rq.malformed())
    def broken(self, choice: int, request: rq.Request) -> None:
        """Sends a request that cannot be read."""
        self.send(self.connected(choice), [request])

    @rule(choice=st.integers(0, 3), request=rq.auths | rq.out_of_band)
    def identity(self, choice: int, request: rq.Request) -> None:
        """Logs in with another identity, or fails to."""
        self.send(self.connected(choice), [request])

    @precondition(lambda self: self.pair.has_identities)
    @rule(choice=st.integers(0, 3), requests=rq.protected)
    def protected(self, choice: int, requests: list[rq.Request]) -> None:
        """Makes and reads nodes that are for certain certificates or logins, by two clients."""
        for offset, request in enumerate(requests):
            self.send(self.connected(choice + offset % 2), [request])

    @precondition(lambda self: self.pair.has_logins)
    @rule(choice=st.integers(0, 3), login=st.sampled_from(rq.SASL_LOGINS))
    def log_in(self, choice: int, login: tuple[str, str]) -> None:
        """Logs in by SASL, where there may have been a login already."""
        index = self.connected(choice)
        self.both(f"client{index}: logs in, {login}", "log_in", index, *login)

    @rule(choice=st.integers(0, 3), how=st.integers(0, 2), data=st.data())
    def end(self, choice: int, how: int, data: st.DataObject) -> None:
        """Sends a request that costs the connection or ends the session."""
        if how == 0:
            self.send(self.connected(choice), [data.draw(rq.ending)])
        else:
            before = data.draw(st.lists(rq.plain_requests, max_size=2))
            self.send(self.connected(choice), [*before, rq.Request("closeSession")])

    @rule(choice=st.integers(0, 3))
    def break_connection(self, choice: int) -> None:
        """Breaks a connection."""
        index = self.connected(choice)
        self.both(f"client{index}: its connection breaks", "drop", index)

    @rule(
        choice=st.integers(0, 3),
        wrong=st.sampled_from([False, False, False, True]),
        seen=st.sampled_from([-1, 0, 1, 1000000]),
    )
    def come_back(self, choice: int, wrong: bool, seen: int) -> None:
        """Lets a client take up its session on a new connection."""
        alive = [i for i, slot in enumerate(self.worlds[0].slots) if not slot.over]
        if alive:
            index = alive[choice % len(alive)]
            text = f"client{index}: comes back, {wrong=} {seen=}"
            self.both(text, "reattach", index, wrong, seen)

    def teardown(self) -> None:
        """Removes everything of this example from both servers."""
        for world in self.worlds:
            try:
                world.end()
            except OSError:
                self.pair.stop()
                break


def compare(pair: Pair, examples: int, steps: int, chance: int | None) -> str | None:
    """Runs examples; returns the text of the smallest difference that was found, or None."""
    machine = type("Machine", (Comparison,), {"pair": pair})
    if chance is not None:
        machine = seed(chance)(machine)
    options = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_machine(machine, settings=options)
    except AssertionError as error:
        return str(error)
    except Flaky:
        return f"not the same each time; last seen:\n{pair.difference}"
    finally:
        pair.stop()
    return None


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 1 when the servers differ."""
    parser = argparse.ArgumentParser(prog="python -m conformance.differential.machine")
    parser.add_argument("--first", default="pyzk", help="pyzk, or a version of the original")
    parser.add_argument("--second", default="3.9", help="pyzk, or a version of the original")
    parser.add_argument("--examples", type=int, default=60)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time")
    parser.add_argument("--enforce-quota", action="store_true")
    parser.add_argument("--door", choices=DOORS, default="plain", help="how clients come in")
    options = parser.parse_args(arguments)
    sides = [
        pyzk_launcher() if name == "pyzk" else oracle.launcher(name)
        for name in (options.first, options.second)
    ]
    pair = Pair(sides[0], sides[1], options.enforce_quota, options.door)
    chance = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    begin = time.monotonic()
    difference = compare(pair, options.examples, options.steps, chance)
    print(
        f"{sides[0].name} and {sides[1].name}: {options.examples} examples of {options.steps}"
        f" steps, seed {chance}, {pair.commands} commands, {time.monotonic() - begin:.0f} s:"
        f" {'no difference' if difference is None else 'DIFFERENT'}"
    )
    if difference is not None:
        print(difference)
    return 0 if difference is None else 1


if __name__ == "__main__":
    sys.exit(main())
