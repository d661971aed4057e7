"""The audit log beside the original's: the same commands, and then the lines of both.

Shell.

`python -m conformance.audit` compares a running 3.9.3 with this server; `record` writes what the
original says into tests/testdata/audit, which the tests replay without Java.  Session ids and the
user of the server, which no two servers share, are replaced by words.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import getpass
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from conformance import oracle, wire
from conformance.frames import Client, ClosedError, new_session
from conformance.servers import Launcher, Server, pyzk_launcher
from conformance.wire import OPEN, Acl

RECORDING: Final = Path(__file__).parent.parent / "tests" / "testdata" / "audit" / "commands.jsonl"
CONFIG: Final = {
    "audit.enable": "true",
    "extendedTypesEnabled": "true",
    "authProvider.1": "org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider",
    "reconfigEnabled": "true",
}
PROPERTIES: Final = {
    "zookeeper.DigestAuthenticationProvider.superDigest": "super:D/InIHSb7yEEbrWz8b9l71RjZJU=",
    "zookeeper.admin.enableServer": "false",
}
_LINE: Final = re.compile(r"(?:Slf4jAuditLogger|pyzk\.audit):? (.*)")
_SESSION: Final = re.compile(r"0x[0-9a-f]+")

READ_ONLY: Final = (Acl(1, "world", "anyone"),)
TWO: Final = (Acl(31, "world", "anyone"), Acl(5, "ip", "127.0.0.1"))
ODD: Final = (Acl(0, "world", "anyone"), Acl(28, "auth", "x"))


@attrs.frozen
class Step:
    """One request: of which client, what, and the body."""

    client: str
    op: str
    body: bytes = b""
    xid: int | None = None


def _multi(*operations: tuple[str, bytes]) -> bytes:
    return wire.multi([(wire.OPS[name], body) for name, body in operations])


def _creates() -> list[Step]:
    steps = [
        Step("a", op, wire.create(f"/{op}{flags}", b"x", OPEN, flags))
        for op in ("create", "create2", "createContainer")
        for flags in (0, 1, 2, 3, 4, 5, 6, 7, 9, -1)
    ]
    steps += [
        Step("a", "createTTL", wire.create_ttl(f"/ttl{flags}", b"x", OPEN, flags, ttl))
        for flags, ttl in ((5, 5000), (6, 5000), (5, 0), (0, 5000), (4, 5000))
    ]
    return [
        *steps,
        Step("a", "create", wire.create("/create0", b"", OPEN, 0)),
        Step("a", "create", wire.create("/none/b", b"", OPEN, 0)),
        Step("a", "create", wire.create("/none/b", b"", OPEN, 2)),
        Step("a", "create", wire.create("bad", b"", OPEN, 0)),
        Step("a", "create", wire.create("", b"", OPEN, 0)),
        Step("a", "create", wire.create(None, b"", OPEN, 0)),
        Step("a", "create", wire.create("/ü", b"", OPEN, 0)),
        Step("a", "create", wire.create("/noacl", b"", (), 0)),
        Step("a", "create", wire.create("/nullacl", b"", None, 0)),
        Step("a", "create", wire.create("/create1/child", b"", OPEN, 0)),
        Step("a", "create", b"\0\0\0\x09/x"),
    ]


def _others() -> list[Step]:
    return [
        Step("a", "setData", wire.set_data("/create0", b"1")),
        Step("a", "setData", wire.set_data("/create0", b"1", 77)),
        Step("a", "setData", wire.set_data("/none", b"1")),
        Step("a", "setData", wire.set_data(None, b"1")),
        Step("a", "setACL", wire.set_acl("/create0", TWO)),
        Step("a", "setACL", wire.set_acl("/create0", OPEN, 44)),
        Step("a", "setACL", wire.set_acl("/create0", ())),
        Step("a", "setACL", wire.set_acl("/create0", None)),
        Step("a", "setACL", wire.set_acl("/create0", ODD)),
        Step("a", "setACL", wire.set_acl("/create0", (Acl(31, "foo", "x"),))),
        Step("a", "setACL", wire.set_acl("/none", READ_ONLY)),
        Step("a", "delete", wire.path_version("/create20", 3)),
        Step("a", "delete", wire.path_version("/create20")),
        Step("a", "delete", wire.path_version("/create20")),
        Step("a", "delete", wire.path_version("/zookeeper")),
        Step("a", "delete", wire.path_version(None)),
        Step("a", "getData", wire.path_watch("/create0")),
        Step("a", "exists", wire.path_watch("/none")),
        Step("a", "sync", wire.string("/")),
        Step("a", "reconfig", wire.reconfig(None, "3", None)),
        Step("d", "check", wire.path_version("/create0")),
    ]


def _multis() -> list[Step]:
    create = wire.create
    return [
        Step(
            "b",
            "multi",
            _multi(
                ("create", create("/m", b"", OPEN, 0)),
                ("create2", create("/m/1", b"", OPEN, 1)),
                ("create", create("/m/s", b"", OPEN, 2)),
                ("createContainer", create("/m/c", b"", OPEN, 4)),
                ("create", create("/m/d", b"", OPEN, 4)),
                ("createTTL", wire.create_ttl("/m/t", b"", OPEN, 5, 9999)),
                ("setData", wire.set_data("/m", b"2")),
                ("check", wire.path_version("/m")),
                ("delete", wire.path_version("/m/1")),
            ),
        ),
        Step(
            "b",
            "multi",
            _multi(
                ("setData", wire.set_data("/m", b"3")),
                ("delete", wire.path_version("/none")),
                ("create", create("/m/never", b"", OPEN, 0)),
            ),
        ),
        Step("b", "multi", _multi()),
        Step("b", "multi", _multi(("create", create("/m/x", b"", None, 0)))),
        Step("b", "multi", b"\0\0\0\x01"),
        Step("b", "multiRead", _multi(("getData", wire.path_watch("/m")))),
    ]


def _identities() -> list[Step]:
    bob = wire.auth("digest", b"bob:pw")
    return [
        Step("c", "create", wire.create("/alone", b"", READ_ONLY, 0)),
        Step("c", "create", wire.create("/alone/x", b"", OPEN, 0)),
        Step("c", "setData", wire.set_data("/alone", b"")),
        Step("c", "setACL", wire.set_acl("/alone", OPEN)),
        Step("c", "auth", bob, -4),
        Step("c", "auth", wire.auth("ensemble", b"any"), -4),
        Step("c", "create", wire.create("/bob", b"", (Acl(31, "auth", ""),), 0)),
        Step("c", "create", wire.create("/bob/eph", b"", OPEN, 1)),
        Step("c", "create", wire.create("/bob/eph2", b"", OPEN, 1)),
        Step("c", "auth", wire.auth("digest", b"super:test"), -4),
        Step("c", "setACL", wire.set_acl("/alone", OPEN)),
        Step("c", "auth", wire.auth("digest", b":nobody"), -4),
        Step("c", "delete", wire.path_version("/alone")),
        Step("c", "closeSession"),
        Step("a", "delete", wire.path_version("/bob")),
        Step("b", "closeSession"),
        Step("a", "closeSession"),
    ]


STEPS: Final = [*_creates(), *_others(), *_multis(), *_identities()]
CLIENTS: Final = ("a", "b", "c", "d")


def _play(server: Server) -> list[str]:
    """Sends all steps; returns the words for the session ids."""
    clients: dict[str, Client] = {name: new_session(server.address) for name in CLIENTS}
    words = {f"0x{clients[name].session & (1 << 64) - 1:x}": name for name in CLIENTS}
    for step in STEPS:
        with contextlib.suppress(ClosedError):
            clients[step.client].call(step.op, step.body, step.xid)
    return [f"{key} {word}" for key, word in words.items()]


def lines(launcher: Launcher, properties: dict[str, str] | None = None) -> list[str]:
    """Returns the audit log of a server that is started, asked everything, and stopped."""
    said: list[str] = []
    launcher = attrs.evolve(launcher, log_level="info")
    with Server(launcher, CONFIG, {**PROPERTIES, **(properties or {})}) as server:
        words = dict(word.split(" ") for word in _play(server))
        server.stop()
        said = server.log.read_text(errors="replace").splitlines()
    found = (_LINE.search(line) for line in said)
    return [_without_names(match[1], words) for match in found if match is not None]


def _without_names(line: str, words: dict[str, str]) -> str:
    line = _SESSION.sub(lambda match: words.get(match[0], match[0]), line)
    return re.sub(rf"\buser={re.escape(getpass.getuser())}\b", "user=SERVER", line)


def in_any_order_of_users(line: str) -> str:
    """Returns a line with its users sorted: there they stand in the order of a hash set."""
    fields = line.split("\t")
    return "\t".join(
        f"user={','.join(sorted(field[5:].split(',')))}" if field.startswith("user=") else field
        for field in fields
    )


def comparable(said: list[str]) -> list[str]:
    """Returns the lines without those that may differ: creates with a TTL, which are told of here
    as from 3.9.4, and the end of the server, which the original's logger may not live to see."""
    return [
        in_any_order_of_users(line)
        for line in said
        if "\tznode=/ttl" not in line and "serverStop" not in line
    ]


def record() -> None:
    """Writes the steps and what 3.9.3 logs of them."""
    steps = [attrs.asdict(step) | {"body": step.body.hex()} for step in STEPS]
    parts: list[object] = [*steps, *comparable(lines(oracle.launcher("3.9")))]
    RECORDING.parent.mkdir(parents=True, exist_ok=True)
    RECORDING.write_text("".join(f"{json.dumps(part)}\n" for part in parts))


def difference(launcher: Launcher) -> tuple[list[str], int]:
    """Returns how the log of a server differs from that of 3.9.3, and how many lines there are."""
    theirs = comparable(lines(oracle.launcher("3.9")))
    ours = comparable(lines(launcher))
    diff = difflib.unified_diff(theirs, ours, "3.9.3", launcher.name, lineterm="", n=0)
    return list(diff), len(theirs)


def compare() -> int:
    """Prints how the two logs differ; returns the exit status."""
    found, count = difference(pyzk_launcher())
    print("\n".join([*found, f"{count} lines there"]))
    return 1 if found else 0


ACTIONS: Final[dict[str, Callable[[], int | None]]] = {"compare": compare, "record": record}


def main(arguments: list[str] | None = None) -> int:
    """Compares or records; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m conformance.audit")
    parser.add_argument("action", nargs="?", choices=tuple(ACTIONS), default="compare")
    return ACTIONS[parser.parse_args(arguments).action]() or 0


if __name__ == "__main__":
    sys.exit(main())
