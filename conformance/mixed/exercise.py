"""Exercises that clients do through each member of an ensemble, with the same results.

Shell.

Each function takes an ensemble that serves and leaves it serving. The exercises work on frames, as
a client that tries again would hide faults.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Final

from conformance import wire
from conformance.differential.requests import ALICE
from conformance.frames import Client, ClosedError, Frame
from conformance.mixed.ensemble import Ensemble
from conformance.mixed.members import MixedError, MixedMember, check, eventually
from conformance.wire import OPEN, OPS, Acl

ALICES: Final = (Acl(31, "digest", ALICE),)
EPHEMERAL: Final = 1
SEQUENTIAL: Final = 2
CONTAINER: Final = 4
PERSISTENT_TTL: Final = 5
BAD_ARGUMENTS: Final = -8
NO_NODE: Final = -101
NO_AUTH: Final = -102
SESSION_MOVED: Final = -118
DATA_CHANGED: Final = 3
CHILDREN_CHANGED: Final = 4
CREATED: Final = 1
RECURSIVE: Final = 1
SHORT_MS: Final = 3000
"""The timeout of a session whose end is waited for."""


def _call(client: Client, op: str, body: bytes) -> Frame:
    """Sends a request that must succeed."""
    answer = client.call(op, body)
    check(not answer.err, f"{op} {body[:60]!r} at {client.address}: error {answer.err}")
    return answer


def make_top(ensemble: Ensemble, name: str) -> str:
    """Creates a new node for what follows; returns it when every member knows it."""
    client = ensemble.client(ensemble.leader().sid)
    ensemble.tops += 1
    top = f"/{name}{ensemble.tops}"
    _call(client, "create", wire.create(top))
    client.close_session()
    for member in ensemble.running:
        with_sync(ensemble, member, top)
    return top


def with_sync(ensemble: Ensemble, member: MixedMember, path: str) -> None:
    """Lets a member catch up with the leader, by a sync."""
    client = ensemble.client(member.sid)
    _call(client, "sync", wire.string(path))
    client.close_session()


def script(top: str, nested_create: str) -> list[tuple[str, bytes]]:
    """Returns requests of every kind, good and bad, below one node."""
    node, child = f"{top}/node", f"{top}/node/child"
    stamped = [Acl(31, "auth", "")]
    good = [
        (OPS["create"], wire.create(f"{top}/m", b"made")),
        (OPS[nested_create], wire.create(f"{top}/m/s", b"", flags=SEQUENTIAL)),
        (OPS["setData"], wire.set_data(f"{top}/m", b"changed", 0)),
        (OPS["check"], wire.path_version(f"{top}/m", 1)),
        (OPS["delete"], wire.path_version(f"{top}/m/s0000000000", 0)),
        (OPS["createContainer"], wire.create(f"{top}/m/c", b"", flags=CONTAINER)),
        (OPS["createTTL"], wire.create_ttl(f"{top}/m/t", b"", OPEN, PERSISTENT_TTL, 10**9)),
    ]
    bad = [*good[2:4], (OPS["check"], wire.path_version(f"{top}/m", 77)), good[0]]
    return [
        ("create", wire.create(top)),
        ("create", wire.create(node, b"first")),
        ("create", wire.create(node, b"again")),
        ("create2", wire.create(child, None)),
        ("create", wire.create(f"{top}/none/child")),
        ("create", wire.create("no-slash")),
        ("create", wire.create(f"{top}/acl", b"", ())),
        ("create", wire.create(f"{top}/acl", b"", (Acl(31, "digest", "no-colon"),))),
        ("create", wire.create(f"{top}/stamped", b"x", tuple(stamped))),
        ("createContainer", wire.create(f"{top}/container", b"c", flags=CONTAINER)),
        ("create", wire.create(f"{top}/container/child")),
        ("createTTL", wire.create_ttl(f"{top}/ttl", b"t", OPEN, PERSISTENT_TTL, 10**9)),
        ("createTTL", wire.create_ttl(f"{top}/bad", b"t", OPEN, PERSISTENT_TTL, 0)),
        *[("create", wire.create(f"{top}/s-", b"%d" % n, flags=SEQUENTIAL)) for n in range(3)],
        ("create", wire.create(f"{top}/ephemeral", b"e", flags=EPHEMERAL)),
        ("create", wire.create(f"{top}/ephemeral/child")),
        ("create", wire.create(f"{top}/e-", b"", flags=EPHEMERAL | SEQUENTIAL)),
        ("setData", wire.set_data(node, b"second", 0)),
        ("setData", wire.set_data(node, b"third", 0)),
        ("setData", wire.set_data(node, None)),
        ("setData", wire.set_data(f"{top}/none", b"")),
        ("getData", wire.path_watch(node)),
        ("exists", wire.path_watch(f"{top}/none")),
        ("delete", wire.path_version(node)),
        ("delete", wire.path_version(child, 5)),
        ("delete", wire.path_version(child, 0)),
        ("delete", wire.path_version(f"{top}/none")),
        ("setACL", wire.set_acl(node, (Acl(1, "world", "anyone"), *ALICES), 0)),
        ("setACL", wire.set_acl(node, OPEN, 0)),
        ("setData", wire.set_data(node, b"no right to")),
        ("getACL", wire.string(node)),
        ("multi", wire.multi(good)),
        ("multi", wire.multi(bad)),
        ("multi", wire.multi([])),
        ("multiRead", wire.multi([(OPS["getData"], wire.path_watch(node))])),
        ("getChildren2", wire.path_watch(top)),
        ("getAllChildrenNumber", wire.string(top)),
        ("getEphemerals", wire.string(top)),
        ("sync", wire.string(top)),
        ("sync", wire.string(f"{top}/none")),
    ]


def _comparable(value: object, top: str) -> object:
    """Returns a decoded answer without what depends on time and place of the request."""
    if isinstance(value, dict):
        unstable = {"zxid", "czxid", "mzxid", "pzxid", "ctime", "mtime"}
        result = {k: _comparable(v, top) for k, v in value.items() if k not in unstable}
        if result.get("ephemeralOwner") not in (None, "0x0"):
            result["ephemeralOwner"] = "a session"
        return result
    if isinstance(value, list):
        return [_comparable(item, top) for item in value]
    return value.replace(top, "") if isinstance(value, str) else value


_OF_PATHS: Final = wire.UNORDERED | {"ephemerals"}
"""Lists whose order depends on whole paths, which differ between members."""


def answers_are_equal(ensemble: Ensemble) -> None:
    """Compares the answers that equal requests get through every member, whoever leads."""
    base = make_top(ensemble, "answers")
    # A 3.8 server does not apply a create2 in a multi as 3.9 (and this project) logs it, and goes
    # on with another tree; it does so under a leader of 3.9, too. See docs/migration.md.
    is_old = any("3.8" in member.launcher.name for member in ensemble.running)
    nested_create = "create" if is_old else "create2"
    found: dict[int, list[object]] = {}
    for member in ensemble.running:
        client = ensemble.client(member.sid)
        client.login("alice:a")
        top = f"{base}/{member.sid}"
        last_zxid = 0
        found[member.sid] = []
        for op, body in script(top, nested_create):
            answer = client.call(op, body)
            check(answer.zxid >= last_zxid, f"{op} at {member}: zxid {answer.zxid:#x} goes back")
            last_zxid = answer.zxid
            decoded = _comparable(wire.decode_reply(answer.payload, OPS[op]), top)
            found[member.sid].append((op, wire.without_order(decoded, _OF_PATHS)))
        client.close_session()
    first = ensemble.running[0]
    for member in ensemble.running[1:]:
        for ours, theirs in zip(found[member.sid], found[first.sid], strict=True):
            check(ours == theirs, f"answers differ:\n  {member}: {ours}\n  {first}: {theirs}")


def the_root_stays(ensemble: Ensemble) -> None:
    """Its deletion fails through every member, as a transaction of its own, with a zxid of its own:
    so a follower may put it in the place of a write that it may not send on."""
    for member in ensemble.running:
        client = ensemble.client(member.sid)
        zxids = []
        for op, body, err in (
            ("setData", wire.set_data("/", b""), 0),
            ("delete", wire.path_version("/"), BAD_ARGUMENTS),
            ("setData", wire.set_data("/", b""), 0),
        ):
            answer = client.call(op, body)
            check(answer.err == err, f"{op} / at {member}: error {answer.err}, not {err}")
            zxids.append(answer.zxid)
        check(zxids[0] < zxids[1] < zxids[2], f"zxids at {member}: {zxids}")
        client.close_session()


def writes_are_seen_everywhere(ensemble: Ensemble) -> None:
    """What is written through one member is read through every other after a sync."""
    top = make_top(ensemble, "seen")
    clients = {member.sid: ensemble.client(member.sid) for member in ensemble.running}
    queue = f"{top}/queue"
    _call(clients[ensemble.leader().sid], "create", wire.create(queue))
    names = []
    for number in range(2):
        for sid, client in clients.items():
            path = f"{top}/by{sid}"
            data = b"%d by %d" % (number, sid)
            if number == 0:
                client.call("create", wire.create(path))
            _call(client, "setData", wire.set_data(path, data))
            made = _call(client, "create", wire.create(f"{queue}/n-", data, flags=SEQUENTIAL))
            names.append(wire.Reader(made.body).string() or "")
            for other, reader in clients.items():
                _call(reader, "sync", wire.string(path))
                body = _call(reader, "getData", wire.path_watch(path)).body
                seen = wire.Reader(body).buffer()
                check(seen == data, f"{ensemble[other]} reads {seen!r}, not {data!r}")
    numbers = [int(name[-10:]) for name in names]
    check(
        numbers == list(range(numbers[0], numbers[0] + len(numbers))),
        f"sequence numbers through all members: {numbers}",
    )
    for client in clients.values():
        client.close_session()


def requests_are_answered_in_order(ensemble: Ensemble) -> None:
    """Many requests under way at once are answered in order, and each sees those before it."""
    top = make_top(ensemble, "order")
    for member in ensemble.running:
        client = ensemble.client(member.sid)
        path = f"{top}/{member.sid}"
        sent = [client.send("create", wire.create(path))]
        for number in range(60):
            sent.append(client.send("setData", wire.set_data(path, b"%d" % number)))
            sent.append(client.send("getData", wire.path_watch(path)))
            if number % 20 == 7:
                sent.append(client.send("sync", wire.string(path)))
                sent.append(client.send("delete", wire.path_version(path, 10**6)))
        seen = 0
        for xid in sent:
            answer = client.receive()
            check(answer.xid == xid, f"{member} answered {answer.xid} before {xid}")
            data = wire.Reader(answer.body).buffer() if answer.body[:1] == b"\x00" else None
            if data and data.isdigit():
                check(int(data) == seen, f"{member} read {data!r} after {seen} writes")
                seen += 1
        check(seen == 60, f"{member} answered {seen} reads of 60")
        client.close_session()


def _attach(member: MixedMember, client: Client) -> Client | None:
    """Returns a client's session on a new connection; None if the member closed it unanswered."""
    again = member.connection()
    try:
        accepted = again.connect(30000, client.session, client.password, client.last_zxid)
    except ClosedError:
        again.channel.close()
        return None
    check(accepted, f"{member} refuses a session")
    check(again.session == client.session, f"{member} changes the session")
    again.xid, again.last_zxid = client.xid + 1000, client.last_zxid
    return again


def move(ensemble: Ensemble, member: MixedMember, client: Client, timeout: float = 30) -> Client:
    """Takes a client's session up at a member.

    A member that is behind what the client has seen rightly closes the connection without an
    answer. The client then tries another server, as clients do, and comes back.
    """
    others = itertools.cycle([each for each in ensemble.running if each is not member])
    end = time.monotonic() + timeout
    elsewhere = None
    while time.monotonic() < end:
        known = member.zxid()
        again = _attach(member, elsewhere or client)
        if again is None:
            check(
                known < client.last_zxid,
                f"{member} is at {known:#x} and refuses who has seen {client.last_zxid:#x}",
            )
            again = _attach(next(others), elsewhere or client)
            if again is None:
                continue
        if elsewhere is not None:
            elsewhere.channel.close()
        if again.address == member.address:
            return again
        elsewhere = again
    raise MixedError(f"{member} did not take a session up in {timeout:g} s")


def sessions_move(ensemble: Ensemble) -> None:
    """A session goes from member to member, with its ephemeral; its old connection cannot write."""
    top = make_top(ensemble, "moving")
    order = [*ensemble.running, ensemble.running[0]]
    client = ensemble.client(order[0].sid)
    path = f"{top}/ephemeral"
    _call(client, "create", wire.create(path, b"", flags=EPHEMERAL))
    for before, member in itertools.pairwise(order):
        again = move(ensemble, member, client)
        _call(again, "setData", wire.set_data(path, b"%d" % member.sid))
        try:
            answer = client.call("setData", wire.set_data(path, b"late"))
            check(
                answer.err == SESSION_MOVED,
                f"{before} lets a session write that moved to {member}: {answer.err}",
            )
        except ClosedError:
            pass
        client.channel.close()
        body = _call(again, "getData", wire.path_watch(path)).body
        check(wire.Reader(body).buffer() == b"%d" % member.sid, "the late write was done")
        client = again
    for member in ensemble.running:
        wrong = member.connection()
        accepted = wrong.connect(30000, client.session, b"x" * 16, 0)
        check(not accepted, f"{member} takes a wrong password")
        gone = member.connection()
        accepted = gone.connect(30000, 0x77, client.password, 0)
        check(not accepted, f"{member} takes a session that never was")
        ahead = member.connection()
        try:
            ahead.connect(30000, client.session, client.password, client.last_zxid + 10**12)
            check(False, f"{member} takes a client that has seen more than it")
        except ClosedError:
            pass
        for one in (wrong, gone, ahead):
            one.channel.close()
    # An attempt, even a wrong one, costs the connection that the session has there.
    again = order[-1].connection()
    accepted = again.connect(30000, client.session, client.password, client.last_zxid)
    check(accepted, "the session did not survive what others tried with it")
    again.close_session()
    _await_gone(ensemble, [path])


def _event(client: Client) -> tuple[int, str | None]:
    """Returns the type and path of the next event."""
    frame = client.events.pop(0) if client.events else client.receive()
    check(frame.xid == -1, f"an answer {frame.xid} where an event was to come")
    reader = wire.Reader(frame.body)
    kind, _ = reader.i32(), reader.i32()
    return kind, reader.string()


def watches_fire(ensemble: Ensemble) -> None:
    """Watches at each member fire once for changes through the others, before the new state
    shows."""
    top = make_top(ensemble, "watched")
    leader = ensemble.leader()
    for member in ensemble.running:
        # A leader of the original tells observers of a commit ahead of applying it, and a sync of
        # its own clients waits for no commit: an observer's client may know a change first.
        is_behind = member is leader and not member.is_pyzk
        watcher = ensemble.client(member.sid)
        path = f"{top}/{member.sid}"
        _call(watcher, "create", wire.create(path))
        add = wire.string(path) + wire.i32(RECURSIVE)
        recursive = ensemble.client(member.sid)
        _call(recursive, "addWatch", add)
        for other in ensemble.running:
            writer = ensemble.client(other.sid)
            new = f"{path}/new{other.sid}"
            _call(watcher, "getData", wire.path_watch(path, True))
            _call(watcher, "getChildren", wire.path_watch(path, True))
            watcher.call("exists", wire.path_watch(new, True))
            _call(writer, "setData", wire.set_data(path, b"%d" % other.sid))
            _call(writer, "create", wire.create(new))
            _call(watcher, "sync", wire.string(path))
            wanted = [(DATA_CHANGED, path), (CREATED, new), (CHILDREN_CHANGED, path)]
            count = len(wanted) if is_behind else len(watcher.events)
            seen = [_event(watcher) for _ in range(count)]
            who = f"watches at {member}, writes through {other}"
            check(sorted(seen) == sorted(wanted), f"{who}: {seen}")
            check(_event(recursive) == (DATA_CHANGED, path), f"{who}: a recursive watch")
            check(_event(recursive) == (CREATED, new), f"{who}: a recursive watch")
            writer.close_session()
        watcher.close_session()
        recursive.close_session()


def watches_move(ensemble: Ensemble) -> None:
    """Watches set again at another member fire at once for what was missed."""
    top = make_top(ensemble, "missed")
    order = ensemble.running
    for before, after in zip(order, [*order[1:], order[0]], strict=True):
        client = ensemble.client(before.sid)
        path = f"{top}/{before.sid}"
        _call(client, "create", wire.create(path))
        _call(client, "getData", wire.path_watch(path, True))
        client.channel.close()
        writer = ensemble.client(before.sid)
        _call(writer, "setData", wire.set_data(path, b"missed"))
        _call(writer, "create", wire.create(f"{path}/child"))
        writer.close_session()
        with_sync(ensemble, after, path)
        again = after.connection()
        check(
            again.connect(30000, client.session, client.password, client.last_zxid),
            f"{after} refuses a session of {before}",
        )
        again.xid = 1000
        body = wire.set_watches(client.last_zxid, [path], [f"{path}/child"], [path])
        answer = again.call("setWatches", body, xid=-8)
        check(not answer.err, f"{after} refuses setWatches: {answer.err}")
        seen = sorted(_event(again) for _ in range(len(again.events)))
        wanted = [(CREATED, f"{path}/child"), (DATA_CHANGED, path), (CHILDREN_CHANGED, path)]
        check(seen == wanted, f"missed at {before}, told by {after}: {seen}")
        again.close_session()


def _await_gone(ensemble: Ensemble, paths: list[str], timeout: float = 20) -> None:
    """Waits until every member says that these nodes do not exist."""
    for member in ensemble.running:
        client = ensemble.client(member.sid)
        for path in paths:

            def is_gone(client: Client = client, path: str = path) -> bool:
                return client.call("exists", wire.path_watch(path)).err == NO_NODE

            eventually(f"{path} is gone at {member}", is_gone, timeout)
        client.close_session()


def sessions_end(ensemble: Ensemble) -> None:
    """Ephemerals end with sessions that close or fall silent; sessions that only ping stay."""
    top = make_top(ensemble, "ending")
    closing: list[tuple[Client, str]] = []
    silent: list[tuple[Client, str]] = []
    pinging: list[tuple[Client, str]] = []
    gone = []
    for member in ensemble.running:
        for role, group in (("closing", closing), ("silent", silent), ("pinging", pinging)):
            client = ensemble.client(member.sid, SHORT_MS)
            path = f"{top}/{role}-{member.sid}"
            _call(client, "create", wire.create(path, b"", flags=EPHEMERAL))
            group.append((client, path))
            gone += [path] if group is not pinging else []
    for client, _ in closing:
        client.close_session()
    end = time.monotonic() + 2.5 * SHORT_MS / 1000
    while time.monotonic() < end:
        for client, _ in pinging:
            client.call("ping", xid=-2)
        time.sleep(SHORT_MS / 5000)
    for client, path in pinging:
        answer = client.call("exists", wire.path_watch(path))
        check(not answer.err, f"{path} went although its session pinged")
    for client, _ in pinging:
        client.close_session()
    _await_gone(ensemble, gone + [path for _, path in pinging])
    for client, path in silent:
        again = ensemble.at(client.address).connection()
        accepted = again.connect(SHORT_MS, client.session, client.password, 0)
        check(not accepted, f"the session of {path} expired and is taken up again")
        again.channel.close()
        client.channel.close()


def containers_and_ttls_go(ensemble: Ensemble) -> None:
    """Containers that have become empty, and nodes whose time to live is over, are removed."""
    top = make_top(ensemble, "reaped")
    paths = []
    for member in ensemble.running:
        client = ensemble.client(member.sid)
        container, short = (f"{top}/{kind}{member.sid}" for kind in "ct")
        _call(client, "createContainer", wire.create(container, b"", flags=CONTAINER))
        _call(client, "create", wire.create(f"{container}/child"))
        _call(client, "delete", wire.path_version(f"{container}/child"))
        _call(client, "createTTL", wire.create_ttl(short, b"", OPEN, PERSISTENT_TTL, 300))
        paths += [container, short]
        client.close_session()
    _await_gone(ensemble, paths)


def identities_are_known(ensemble: Ensemble) -> None:
    """ACLs set through one member hold at all, for reads there and for writes at the leader."""
    top = make_top(ensemble, "rights")
    for member in ensemble.running:
        owner = ensemble.client(member.sid)
        owner.login("alice:a")
        path = f"{top}/{member.sid}"
        _call(owner, "create", wire.create(path, b"secret", (Acl(31, "auth", ""),)))
        for other in ensemble.running:
            stranger = ensemble.client(other.sid)
            _call(stranger, "sync", wire.string(path))
            requests: dict[str, bytes] = {
                "getData": wire.path_watch(path),
                "setData": wire.set_data(path, b"other"),
                "create": wire.create(f"{path}/child"),
                "setACL": wire.set_acl(path, OPEN),
            }
            for op, body in requests.items():
                answer = stranger.call(op, body)
                check(answer.err == NO_AUTH, f"{op} of a stranger at {other}: {answer.err}")
            stranger.login("alice:a")
            _call(stranger, "setData", wire.set_data(path, b"mine"))
            _call(stranger, "getData", wire.path_watch(path))
            stranger.close_session()
        owner.close_session()


ALL: Final[tuple[Callable[[Ensemble], None], ...]] = (
    answers_are_equal,
    the_root_stays,
    writes_are_seen_everywhere,
    requests_are_answered_in_order,
    sessions_move,
    watches_fire,
    watches_move,
    identities_are_known,
    sessions_end,
    containers_and_ttls_go,
)


def everything(ensemble: Ensemble, parts: Sequence[Callable[[Ensemble], None]] = ALL) -> str:
    """Does all these exercises; returns a few words on them."""
    for part in parts:
        try:
            part(ensemble)
        except Exception as error:
            error.add_note(f"in {part.__name__}, led by {ensemble.leader()}")
            raise
    return f"{len(parts)} exercises through {len(ensemble.running)} members"
