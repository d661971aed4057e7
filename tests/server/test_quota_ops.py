"""Quotas through requests: bookkeeping and enforcement, auth-acl-quota.md §10 and §13."""

from __future__ import annotations

import pytest

from pyzk.config.server import ServerConfig
from pyzk.constants import OpCode
from pyzk.jute.records import SetDataRequest
from tests.frames import create_request
from tests.server.calls import burst, create_as, data_of, errors, make, run_multi, stat_of
from tests.world import Client, World

ENFORCED = ServerConfig(enforce_quota=True)
STATS = "/zookeeper/quota/q/zookeeper_stats"
LIMITS = "/zookeeper/quota/q/zookeeper_limits"


def set_quota(client: Client, limits: str) -> None:
    """As zkCli does it for /q."""
    make(client, "/zookeeper/quota/q")
    assert client.create(LIMITS, limits.encode()).err == 0
    assert client.create(STATS, b"count=0,bytes=0").err == 0


def hard(*, count: int = -1, size: int = -1) -> str:
    return f"count=-1,bytes=-1=;byteHardLimit={size};countHardLimit={count}"


@pytest.fixture
def enforced() -> Client:
    client = World(ENFORCED).connect()
    client.create("/q", b"12345")
    return client


# --- bookkeeping --------------------------------------------------------------------


def test_usage_is_kept_without_a_trace_in_the_stat(client: Client) -> None:
    """§13 rows 25 and 26: no enforcement by default."""
    client.create("/q", b"12345")
    set_quota(client, hard(count=1, size=5))
    assert data_of(client, STATS) == b"count=1,bytes=5"
    before = stat_of(client, STATS)
    client.create("/q/a", b"123")
    assert data_of(client, STATS) == b"count=2,bytes=8"
    client.set_data("/q/a", b"1")
    assert data_of(client, STATS) == b"count=2,bytes=6"
    client.delete("/q/a")
    assert data_of(client, STATS) == b"count=1,bytes=5"
    assert stat_of(client, STATS) == before


def test_usage_changes_fire_no_watch_and_no_digest(world: World, client: Client) -> None:
    client.create("/q", b"")
    set_quota(client, hard(count=9))
    client.get_data(STATS, watch=True)
    client.replies()
    client.create("/q/a", b"1")
    assert client.replies() == []
    assert world.database.digest_mismatches == 0
    assert data_of(client, STATS) == b"count=2,bytes=1"


# --- enforcement --------------------------------------------------------------------


def test_the_count_may_reach_its_limit_and_not_pass_it(enforced: Client) -> None:
    """§13 row 24."""
    set_quota(enforced, hard(count=3))
    assert enforced.create("/q/a").err == 0
    assert enforced.create("/q/b").err == 0
    assert enforced.create("/q/c").err == -125
    assert enforced.exists("/q/c").err == -101
    assert create_as(enforced, OpCode.CREATE_CONTAINER, "/q/c", 4).err == -125
    assert enforced.create("/other").err == 0
    assert enforced.delete("/q/a").err == 0
    assert enforced.create("/q/c").err == 0


def test_the_bytes_may_reach_their_limit_and_not_pass_it(enforced: Client) -> None:
    set_quota(enforced, hard(size=10))
    assert enforced.create("/q/a", b"12345").err == 0
    assert enforced.create("/q/b", b"1").err == -125
    assert enforced.create("/q/b", None).err == 0
    assert enforced.set_data("/q/a", b"123456").err == -125
    assert enforced.set_data("/q/a", b"54321").err == 0
    assert enforced.set_data("/q/a", None).err == 0


def test_soft_limits_refuse_nothing(enforced: Client) -> None:
    set_quota(enforced, "count=1,bytes=1=;byteHardLimit=-1;countHardLimit=-1")
    assert enforced.create("/q/a", b"123").err == 0


def test_quota_comes_last_in_create(enforced: Client) -> None:
    set_quota(enforced, hard(count=1))
    assert enforced.create("/q/e/x").err == -101
    assert enforced.create("/q").err == -110
    enforced.create("/e", flags=1)
    assert enforced.create("/e/x").err == -108


def test_quota_comes_before_the_version_in_set_data(enforced: Client) -> None:
    set_quota(enforced, hard(size=5))
    assert enforced.set_data("/q", b"123456", 9).err == -125
    assert enforced.set_data("/q", b"12345", 9).err == -103


def test_a_failed_quota_fails_the_multi(enforced: Client) -> None:
    set_quota(enforced, hard(count=1))
    reply = run_multi(
        enforced,
        (OpCode.CREATE, create_request("/other")),
        (OpCode.CREATE, create_request("/q/a")),
    )
    assert errors(reply) == [0, -125]
    assert enforced.exists("/other").err == -101


def test_what_is_on_its_way_does_not_count_yet(enforced: Client) -> None:
    """The original's own oddity: quotas look at the applied tree, so a burst may overshoot."""
    set_quota(enforced, hard(count=2))
    enforced.world.is_disk_held = True
    burst(
        enforced,
        (OpCode.CREATE, create_request("/q/a")),
        (OpCode.CREATE, create_request("/q/b")),
        (OpCode.SET_DATA, SetDataRequest("/q", b"1234567", -1)),
    )
    enforced.world.sync()
    assert [reply.err for reply in enforced.replies()] == [0, 0, 0]
    enforced.world.is_disk_held = False
    assert enforced.create("/q/c").err == -125


def test_an_unreadable_limit_makes_the_request_unreadable(enforced: Client) -> None:
    """Recorded of the original (quota_enforced)."""
    set_quota(enforced, "garbage")
    assert enforced.create("/q/a").err == -5
    assert enforced.exists("/q/a").err == -101
