"""Ports that are given away before anybody listens there."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from pyzk.runtime import free_ports as module
from pyzk.runtime.free_ports import BLOCK, MOST_BLOCKS, Blocks, blocks_beside, free_ports

PROCESSES = 8
EACH = 150
ASK = f"""
import sys
from pyzk.runtime.free_ports import free_ports
print(*free_ports({EACH}), flush=True)
sys.stdin.read()
"""
FORK = """
import os
from pyzk.runtime.free_ports import free_port, free_ports
print(free_port(), flush=True)
if child := os.fork():
    os.waitpid(child, 0)
print(*free_ports(5), flush=True)
"""
ELSEWHERE = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
USUAL = (32768, 60999)


@pytest.fixture
def blocks() -> Iterator[Blocks]:
    """Blocks of another process, as it were."""
    made = Blocks()
    yield made
    made.release()


def test_no_port_is_given_twice_to_processes_that_ask_at_once() -> None:
    with ExitStack() as stack:
        children = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", ASK], stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            )
            for _ in range(PROCESSES)
        ]
        given: list[int] = free_ports(EACH)
        for child in children:
            assert child.stdout is not None
            given += map(int, child.stdout.readline().split())
    assert len(given) == len(set(given)) == (PROCESSES + 1) * EACH


def test_no_port_is_given_twice_to_threads_that_ask_at_once(blocks: Blocks) -> None:
    with ThreadPoolExecutor(PROCESSES) as pool:
        given = [port for ports in pool.map(blocks.take, [20] * PROCESSES) for port in ports]
    assert len(set(given)) == 20 * PROCESSES


def test_a_forked_child_has_ports_of_its_own() -> None:
    found = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, check=True, text=True, timeout=30
    )
    given = found.stdout.split()
    assert len(given) == len(set(given)) == 1 + 2 * 5


@pytest.mark.skipif(
    not Path(module.OUTGOING).exists(), reason="this system does not tell its range"
)
def test_no_outgoing_connection_takes_a_port_that_was_given() -> None:
    low, high = map(int, Path(module.OUTGOING).read_text().split())
    if not blocks_beside((low, high)):
        pytest.skip("this machine has no other ports")
    assert not [port for port in free_ports(2 * BLOCK) if low <= port <= high]


def test_a_port_in_use_is_passed_over(blocks: Blocks) -> None:
    _, second = blocks.take(2)
    with ExitStack() as stack:
        # Somebody listens, at another address; somebody is connected, and does not listen.
        taken = [second + 1, second + 2]
        stack.enter_context(socket.create_server((ELSEWHERE, taken[0])))
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = stack.enter_context(socket.socket())
        client.bind(("127.0.0.1", taken[1]))
        client.connect(server.getsockname())
        assert not {*taken} & {*blocks.take(BLOCK // 2)}


def test_a_server_listens_at_once_at_a_port_that_was_given() -> None:
    for host in ("127.0.0.1", ""):
        for port in free_ports(3):
            socket.create_server((host, port)).close()


def test_blocks_lie_outside_the_range_of_outgoing_connections() -> None:
    found = blocks_beside(USUAL)
    ports = {port for first in found for port in range(first, first + BLOCK)}
    assert min(ports) == module.FIRST
    assert max(ports) < 1 << 16
    assert not ports & set(range(USUAL[0], USUAL[1] + 1))
    assert [first for first in found if first > USUAL[1]]
    assert all(then - first >= BLOCK for first, then in pairwise(found))
    assert blocks_beside((1024, 65535)) == []


def test_without_a_port_outside_the_range_those_in_it_are_given(
    blocks: Blocks, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = tmp_path / "range"
    told.write_text("1024\t65535\n")
    monkeypatch.setattr(module, "OUTGOING", str(told))
    assert len(set(blocks.take(5))) == 5


def test_a_system_that_does_not_tell_its_range_has_the_registered_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "OUTGOING", str(tmp_path / "none"))
    assert module.outgoing() == (49152, 65535)


def test_after_very_many_ports_the_oldest_are_given_again(blocks: Blocks) -> None:
    most = MOST_BLOCKS * (BLOCK - 1)
    first = blocks.take(most)
    assert len(set(first)) == most
    assert set(blocks.take(BLOCK)) <= set(first)
    assert len(blocks.held) == MOST_BLOCKS


def test_with_all_ports_taken_it_is_told(blocks: Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_claim", lambda _port: None)
    with pytest.raises(OSError, match="no free port") as caught:
        blocks.take(1)
    assert caught.value.errno == errno.EADDRINUSE


def test_a_released_block_can_be_taken_by_others(blocks: Blocks) -> None:
    blocks.take(1)
    lock = blocks.first_ports[0]
    with pytest.raises(OSError, match=os.strerror(errno.EADDRINUSE)):
        socket.create_server(("127.0.0.1", lock)).close()
    blocks.release()
    socket.create_server(("127.0.0.1", lock)).close()
