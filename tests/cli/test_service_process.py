"""`pyzk serve` under a service manager, and what SIGHUP does to it: as a process."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyzk.runtime.free_ports import free_ports
from tests.processes import ENVIRONMENT, NO_ADMIN, Child, end
from tests.runtime.notified import NotifySocket, notify_socket

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("at_a_terminal")]

Serve = Callable[..., Child]


@pytest.fixture
def manager(tmp_path: Path, patience: float) -> Iterator[NotifySocket]:
    with notify_socket(str(tmp_path / "notify"), patience) as made:
        yield made


@pytest.fixture
def serve(tmp_path: Path, manager: NotifySocket) -> Iterator[Serve]:
    """Starts `pyzk serve` as a manager does; WATCHDOG_USEC, LISTEN_FDS by keyword."""
    children: list[Child] = []

    def serve(*arguments: str, shell: str = 'exec "$@"', **variables: str) -> Child:
        child = subprocess.Popen(
            ["sh", "-c", shell, "sh", sys.executable, "-m", "pyzk", "serve", NO_ADMIN, *arguments],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT | {"NOTIFY_SOCKET": manager.address} | variables,
            close_fds=False,
        )
        children.append(child)
        return child

    yield serve
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGCONT)
        end(child)


def port_of(status: str) -> int:
    return int(status.rpartition(":")[2])


def ask(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        sock.sendall(b"srvr")
        answer = b""
        while chunk := sock.recv(4096):
            answer += chunk
        return answer


def test_it_is_ready_when_it_serves_and_tells_its_end(
    serve: Serve, manager: NotifySocket, patience: float
) -> None:
    child = serve("--port", "0")
    told = manager.take()
    assert told.pop("READY") == "1"
    status = told.pop("STATUS")
    assert not told
    assert status.startswith("standalone, clients on 127.0.0.1:")
    assert b"Mode: standalone" in ask(port_of(status))
    assert "NOTIFY_SOCKET" not in ask_environment(child)
    child.terminate()
    assert manager.take() == {"STOPPING": "1", "STATUS": "SIGTERM: stopping"}
    assert child.wait(patience) == 0


def ask_environment(child: Child) -> str:
    """Returns the variables that a child of the process would get."""
    code = "import os; from pyzk.runtime import systemd; systemd.take_environment(os.environ);"
    code += "print(sorted(os.environ))"
    return subprocess.run(
        [sys.executable, "-c", code],
        env=ENVIRONMENT | {"NOTIFY_SOCKET": "/x"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_why_it_does_not_start_is_its_status(
    serve: Serve, manager: NotifySocket, patience: float
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        child = serve("--port", str(taken.getsockname()[1]))
        told = manager.take()
        assert told["STATUS"].startswith("cannot listen on 127.0.0.1:")
        assert child.wait(patience) == 1


def test_a_member_is_ready_when_it_has_started_and_tells_what_becomes_of_it(
    serve: Serve, manager: NotifySocket, tmp_path: Path, patience: float
) -> None:
    """Whoever starts three members one after the other waits for each of them."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "myid").write_text("1")
    (tmp_path / "zoo.cfg").write_text(
        "dataDir=d\nclientPort=0\nclientPortAddress=127.0.0.1\ninitLimit=5\nsyncLimit=5\n"
        "standaloneEnabled=false\ntickTime=200\n"
        "server.1=127.0.0.1:{}:{}\n".format(*free_ports(2))
    )
    child = serve("zoo.cfg")
    told = manager.take()
    assert told["READY"] == "1"
    assert told["STATUS"].startswith("server 1, looking for a leader, clients on 127.0.0.1:")
    told = manager.take()
    assert told["STATUS"].startswith("server 1, leader, clients on 127.0.0.1:")
    child.terminate()
    assert child.wait(patience) == 0


def test_the_watchdog_hears_from_the_loop_and_nothing_while_that_hangs(
    serve: Serve, manager: NotifySocket
) -> None:
    child = serve("--port", "0", WATCHDOG_USEC="40000")
    assert manager.take()["READY"] == "1"
    for _ in range(3):
        manager.take_until(lambda told: told == {"WATCHDOG": "1"})
    child.send_signal(signal.SIGSTOP)
    while state(child) != "T":
        time.sleep(0)
    manager.waiting()
    assert select_nothing(manager)
    child.send_signal(signal.SIGCONT)
    manager.take_until(lambda told: told == {"WATCHDOG": "1"})
    # As the manager ends it: the log has where it was.
    child.send_signal(signal.SIGABRT)
    _, err = child.communicate(timeout=20)
    assert "Fatal Python error: Aborted" in err
    assert "most recent call first" in err


def state(child: Child) -> str:
    return Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0]


def select_nothing(manager: NotifySocket) -> bool:
    manager._socket.settimeout(0.2)
    try:
        manager.take()
    except TimeoutError:
        return True
    finally:
        manager._socket.settimeout(20)
    return False


def test_a_watchdog_of_another_process_is_not_ours(serve: Serve, manager: NotifySocket) -> None:
    serve("--port", "0", WATCHDOG_USEC="1000", WATCHDOG_PID="1")
    assert manager.take()["READY"] == "1"
    assert select_nothing(manager)


LISTEN = 'LISTEN_PID=$$ exec "$@"'


def test_a_client_that_came_before_the_server_is_served(
    serve: Serve, manager: NotifySocket, patience: float
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=patience) as early:
            early.sendall(b"srvr")
            before = take_number_3(listener)
            try:
                child = serve("--port", str(port), shell=LISTEN, LISTEN_FDS="1")
            finally:
                give_back_3(before)
            listener.close()
            assert early.recv(1 << 16).startswith(b"Zookeeper version")
        assert manager.take()["STATUS"] == f"standalone, clients on 127.0.0.1:{port}"
        assert b"Mode" in ask(port)
        child.terminate()
        assert child.wait(patience) == 0


def take_number_3(sock: socket.socket) -> int | None:
    """Gives a socket the number that systemd gives the first one; returns who had it."""
    try:
        before = os.dup(3)
    except OSError:
        before = None
    if sock.fileno() == 3:
        sock.set_inheritable(True)
        return before
    os.dup2(sock.fileno(), 3, inheritable=True)
    return before


def give_back_3(before: int | None) -> None:
    if before is None:
        os.close(3)
    else:
        os.dup2(before, 3, inheritable=False)
        os.close(before)


def test_sockets_of_another_process_are_not_ours(
    serve: Serve, manager: NotifySocket, patience: float
) -> None:
    child = serve("--port", "0", LISTEN_PID="1", LISTEN_FDS="1")
    assert port_of(manager.take()["STATUS"])
    child.terminate()
    assert child.wait(patience) == 0


def test_a_socket_at_another_port_than_zoo_cfg_says_is_code_2(
    serve: Serve, patience: float
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        before = take_number_3(listener)
        try:
            child = serve("--port", "1", shell=LISTEN, LISTEN_FDS="1")
        finally:
            give_back_3(before)
    _, err = child.communicate(timeout=patience)
    assert child.returncode == 2
    assert "pyzk: configuration: clientPort: is 1, but the socket that is handed over" in err


def test_a_hang_up_reloads_and_the_manager_is_told(
    serve: Serve, manager: NotifySocket, tmp_path: Path, patience: float
) -> None:
    config, log = tmp_path / "zoo.cfg", tmp_path / "pyzk.log"
    text = "dataDir=d\nclientPort=0\nclientPortAddress=127.0.0.1\n"
    config.write_text(text)
    child = serve("zoo.cfg", "--log-file", "pyzk.log")
    port = port_of(manager.take()["STATUS"])
    log.rename(tmp_path / "old.log")
    config.write_text(text + "pyzk.logLevel=debug\n")
    child.send_signal(signal.SIGHUP)
    assert manager.take()["RELOADING"] == "1"
    assert manager.take() == {"READY": "1"}
    assert b"Mode" in ask(port)
    child.terminate()
    assert child.wait(patience) == 0
    assert "SIGHUP: the level of the log is debug now" in log.read_text()
    assert "SIGHUP" not in (tmp_path / "old.log").read_text()
    assert log.read_text().splitlines()[-1].endswith("stopped")
    assert child.stderr is not None
    assert child.stderr.read() == ""


def test_a_terminal_that_closes_ends_the_server(tmp_path: Path, patience: float) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    pid, terminal = pty.fork()
    if pid == 0:
        os.dup2(writing, 1)
        os.chdir(tmp_path)
        os.execve(
            sys.executable,
            [sys.executable, "-m", "pyzk", "serve", NO_ADMIN, "--port", "0", "--log-file", "log"],
            ENVIRONMENT,
        )
    os.close(writing)
    with open(reading) as out:
        assert "ready" in out.readline()
        os.kill(pid, signal.SIGHUP)  # the terminal is there: a reload
        while "SIGHUP: log files" not in (tmp_path / "log").read_text():
            time.sleep(0.01)
        os.close(terminal)
        assert out.read() == ""
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert "SIGHUP: stopping" in (tmp_path / "log").read_text()
