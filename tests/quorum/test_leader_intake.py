"""Bytes on the way through a leader: writes wait, learners that are only behind stay."""

from __future__ import annotations

import pytest

from pyzk.constants import OpCode
from pyzk.jute.records import CreateRequest, CreateSessionTxn, SetDataRequest
from pyzk.quorum import packets
from pyzk.quorum.learner_handler import LearnerHandler
from pyzk.quorum.packets import ForwardedRequest
from pyzk.server.marks import Marks
from pyzk.zxid import make
from tests.frames import encode_request
from tests.quorum.leader_world import SYNC_TICKS, LeaderWorld, Learner, membership
from tests.quorum.test_leader_broadcast import applied, established, own_create, sync
from tests.transactions import SESSION
from tests.world import Client

SIZE = 1000


def proposed(world: LeaderWorld) -> int:
    return world.leader.last_proposed - make(2, 0)


def committed(world: LeaderWorld) -> int:
    return world.leader.last_committed - make(2, 0)


def is_stalled(client: Client) -> bool:
    return client.connection.is_stalled


def catch_up(learner: Learner, pieces: int = 1 << 30) -> None:
    """Read so many pieces, of one packet or so, and acknowledge what is in them."""
    learner.reads = True
    learner.take(limit=1, pieces=pieces)
    learner.reads = pieces == 1 << 30
    handler = learner.link.owner
    assert isinstance(handler, LearnerHandler)
    acked = handler.acked_zxid
    proposals = [each.zxid for each in learner.packets if each.type == packets.PROPOSAL]
    learner.ack(*[zxid for zxid in proposals if zxid > acked])


def client_of(world: LeaderWorld, *voters: Learner) -> Client:
    """A client of the leader, with its session."""
    client = world.open()
    client.handshake()
    for learner in voters:
        learner.ack_all()
    client.connect_response()
    return client


def set_root(client: Client) -> None:
    client.submit(OpCode.SET_DATA, SetDataRequest("/", bytes(SIZE), -1))


# --- requests of learners -------------------------------------------------------------------


def test_requests_of_learners_wait_until_less_is_on_the_way() -> None:
    world, (first, second) = established(marks=Marks(proposal_bytes=3 * SIZE))
    for number in range(10):
        first.create(f"/{number}", data=bytes(SIZE))
    assert proposed(world) == 3
    for number in range(1, 11):
        assert proposed(world) <= number + 2
        second.ack(make(2, number))
    assert applied(world) == [f"/{number}" for number in range(10)]


def test_what_a_session_has_sent_before_it_moved_does_not_wait_until_it_comes_back() -> None:
    """REVALIDATE does not wait: a late write would be taken behind those that came after it."""
    world, (first, second) = established(marks=Marks(proposal_bytes=SIZE))
    first.create("/owned", data=bytes(SIZE))
    second.send(packets.encode_revalidate(SESSION, 6000))
    second.create("/later", data=bytes(SIZE))
    first.create("/late", data=bytes(SIZE))
    second.ack_all()
    first.send(packets.encode_revalidate(SESSION, 6000))
    for _ in range(3):
        second.ack_all()
    assert applied(world) == ["/owned", "/later"]


def test_what_waits_of_a_session_that_was_elsewhere_meanwhile_is_refused() -> None:
    """A client of the leader, where the session was meanwhile, waits in another line."""
    world, (first, second) = established(marks=Marks(proposal_bytes=SIZE))
    first.create("/owned", data=bytes(SIZE))
    first.create("/early", data=bytes(SIZE))
    second.send(packets.encode_revalidate(SESSION, 6000))
    first.send(packets.encode_revalidate(SESSION, 6000))
    first.create("/later", data=bytes(SIZE))
    for _ in range(3):
        second.ack_all()
    assert applied(world) == ["/owned", "/later"]


def test_a_sync_waits_behind_what_came_before_it() -> None:
    _, (first, second) = established(marks=Marks(proposal_bytes=SIZE))
    for number in range(3):
        first.create(f"/{number}", data=bytes(SIZE))
    sync(first)
    first.fresh()
    for number in range(1, 4):
        second.ack(make(2, number))
    assert first.fresh()[-2:] == [f"COMMIT {make(2, 3):#x}", "SYNC 0x0"]


def test_a_session_begins_although_too_much_is_on_the_way() -> None:
    world, (first, second) = established(marks=Marks(proposal_bytes=SIZE))
    for number in range(3):
        first.create(f"/{number}", data=bytes(SIZE))
    assert proposed(world) == 1
    second.request(OpCode.CREATE_SESSION, CreateSessionTxn(6000).encode(), session=0x99)
    assert proposed(world) == 2


def test_what_waits_of_a_learner_that_has_gone_is_done_all_the_same() -> None:
    world, (first, second) = established(marks=Marks(proposal_bytes=SIZE))
    for number in range(3):
        first.create(f"/{number}", data=bytes(SIZE))
    sync(first)
    first.link.lost("gone")
    for number in range(1, 4):
        second.ack(make(2, number))
    assert committed(world) == 3


def test_the_end_of_the_leader_forgets_what_waits() -> None:
    world, (first, _) = established(marks=Marks(proposal_bytes=SIZE))
    for number in range(3):
        first.create(f"/{number}", data=bytes(SIZE))
    world.leader.stop()
    assert len(world.leader.unapplied) == 1


# --- a learner that is behind ---------------------------------------------------------------

SLOW = Marks(queue_bytes=4 * SIZE, intake_bytes=SIZE)


class Behind:
    """One follower keeps up, one learner reads nothing; clients have filled its queue."""

    def __init__(self, observers: int = 0) -> None:
        self.world, learners = established(observers=observers, marks=SLOW)
        self.first, self.slow = learners[0], learners[-1]
        self.clients = [client_of(self.world, self.first) for _ in range(12)]
        self.slow.reads = False
        self.written = 0
        self.write()
        assert self.is_held()
        assert self.slow.link.queued_bytes < 6 * SIZE

    def write(self) -> None:
        """Each client wants to write once; the follower that keeps up acknowledges."""
        for client in self.clients:
            set_root(client)
            self.first.ack_all()
            self.written += 1

    def is_held(self) -> bool:
        return any(client.connection.is_stalled for client in self.clients)

    def answers(self) -> list[int]:
        return [reply.err for client in self.clients for reply in client.replies()]


@pytest.mark.parametrize("observers", [0, 1])
def test_a_learner_that_is_behind_holds_up_the_writes(observers: int) -> None:
    """Until it has taken what waits; nobody is dropped, nothing lost."""
    behind = Behind(observers)
    assert len(behind.answers()) < 6
    for _ in range(60):
        catch_up(behind.slow, pieces=1)
        behind.first.ack_all()
        assert behind.slow.link.queued_bytes < 6 * SIZE
    assert not behind.slow.is_closed()
    assert not behind.is_held()
    assert behind.world.server.queues.outstanding_bytes == 0


def test_reads_and_sessions_do_not_wait_meanwhile() -> None:
    behind = Behind()
    other = behind.world.open()
    other.handshake()
    behind.first.ack_all()
    assert other.connect_response() is not None
    assert other.exists("/").err == 0
    assert behind.is_held()


def test_a_slow_learner_may_hold_up_the_writes_for_sync_limit() -> None:
    """With progress; then it goes, and comes back when it can."""
    behind = Behind()
    world, first, slow = behind.world, behind.first, behind.slow
    for _ in range(2 * SYNC_TICKS):
        assert not slow.is_closed()
        catch_up(slow, pieces=2)
        behind.write()
        world.beat(1, first, slow)
    assert not slow.is_closed()
    world.beat(1, first, slow)
    assert slow.is_closed()
    assert not world.over()
    for _ in range(behind.written):
        first.ack_all()
    assert not behind.is_held()
    assert behind.answers() == [0] * behind.written


def test_who_has_caught_up_may_fall_behind_again() -> None:
    behind = Behind()
    for _ in range(3):
        behind.world.beat(2 * SYNC_TICKS - 2, behind.first, behind.slow)
        for _each in range(behind.written):
            catch_up(behind.slow)
            behind.first.ack_all()
        assert not behind.is_held()
        behind.world.beat(2, behind.first, behind.slow)
        behind.slow.reads = False
        behind.write()
        assert behind.is_held()
    assert not behind.slow.is_closed()


def test_a_learner_that_the_quorum_needs_is_not_dropped_for_being_slow() -> None:
    world, (first, second) = established(marks=Marks(queue_bytes=4 * SIZE, intake_bytes=1 << 20))
    client = client_of(world, first, second)
    first.reads = second.reads = False
    for _ in range(12):
        set_root(client)
    assert client.connection.is_stalled
    for _ in range(5 * SYNC_TICKS):
        for learner in (first, second):
            catch_up(learner, pieces=1)
        set_root(client)
        world.beat(1, first, second)
    assert not first.is_closed()
    assert not second.is_closed()
    assert not world.over()
    for _ in range(40):
        for learner in (first, second):
            catch_up(learner)
    assert len(client.replies()) == 12 + 5 * SYNC_TICKS


def test_both_stand_still_for_a_while_and_go_on() -> None:
    world, (first, second) = established(marks=SLOW)
    client = client_of(world, first, second)
    first.reads = second.reads = False
    for _ in range(30):
        set_root(client)
    world.beat(2 * SYNC_TICKS - 1)
    assert not first.is_closed()
    assert not second.is_closed()
    for _ in range(30):
        for learner in (first, second):
            catch_up(learner)
    assert [reply.err for reply in client.replies()] == [0] * 30


# --- silence, and ACKs that do not come -----------------------------------------------------


def test_a_follower_that_reads_nothing_is_silent() -> None:
    world, (first, second) = established()
    second.reads = False
    own_create(world, "/a")
    first.ack(make(2, 1))
    world.beat(2 * SYNC_TICKS - 1, first)
    assert not second.is_closed()
    world.beat(1, first)
    assert second.is_closed()


def stalled() -> tuple[LeaderWorld, Learner, Learner]:
    """A leader with ten large proposals for a learner that reads nothing, and the other's ACKs."""
    world, (first, second) = established()
    second.reads = False
    for number in range(1, 11):
        own_create(world, f"/{number}", bytes(SIZE))
        first.ack(make(2, number))
    return world, first, second


def test_what_waits_in_the_queue_is_not_awaited() -> None:
    """A line that carries one packet each syncLimit."""
    world, first, second = stalled()
    for _ in range(5):
        world.beat(2 * SYNC_TICKS - 1, first)
        catch_up(second, pieces=1)
        world.beat(1, first)
    assert not second.is_closed()
    assert second.link.queued_bytes
    assert not world.over()


def test_a_ping_does_not_wait_behind_proposals() -> None:
    """Its answer says which sessions live: on a slow line they would expire meanwhile."""
    world, first, second = stalled()
    second.fresh()
    world.beat(1, first)
    second.reads = True
    second.take(limit=1, pieces=1)
    assert second.packets[-1].type == packets.PING


def test_a_line_that_moves_is_not_silence() -> None:
    world, (first, second) = established()
    second.reads = False
    for number in range(40):
        own_create(world, f"/{number}")
        first.ack_all()
    for _ in range(3 * SYNC_TICKS):
        second.reads = True
        second.take(limit=1, pieces=1)
        second.reads = False
        world.beat(1, first)
    assert not second.is_closed()
    world.beat(2 * SYNC_TICKS + 1, first)
    assert second.is_closed()


def test_who_sends_a_packet_for_a_long_time_is_alive() -> None:
    """The answers to PINGs wait behind it on the line. The quorum is not lost for that."""
    world, (first, second) = established()
    second.link.lost("gone")
    create = CreateRequest("/a", bytes(SIZE), [], 0).encode()
    request = packets.encode_request(ForwardedRequest(SESSION, 1, OpCode.CREATE, create, None))
    for at in range(0, len(request), 50):
        world.beat(SYNC_TICKS)
        assert not world.over()
        first.send(request[at : at + 50])
    assert not first.is_closed()
    world.beat(3 * SYNC_TICKS)
    assert world.over()


def test_who_waits_long_for_a_quorum_is_alive_when_it_is_there() -> None:
    """Who was synchronized first says nothing until UPTODATE; it is not dead for that."""
    world = LeaderWorld(membership(5))
    first, second = (world.learner(sid) for sid in (2, 3))
    for learner in (first, second):
        learner.info()
    for learner in (first, second):
        learner.ack_epoch()
    first.ack_new_leader()
    world.beat(2 * SYNC_TICKS + 1)
    second.ack_new_leader()
    world.beat(1)
    assert not world.over()


def test_who_takes_everything_and_acknowledges_nothing_goes() -> None:
    """However often it answers PINGs, and whatever is queued for it meanwhile."""
    world, (first, second) = established()
    for number in range(1, 2 * SYNC_TICKS + 1):
        assert not second.is_closed()
        own_create(world, f"/{number}")
        first.ack(make(2, number))
        world.beat(1, first, second)
    assert second.is_closed()


# --- the own disk ---------------------------------------------------------------------------


def test_a_leader_whose_own_disk_is_behind_takes_no_further_writes() -> None:
    """The others' disks are enough to commit, so nothing else would bound what waits for it."""
    world, (first, second) = established(marks=Marks(log_bytes=3 * SIZE))
    client = client_of(world, first, second)
    world.is_disk_held = True
    for _ in range(10):
        set_root(client)
        for learner in (first, second):
            learner.ack_all()
    assert len(client.replies()) == 3
    assert is_stalled(client)
    first.create("/later")
    for _ in range(4):
        world.sync()
        for learner in (first, second):
            learner.ack_all()
    assert not is_stalled(client)
    assert len(client.replies()) == 7
    assert "/later" in applied(world)


def test_pings_of_a_client_that_is_not_read_are_not_missed() -> None:
    behind = Behind()
    world = behind.world
    client = next(each for each in behind.clients if each.connection.is_stalled)
    client.send(encode_request(-2, OpCode.PING))
    session = world.server.sessions.sessions[client.session_id]
    before = session.bucket_ms
    world.clock.now_ms += 1000
    world.server.touch_throttled()
    assert session.bucket_ms > before
