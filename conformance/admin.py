"""The admin server beside the original's: the same state, the same questions, both answers.

Shell.

`python -m conformance.admin` runs a server alone, each member of an ensemble and a member without
quorum, of ZooKeeper 3.8 and 3.9 and of this server, and asks every command by all its names, names
that are none, wrong arguments and other methods.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import sys
import time
from collections.abc import Iterator
from typing import Final

import attrs

from conformance import oracle, wire
from conformance.admin_answers import (
    ACTIVITY,
    COUNTS,
    PLACES,
    TIMES,
    differences,
    index_differences,
)
from conformance.frames import Client, new_session
from conformance.known_differences import ADMIN_QUESTIONS
from conformance.servers import Launcher, NotStartedError, Server, pyzk_launcher
from conformance.wire import OPEN
from pyzk.admin.commands import COMMANDS
from pyzk.runtime.free_ports import free_port

COMMON: Final = {
    "admin.enableServer": "true",
    "admin.serverAddress": "127.0.0.1",
    "initLimit": "10",
    "syncLimit": "5",
    "preAllocSize": "64",
}
MASKED: Final = TIMES | PLACES | COUNTS
MASKED_OF_MEMBERS: Final = MASKED | ACTIVITY
ROLES: Final = ("leader", "follower", "observer")
LATER: Final = ("snapshot", "restore", "shed_connections")
"""Commands that 3.8 does not have, or 3.9 neither; their own test is in tests/runtime."""
PATIENCE_S: Final = 180.0


@attrs.frozen
class Question:
    """One request."""

    method: str
    path: str
    body: bytes = b""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@attrs.frozen
class Answered:
    """What came back."""

    status: int
    content_type: str | None
    allow: str | None
    body: str


def questions() -> list[Question]:
    """Returns everything that is asked, in order: what changes something comes last."""
    changes = ("connection_stat_reset", "stat_reset", "observer_connection_stat_reset")
    known = [each for each in COMMANDS if each.name not in LATER]
    first = [each for each in known if each.name not in (*changes, "set_trace_mask")]
    asked = [
        Question("GET", f"/commands/{name}")
        for command in first
        for name in (command.name, *command.aliases)
    ]
    asked += [Question("GET", path) for path in ODD_PATHS]
    asked += [Question("GET", f"/commands/stmk?{query}") for query in QUERIES]
    asked += [
        Question(method, path)
        for method in ("HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH")
        for path in ("/commands/ruok", "/commands/nosuch", "/commands")
    ]
    asked += [Question("POST", path, body) for path, body in POSTED]
    asked += [
        Question("GET", f"/commands/{name}")
        for command in known
        if command.name in changes
        for name in (command.name, *command.aliases)
    ]
    return asked


ODD_PATHS: Final = (
    *("/commands", "/commands/", "/commands//", "/commands//ruok", "/commands/ruok/"),
    *("/commands/nosuch", "/commands/RUOK", "/commands/ruok/extra", "/commands/%72uok"),
    *("/commands/ruok%20", "/commands/ru%6Fk?x", "/commands/%C3%A4", "/commands/a%22b%5C"),
    *("/commands/a%0Ab", "/commands/%E2%82%AC%F0%9F%98%80", "/commands/ruok?a=b&a=c"),
    *("/commands/ruok#x", "/commands/ruok?", "/commands/" + "x" * 2000, "/commands/ruok+"),
)
QUERIES: Final = (
    *("traceMask=66", "traceMask=x", "traceMask=", "traceMask", "tracemask=1", "traceMask=1.0"),
    *("traceMask=-1", "traceMask=%31", "traceMask=+7", "traceMask=%2B7", "traceMask=1_0"),
    *("traceMask=9223372036854775807", "traceMask=9223372036854775808", "traceMask=0x10"),
    *("traceMask=5&traceMask=6", "traceMask=%D9%A3", "a=b&traceMask=8", "traceMask=306"),
)
POSTED: Final = (
    ("/commands/nosuch", b""),
    ("/commands/", b""),
    ("/commands", b"x"),
    ("/commands/ruok", b""),
    ("/commands/ruok", b"traceMask=1"),
    ("/commands/stmk?traceMask=1", b""),
)


def ask(port: int, question: Question) -> Answered:
    """Sends a request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request(question.method, question.path, question.body or None)
        response = connection.getresponse()
        body = response.read().decode("utf-8", "replace")
        return Answered(
            response.status,
            response.getheader("Content-Type"),
            response.getheader("Allow"),
            body,
        )
    finally:
        connection.close()


def compare(question: Question, theirs: Answered, ours: Answered, masked: frozenset[str]) -> str:
    """Returns what is different between two answers to a request; empty if nothing is."""
    wanted, got = attrs.evolve(theirs, body=""), attrs.evolve(ours, body="")
    if got != wanted:
        return f"{got}, not {wanted}"
    if theirs.content_type == "application/json" and theirs.body:
        command = json.loads(theirs.body)["command"]
        return "; ".join(differences(command, theirs.body, ours.body, masked))
    if theirs.status == 200 and "/commands/" in theirs.body:
        return "; ".join(index_differences(theirs.body, ours.body))
    return "" if theirs.status >= 400 or theirs.body == ours.body else f"{ours.body!r}"


# -- servers in the same state


class AdminServer(Server):
    """A server with an admin port, perhaps a member."""

    def __init__(self, launcher: Launcher, sid: int = 0, lines: str = "") -> None:
        self.admin_port = free_port()
        config = {**COMMON, "admin.serverPort": str(self.admin_port)}
        config |= dict(line.split("=", 1) for line in lines.splitlines())
        super().__init__(launcher, config, {"zookeeper.extendedTypesEnabled": "true"})
        self.sid = sid
        if sid:
            (self.data / "myid").write_text(f"{sid}\n")

    def begin(self) -> None:
        """Starts the process and does not wait."""
        fixed = {"dataDir": self.data, "clientPort": self.port, "clientPortAddress": "127.0.0.1"}
        self.run(self.root, {**self.config, **fixed}, self.properties)

    def fields(self, command: str) -> dict[str, object]:
        """Returns the answer to a command; empty while there is none."""
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(ask(self.admin_port, Question("GET", f"/commands/{command}")).body)
            return dict(found)
        return {}


def await_that(server: AdminServer, command: str, name: str, *values: object) -> object:
    """Waits until a field of a command has one of some values, which it returns."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = server.fields(command).get(name)
        if found in values:
            return found
        time.sleep(0.05)
    raise NotStartedError(f"{server.launcher.name}: no {name} of {command}\n{server.log_tail()}")


@contextlib.contextmanager
def lone(launcher: Launcher) -> Iterator[dict[str, AdminServer]]:
    """Runs a server alone, at which two clients have been."""
    server = AdminServer(launcher)
    clients: list[Client] = []
    try:
        server.port = free_port()
        server.begin()
        await_that(server, "isro", "read_only", False)
        clients = [new_session(server.address, timeout) for timeout in (20_000, 30_000)]
        use(*clients)
        yield {"standalone": server}
    finally:
        for client in clients:
            client.channel.close()
        server.cleanup()


def use(one: Client, two: Client) -> None:
    """Makes znodes, ephemerals, a quota and watches."""
    for path in ("/a", "/a/b", "/q", "/ä€", '/"\\'):
        one.call("create", wire.create(path, b"x", OPEN, 0))
    for path in ("/zookeeper/quota/q", "/zookeeper/quota/q/zookeeper_limits"):
        one.call("create", wire.create(path, b"count=10,bytes=200", OPEN, 0))
    one.call("create", wire.create("/eph1", b"", OPEN, 1))
    two.call("create", wire.create("/eph2", b"", OPEN, 1))
    two.call("create", wire.create("/a/seq-", b"", OPEN, 3))
    for number in range(140):
        one.call("setData", wire.set_data("/q", b"%d" % number))
    one.call("getData", wire.path_watch("/a", True))
    one.call("getChildren", wire.path_watch("/a", True))
    one.call("getData", wire.path_watch("/ä€", True))
    two.call("getData", wire.path_watch("/a", True))
    two.call("exists", wire.path_watch("/missing", True))


@contextlib.contextmanager
def ensemble(launcher: Launcher) -> Iterator[dict[str, AdminServer]]:
    """Runs three voters and an observer; a client of a follower has an ephemeral."""
    ports = {sid: [free_port() for _ in range(3)] for sid in (1, 2, 3, 4)}
    lines = "".join(
        f"server.{sid}=127.0.0.1:{quorum}:{election}:{'observer' if sid == 4 else 'participant'}"
        f";127.0.0.1:{client}\n"
        for sid, (quorum, election, client) in ports.items()
    )
    servers = [AdminServer(launcher, sid, lines) for sid in ports]
    client: Client | None = None
    try:
        for server in servers:
            server.port = ports[server.sid][2]
            server.begin()
        roles: dict[str, AdminServer] = {}
        for server in servers:
            role = await_that(server, "mntr", "server_state", *ROLES)
            roles[str(role)] = server
        await_that(roles["leader"], "obsr", "synced_observers", 1)
        client = new_session(roles["follower"].address, 20_000)
        client.call("create", wire.create("/x", b"", OPEN, 1))
        await_that(roles["observer"], "mntr", "ephemerals_count", 1)
        yield roles
    finally:
        if client is not None:
            client.channel.close()
        for server in servers:
            server.cleanup()


@contextlib.contextmanager
def without_quorum(launcher: Launcher) -> Iterator[dict[str, AdminServer]]:
    """Runs one of three members."""
    lines = "".join(
        f"server.{sid}=127.0.0.1:{free_port()}:{free_port()};127.0.0.1:{free_port()}\n"
        for sid in (1, 2, 3)
    )
    server = AdminServer(launcher, 1, lines)
    try:
        server.port = int(lines.splitlines()[0].rpartition(":")[2])
        server.begin()
        await_that(server, "ruok", "command", "ruok")
        yield {"noquorum": server}
    finally:
        server.cleanup()


SCENES: Final = {"alone": lone, "ensemble": ensemble, "without quorum": without_quorum}


def answers(launcher: Launcher, scene: str) -> dict[tuple[str, Question], Answered]:
    """Runs a scene; returns the answers by role and question."""
    with SCENES[scene](launcher) as servers:
        return {
            (role, question): ask(server.admin_port, question)
            for role, server in servers.items()
            for question in questions()
        }


def run(
    version: str, scene: str, launcher: Launcher, *, is_verbose: bool = False
) -> tuple[list[str], int]:
    """Returns what is different in a scene, but for what is known, and how much was compared."""
    theirs = answers(oracle.find(version).admin_launcher(), scene)
    ours = answers(launcher, scene)
    masked = MASKED if scene == "alone" else MASKED_OF_MEMBERS
    wrong = []
    for (role, question), answer in theirs.items():
        problem = compare(question, answer, ours[role, question], masked)
        known = ADMIN_QUESTIONS.get(str(question)) or ADMIN_QUESTIONS.get(f"{version} {question}")
        if problem and (is_verbose or not known):
            wrong.append(f"{version} {role}: {question}: {problem}{' (known)' if known else ''}")
    return wrong, len(theirs)


def main(arguments: list[str] | None = None) -> int:
    """Compares; returns the exit status: 1 for a difference."""
    parser = argparse.ArgumentParser(prog="python -m conformance.admin", description=__doc__)
    parser.add_argument("--oracle", choices=("3.8", "3.9"), action="append")
    parser.add_argument("--scene", choices=sorted(SCENES), action="append")
    parser.add_argument("--verbose", action="store_true", help="show known differences, too")
    options = parser.parse_args(arguments)
    is_different = False
    for version in options.oracle or ("3.8", "3.9"):
        for scene in options.scene or SCENES:
            try:
                wrong, count = run(version, scene, pyzk_launcher(), is_verbose=options.verbose)
            except oracle.OracleMissingError as error:
                sys.stdout.write(f"SKIPPED {version}, {scene}: {error}\n")
                continue
            sys.stdout.write(f"{version}, {scene}: {count} answers, {len(wrong)} differences\n")
            sys.stdout.writelines(f"    {line}\n" for line in wrong)
            is_different = is_different or bool(wrong)
    return int(is_different)


if __name__ == "__main__":
    sys.exit(main())
