"""The commands of a transcript; each docstring has an example, and `README.md` prints them all.

A member is named by its number, a direction as ``1->3``, both directions as ``1-3``.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pyzk.quorum.leader import Leader
from pyzk.quorum.learner import Learner
from pyzk.server.outbox import TakeSnapshot
from pyzk.zxid import format_zxid
from tests.transcripts import puppets
from tests.transcripts.disk import ranges
from tests.transcripts.histories import History
from tests.transcripts.stage import Actor, Stage
from tests.transcripts.wire import Data

Command = Callable[[Stage, list[str]], None]
_DIRECTION = re.compile(r"(\d+)->(\d+)")
_HIDDEN = "/zookeeper"


def _actor(stage: Stage, word: str) -> Actor:
    return stage.actor(int(word))


def _sids(text: str) -> list[int]:
    return [int(piece) for piece in text.split(",")]


def _direction(word: str) -> tuple[int, int]:
    match = _DIRECTION.fullmatch(word)
    if match is None:
        raise ValueError(f"{word!r} is no direction, as 1->3")
    return int(match[1]), int(match[2])


def _options(words: list[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words if "=" in word)


# --- before it begins -----------------------------------------------------------------


def ensemble(stage: Stage, words: list[str]) -> None:
    """Make members 1, 2, ...; observers get the last numbers, a committed log has 500 transactions
    if nothing is said, and leaders hold no proposals back. Other words are lines of zoo.cfg.

    ensemble 3
    ensemble 3 observers=1 committed=2 snapshotSizeFactor=-1
    """
    numbers = {"observers": 0, "committed": 500}
    settings = []
    for word in words[1:]:
        key, _, value = word.partition("=")
        if key in numbers:
            numbers[key] = int(value)
        else:
            settings.append(word)
    stage.build(int(words[0]), numbers["observers"], numbers["committed"], settings)


def restore(stage: Stage, words: list[str]) -> None:
    """Say what is on the disks of members: epochs, log files, snapshots, each by what it holds.
    The transaction 0x100000002 creates /e1c2.

    restore 1,2 accepted=1 current=1 log=0x100000001..0x100000003 snapshot=0x100000001
    """
    for sid in _sids(words[0]):
        history = History()
        for word in words[1:]:
            history.take(word)
        history.write(stage.actor(sid).disk.directory)


def puppet(stage: Stage, words: list[str]) -> None:
    """Make a member a puppet, which says only what `send` lets it say; a learner dials its leader.

    puppet 3
    puppet 1 dials 3
    """
    actor = _actor(stage, words[0])
    assert actor.peer is None, f"{actor.sid} runs"
    actor.is_puppet = True
    if words[1:2] == ["dials"]:
        leader = _actor(stage, words[2])
        assert leader.peer is not None, f"{leader.sid} does not run"
        link = leader.life.link_accepted(f"server {actor.sid}")
        assert link is not None, f"{leader.sid} refuses"
        stage.wire.connect(actor.sid, None, leader.sid, link)
        stage.note(f"{actor.sid}->{leader.sid} connected")
        stage.drain(leader)


# --- members --------------------------------------------------------------------------


def start(stage: Stage, words: list[str]) -> None:
    """Start members from what their disks have; they look for a leader.

    start 1 2
    """
    for word in words:
        stage.start(_actor(stage, word))


def elect(stage: Stage, words: list[str]) -> None:
    """End the election of the members behind ``by`` with the first one as their leader, whether
    or not it should win; who does not run is started.

    elect 3 by 1,3
    """
    leader = int(words[0])
    assert words[1] == "by", words
    voters = _sids(words[2])
    actors = [actor for actor in map(stage.actor, voters) if not actor.is_puppet]
    for actor in actors:
        if actor.peer is None:
            stage.start(actor)
    for actor in actors:
        stage.elect(actor, leader, tuple(voters))


def vote(stage: Stage, words: list[str]) -> None:
    """Let everything arrive that members say about elections, now and whenever one of them wakes
    within the time.

    vote
    vote 400ms
    """
    stage.ballots.run()
    left_ms = int(words[0].removesuffix("ms")) if words else 0
    while left_ms > 0:
        stage.advance(min(left_ms, 100))
        stage.ballots.run()
        left_ms -= 100


def counter(stage: Stage, words: list[str]) -> None:
    """Let an established leader, that has proposed nothing yet, go on with this zxid, and its
    learners believe that they had all before: a transcript cannot wait for four billion
    transactions.

    counter 3 0x2fffffffd
    """
    role = _actor(stage, words[0]).life.role
    assert isinstance(role, Leader), role
    zxid = int(words[1], 16)
    assert role.last_proposed == role.last_committed, "it has proposed something"
    role.prep.next_zxid = zxid
    role.last_proposed = role.last_committed = zxid - 1
    role.member.database.tree.last_zxid = zxid - 1
    for actor in stage.actors.values():
        other = actor.life.role if actor.peer is not None else None
        if isinstance(other, Learner):
            other.sync.uncommitted.last_zxid = zxid - 1


def crash(stage: Stage, words: list[str]) -> None:
    """Kill a member and its power: what the disk has not answered is lost. ``kept``: the disk had
    done all of it, only nobody was told. ``torn``: it was in the middle of the oldest record.
    ``within``: the oldest order had got so many writes, syncs and changes of names far.

    crash 1
    crash 1 kept
    crash 1 torn
    crash 1 within=5
    """
    within = _options(words).get("within")
    stage.crash(
        _actor(stage, words[0]),
        keep="kept" in words,
        tear="torn" in words,
        within=None if within is None else int(within),
    )


def restart(stage: Stage, words: list[str]) -> None:
    """Start a member again; crash it before if it runs.

    restart 1
    """
    actor = _actor(stage, words[0])
    if actor.peer is not None:
        stage.crash(actor)
    stage.start(actor)


# --- disk, network, time --------------------------------------------------------------


def sync(stage: Stage, words: list[str]) -> None:
    """Let the disk of a member do and answer its oldest order, or all of them.

    sync 1
    sync 1 all
    """
    actor = _actor(stage, words[0])
    if words[1:] == ["all"]:
        while stage.sync(actor):
            pass
    elif not stage.sync(actor):
        stage.note(f"{actor.sid} has nothing to sync")


def snapshot(stage: Stage, words: list[str]) -> None:
    """Order a snapshot of what a member has in memory, as it does by itself from time to time.

    snapshot 1
    """
    actor = _actor(stage, words[0])
    order = actor.disk.take(TakeSnapshot(), actor.life.member.database)
    stage.note(f"{actor.sid} {order}")


def deliver(stage: Stage, words: list[str]) -> None:
    """Let what is on its way arrive: all that is there now, so many packets, up to a packet of a
    type, or the first half of one.

    deliver 3->1
    deliver 3->1 2
    deliver 3->1 until=NEWLEADER
    deliver 3->1 half
    """
    source, target = _direction(words[0])
    flights = stage.wire.queue(source, target)
    option = words[1] if len(words) > 1 else str(len(flights))
    if option == "half":
        stage.deliver_half(source, target)
        return
    if option.startswith("until="):
        wanted = option.removeprefix("until=")
        while flights:
            flight = flights[0]
            stage.deliver(source, target)
            if isinstance(flight, Data) and flight.text.split()[0] == wanted:
                return
        raise ValueError(f"no {wanted} is on its way")
    if not option.isdecimal():
        raise ValueError(f"write half, until=NEWLEADER or a number, not {option!r}")
    if option == "0":
        stage.note(f"{source}->{target} nothing")
    for _ in range(int(option)):
        stage.deliver(source, target)


def cut(stage: Stage, words: list[str]) -> None:
    """Break the connection of two members; what is on its way is lost, both notice.

    cut 1-3
    """
    first, second = words[0].split("-")
    stage.cut(int(first), int(second))


def hold(stage: Stage, words: list[str]) -> None:
    """Keep `run` from a disk or a direction; `sync` and `deliver` still work.

    hold 1 3->2
    """
    for word in words:
        if "->" in word:
            stage.held_links.add(_direction(word))
        else:
            stage.held_disks.add(int(word))


def release(stage: Stage, words: list[str]) -> None:
    """End a `hold`.

    release 1 3->2
    """
    for word in words:
        if "->" in word:
            stage.held_links.discard(_direction(word))
        else:
            stage.held_disks.discard(int(word))


def run(stage: Stage, words: list[str]) -> None:
    """Let everything arrive and become durable until nothing happens any more, among all members
    or some. ``until`` stops ahead of the first packet of a type in a direction.

    run
    run 1,3
    run until 3->1 NEWLEADER
    """
    sids = list(stage.actors)
    if words and words[0] != "until":
        sids = _sids(words[0])
        words = words[1:]
    if not words:
        stage.run(sids)
        return
    direction, wanted = _direction(words[1]), words[2]
    held = direction in stage.held_links
    stage.held_links.add(direction)
    flights = stage.wire.queue(*direction)
    while True:
        stage.run(sids)
        if not flights:
            raise ValueError(f"there comes no {wanted}")
        flight = flights[0]
        if isinstance(flight, Data) and flight.text.split()[0] == wanted:
            break
        if not stage.deliver(*direction):
            raise ValueError(f"there comes no {wanted}")
    if not held:
        stage.held_links.discard(direction)


def advance(stage: Stage, words: list[str]) -> None:
    """Let time pass; members are woken when they asked for it.

    advance 200ms
    """
    stage.advance(int(words[0].removesuffix("ms")))


def send(stage: Stage, words: list[str]) -> None:
    """Let a puppet say something; it arrives at once. A snapshot is told by what it holds, and
    may come half.

    send 3->1 PROPOSAL 0x200000001
    send 3->1 SNAP 0x100000001..0x100000003
    send 3->1 SNAP 0x100000001..0x100000003 half
    """
    source, target = _direction(words[0])
    end = stage.wire.between(source, target)
    assert end is not None, f"{source} has no connection with {target}"
    if words[1] == "SNAP":
        stage.wire.write(end, puppets.encode_snapshot(words[2]))
        stage.deliver(source, target)
        if words[3:] == ["half"]:
            stage.deliver_half(source, target)
            return
    else:
        stage.wire.write(end, puppets.encode(words[1:]))
    stage.deliver(source, target)


# --- clients --------------------------------------------------------------------------


def client(stage: Stage, words: list[str]) -> None:
    """Connect a client to a member, let it ask for something, or break its connection. Its later
    connections are of the same session; ``new`` begins another.

    client A open 1 timeout=10000
    client A create /a hello
    client A create /b ephemeral
    client A set /a text 0
    client A get /a watch
    client A delete /a
    client A multi create:/c set:/a:x
    client A reconfig 3,4
    client A sync /
    client A close
    client A drop
    """
    name, verb, *rest = words
    if verb == "open":
        if "new" in rest:
            stage.clients.pop(name, None)
        stage.open(name, int(rest[0]), int(_options(rest).get("timeout", "10000")))
    elif verb == "drop":
        stage.drop_client(name)
    else:
        stage.request(name, [verb, *rest])


# --- a look at things -----------------------------------------------------------------


def _all(stage: Stage, words: list[str]) -> list[Actor]:
    if words:
        return [stage.actor(sid) for word in words for sid in _sids(word)]
    return list(stage.actors.values())


def state(stage: Stage, words: list[str]) -> None:
    """Print what members are, in memory.

    state
    state 1 3
    """
    for actor in _all(stage, words):
        if actor.peer is None:
            stage.note(f"{actor.sid} {'is a puppet' if actor.is_puppet else 'does not run'}")
            continue
        life = actor.life
        member = life.member
        vote = life.election.current_vote
        stage.note(
            f"{actor.sid} {actor.shown[1]}: accepted={member.epochs.accepted}"
            f" current={member.epochs.current} tree={format_zxid(member.database.last_zxid)}"
            f" logged={format_zxid(member.logged_zxid)} synced={format_zxid(member.synced_zxid)}"
            f" vote={vote.leader} of epoch {vote.peer_epoch}"
        )


def log(stage: Stage, words: list[str]) -> None:
    """Print what is in the log files of members, and which snapshots there are.

    log 1 2
    """
    for actor in _all(stage, words):
        disk = actor.disk
        pieces = [f"{name} has {ranges(disk.zxids(name))}" for name in disk.logs()]
        stage.note(f"{actor.sid} {', '.join([*disk.snapshots(), *pieces])}")


def tree(stage: Stage, words: list[str]) -> None:
    """Print the znodes in the memory of members.

    tree 1 2
    """
    for actor in _all(stage, words):
        database = actor.life.member.database
        paths = sorted(
            path for path in database.tree.nodes if path != "/" and not path.startswith(_HIDDEN)
        )
        stage.note(f"{actor.sid} {' '.join(paths) or 'empty'}")


def committed(stage: Stage, words: list[str]) -> None:
    """Print the committed log in the memory of members: what a learner is brought up to date with.

    committed 3
    """
    for actor in _all(stage, words):
        kept = actor.life.member.database.committed
        assert kept is not None, actor.sid
        stage.note(f"{actor.sid} committed log: {ranges(list(kept.zxids))}")


COMMANDS: dict[str, Command] = {
    command.__name__: command
    for command in (
        ensemble, restore, puppet,
        start, elect, vote, counter, crash, restart,
        sync, snapshot, deliver, cut, hold, release, run, advance, send,
        client,
        state, log, tree, committed,
    )
}  # fmt: skip

_MOST_WORDS = {
    "puppet": 3, "elect": 3, "vote": 1, "counter": 2, "crash": 2, "restart": 1, "sync": 2,
    "snapshot": 1, "deliver": 2, "cut": 1, "run": 4, "advance": 1,
}  # fmt: skip
"""How many words a command takes at most; the others take as many as there are."""


def perform(stage: Stage, line: str) -> None:
    """Carry out one line. In front of a command ``quietly`` hides what happens."""
    words = line.split()
    is_quiet = words[0] == "quietly"
    if is_quiet:
        words = words[1:]
    command = COMMANDS.get(words[0])
    if command is None:
        raise ValueError(f"there is no command {words[0]!r}")
    most = _MOST_WORDS.get(words[0], len(words))
    if len(words) - 1 > most:
        raise ValueError(f"{words[0]} takes no {' '.join(words[most + 1 :])!r}")
    before = len(stage.lines)
    command(stage, words[1:])
    if is_quiet:
        del stage.lines[before:]
