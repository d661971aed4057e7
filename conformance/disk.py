"""The original and this server take turns on one data directory, and see the same tree.

Shell.

    python -m conformance.disk --turns 3

A mixed workload runs on the server whose turn it is. A super user reads the tree before the server
stops (cleanly and by kill -9 in turn) and again after the other has started on the directory. At
the end the original's own tools read the logs and snapshots.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from conformance import oracle, wire
from conformance.differential.requests import ALICE, SUPER, digest_id
from conformance.frames import Client, new_session
from conformance.oracle import Oracle, OracleMissingError
from conformance.servers import Launcher, NotStartedError, Server, pyzk_launcher
from conformance.wire import Acl

PROPERTIES: Final = {
    "zookeeper.extendedTypesEnabled": "true",
    "zookeeper.DigestAuthenticationProvider.superDigest": digest_id(SUPER),
    "znode.container.checkIntervalMs": "3600000",
}
ALICES: Final = (Acl(31, "digest", ALICE), Acl(1, "world", "anyone"))

Tree = dict[str, tuple[object, object]]
"""Path to (data and stat, acl), as decoded from the wire."""


class DiskError(Exception):
    """The two servers do not see the same tree."""


def super_client(server: Server) -> Client:
    """Returns a session that may read everything."""
    client = new_session(server.address, 30000)
    client.login(SUPER)
    return client


def read_tree(client: Client) -> Tree:
    """Returns every node with its data, statistics and access control list."""
    tree: Tree = {}
    waiting = ["/"]
    while waiting:
        path = waiting.pop()
        data = client.call("getData", wire.path_watch(path))
        acl = client.call("getACL", wire.string(path))
        names = client.call("getChildren", wire.path_watch(path))
        if data.err or acl.err or names.err:
            raise DiskError(f"cannot read {path}: errors {data.err} {acl.err} {names.err}")
        node = wire.decode_reply(data.payload, wire.OPS["getData"])["body"]
        rights = wire.Reader(acl.body).acl()
        tree[path] = (node, rights)
        top = "" if path == "/" else path
        waiting += [f"{top}/{name}" for name in wire.Reader(names.body).strings() or ()]
    return tree


def compare_trees(before: Tree, after: Tree, who: str) -> None:
    """Checks that two trees are equal in everything."""
    for path in sorted({*before, *after}):
        if before.get(path) != after.get(path):
            raise DiskError(
                f"{who} sees {path} otherwise:\n  before {before.get(path)}\n"
                f"  after  {after.get(path)}"
            )


def workload(server: Server, chance: random.Random, turn: int) -> None:
    """Uses all kinds of nodes, ACLs, quotas, multis, failed requests, sessions that stay or end."""
    client = new_session(server.address, 30000)
    client.login("alice:a")
    leaving = new_session(server.address, 30000)
    top = f"/turn{turn}"
    content = [None, b"", b"x", bytes(range(256)), b"text " * 50]

    def call(op: str, body: bytes) -> None:
        client.call(op, body)

    call("create", wire.create(top, b"top"))
    call("create", wire.create(f"/zookeeper/quota{top}"))
    limits, stats = (f"/zookeeper/quota{top}/zookeeper_{name}" for name in ("limits", "stats"))
    call("create", wire.create(limits, b"count=500,bytes=100000"))
    call("create", wire.create(stats, b"count=0,bytes=0"))
    call("createContainer", wire.create(f"{top}/container", flags=4))
    call("createTTL", wire.create_ttl(f"{top}/ttl", b"t", wire.OPEN, 5, 10**9))
    call("create", wire.create(f"{top}/alice", b"secret", ALICES))
    call("create2", wire.create(f"{top}/höhe", b"", (Acl(31, "ip", "127.0.0.0/8"),)))
    leaving.call("create", wire.create(f"{top}/ephemeral-gone", b"", flags=1))
    for step in range(120):
        path = f"{top}/n{chance.randrange(20)}"
        data = chance.choice(content)
        kind = chance.randrange(9)
        if kind <= 2:
            flags = chance.choice([0, 0, 2])
            call("create", wire.create(path, data, flags=flags))
        elif kind == 3:
            call("setData", wire.set_data(path, data))
        elif kind == 4:
            call("delete", wire.path_version(path, chance.choice([-1, -1, 0])))
        elif kind == 5:
            call("setACL", wire.set_acl(path, chance.choice([wire.OPEN, ALICES, ALICES[:1]])))
        elif kind == 6:
            call("create", wire.create(f"{path}/child{step}", data))
        else:
            parts = [
                (wire.OPS["create"], wire.create(f"{top}/m{step}", data)),
                (wire.OPS["create2"], wire.create(f"{top}/s", data, flags=2)),
                (wire.OPS["setData"], wire.set_data(f"{top}/m{step}", b"changed")),
                (wire.OPS["check"], wire.path_version(top, 0 if kind == 7 else 77)),
                (wire.OPS["delete"], wire.path_version(f"{top}/m{step}")),
            ]
            call("multi", wire.multi(parts))
    leaving.close_session()
    # This session goes on over the change of servers, with its ephemeral.
    client.call("create", wire.create(f"{top}/ephemeral", b"e", flags=1))
    client.channel.close()


def read_through(server: Server, before: Tree | None, who: str) -> None:
    """Checks that a server sees after its start the tree that was seen before."""
    if before is not None:
        client = super_client(server)
        compare_trees(before, read_tree(client), who)
        client.close_session()


def take_turns(first: Launcher, second: Launcher, turns: int, chance: random.Random) -> Path:
    """Lets two servers alternate on one directory; returns it, for the tools to read."""
    root = Path(tempfile.mkdtemp(prefix="pyzk-disk-"))
    before: Tree | None = None
    for turn in range(turns * 2 + 1):
        launcher = (first, second)[turn % 2]
        config = {"snapCount": str(chance.choice([50, 100000])), "maxSessionTimeout": "60000"}
        server = Server(launcher, config, PROPERTIES, data=root / "data")
        try:
            server.start()
            read_through(server, before, f"{launcher.name}, turn {turn}")
            workload(server, chance, turn)
            client = super_client(server)
            before = read_tree(client)
            client.close_session()
            stopped = "killed" if chance.random() < 0.5 else "stopped"
            if stopped == "killed":
                server.kill()
            print(f"  turn {turn}: {launcher.name} ({len(before)} nodes), {stopped}")
        finally:
            server.cleanup()
    return root / "data" / "version-2"


def read_with_tools(original: Oracle, folder: Path) -> int:
    """Runs the original's tools on every file; returns how many they have read."""
    count = 0
    for file in sorted(folder.iterdir()):
        if file.name.startswith("log."):
            command = original.txnlog(file)
        elif file.name.startswith("snapshot."):
            command = original.snapshot(file)
        else:
            continue
        done = subprocess.run(command, capture_output=True, text=True)
        complaint = re.search(r"Exception|CRC ERROR|[Cc]orrupt|ERROR", done.stdout + done.stderr)
        if done.returncode or complaint:
            text = (done.stdout + done.stderr)[-1500:]
            raise DiskError(f"{' '.join(command[-3:])} complains:\n{text}")
        count += 1
    return count


def check(first: Launcher, original: Oracle, turns: int, chance: random.Random) -> str:
    """Runs everything against one version of the original; returns a summary in one line."""
    begin = time.monotonic()
    folder = take_turns(first, original.launcher(), turns, chance)
    files = read_with_tools(original, folder)
    shutil.rmtree(folder.parent.parent)
    seconds = time.monotonic() - begin
    return (
        f"disk: {first.name} and ZooKeeper {original.version} took {turns} turns each on one"
        f" directory, same tree each time; its tools read {files} files ({seconds:.0f} s)"
    )


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 1 when the two differ."""
    parser = argparse.ArgumentParser(prog="python -m conformance.disk")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--version", default="3.9", help="of the original")
    parser.add_argument("--first", default="pyzk", help="pyzk, or a version of the original")
    options = parser.parse_args(arguments)
    try:
        original = oracle.find(options.version)
        first = pyzk_launcher() if options.first == "pyzk" else oracle.launcher(options.first)
    except OracleMissingError as missing:
        print(f"disk: SKIPPED: {missing}")
        return 0
    try:
        print(check(first, original, options.turns, random.Random(options.seed)))
    except (DiskError, NotStartedError) as error:
        print(f"disk: DIFFERENT (seed {options.seed})\n{error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
