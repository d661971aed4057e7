"""Gates between the members of an ensemble that changes, beside faults that start members again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from conformance.ensemble_cluster import Cluster
from conformance.servers import pyzk_launcher

AT_ONCE = 4


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Members that nobody starts."""
    made = Cluster(pyzk_launcher(), 5, {})
    yield made
    made.cleanup()


@pytest.mark.skipif(sys.platform != "linux", reason="gates have addresses that only Linux has")
def test_each_gate_is_opened_once_by_threads_that_open_them_at_once(cluster: Cluster) -> None:
    barrier = Barrier(AT_ONCE)

    def open_gates(_: int) -> int:
        barrier.wait()
        cluster.open_gates()
        return len(cluster.named_gates)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(open_gates, range(AT_ONCE)))
    assert found == [5 * 4 * 2] * AT_ONCE
