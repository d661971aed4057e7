"""What a service manager tells this process, and is told: against a stand-in for its socket."""

from __future__ import annotations

import asyncio
import errno
import faulthandler
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pyzk.config.admin import AdminConfig
from pyzk.config.server import ServerConfig
from pyzk.errors import ConfigError
from pyzk.runtime import systemd
from pyzk.runtime.systemd import (
    Manager,
    Notifier,
    check_places,
    describe,
    notifier_of,
    sockets_of,
    take_environment,
)
from tests.runtime.members import member_config
from tests.runtime.notified import NotifySocket, notify_socket

CONFIG = ServerConfig(data_dir="d", client_port=2181)
ME = str(os.getpid())
PLACE = "clientPort", "clientPortAddress"


class Served:
    """A server that is what a test says."""

    def __init__(self, config: ServerConfig = CONFIG, role: str = "standalone") -> None:
        self.config = config
        self.client_address = ("::1", 2181)
        self.role = role


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[NotifySocket]:
    with notify_socket(str(tmp_path / "notify")) as made:
        yield made


# --- the environment ------------------------------------------------------------------


def test_the_environment_is_taken_out_and_only_what_is_meant_for_this_process_counts() -> None:
    mine = {
        "NOTIFY_SOCKET": "/run/n",
        "WATCHDOG_USEC": "2000000",
        "WATCHDOG_PID": ME,
        "LISTEN_FDS": "1",
        "LISTEN_PID": ME,
        "LISTEN_FDNAMES": "client",
    }
    environment = {"PATH": "/bin", **mine}
    assert take_environment(environment) == mine
    assert environment == {"PATH": "/bin"}

    others = mine | {"LISTEN_PID": "1", "WATCHDOG_PID": "1"}
    environment = dict(others)
    told = take_environment(environment)
    assert not environment
    assert "LISTEN_FDS" not in told
    assert "WATCHDOG_USEC" not in told
    assert told["NOTIFY_SOCKET"] == "/run/n"
    del others["WATCHDOG_PID"], others["LISTEN_PID"]
    told = take_environment(others)
    assert "WATCHDOG_USEC" in told  # meant for whoever has been started
    assert "LISTEN_FDS" not in told


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [("2000000", 2.0), ("0", None), ("", None), ("x", None), ("-1", None)],
)
def test_the_watchdog_has_an_interval_in_microseconds(
    manager: NotifySocket, interval: str, seconds: float | None
) -> None:
    made = notifier_of({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": interval})
    assert made is not None
    assert made.watchdog_s == seconds


@pytest.mark.parametrize("address", ["vsock:2:1234", "relative"])
def test_an_address_of_another_kind_is_named(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert notifier_of({"NOTIFY_SOCKET": address}) is None
    assert f"NOTIFY_SOCKET={address}: only a path" in caplog.text
    assert notifier_of({}) is None


# --- what the manager is told ---------------------------------------------------------


def test_messages_are_those_of_the_protocol(manager: NotifySocket) -> None:
    notifier = Notifier(manager.address)
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.ready("standalone")
    notifier.status("standalone")
    notifier.status("two\nlines")
    notifier.alive()
    notifier.reloading()
    notifier.reloaded()
    notifier.stopping("SIGTERM: stopping")
    messages = manager.waiting()
    reloading = messages.pop(3)
    assert messages == [
        {"READY": "1", "STATUS": "standalone"},
        {"STATUS": "two\\nlines"},
        {"WATCHDOG": "1"},
        {"READY": "1"},
        {"STOPPING": "1", "STATUS": "SIGTERM: stopping"},
    ]
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert reloading.pop("RELOADING") == "1"
    assert before <= int(reloading.pop("MONOTONIC_USEC")) <= after
    assert not reloading


def test_a_socket_may_have_an_abstract_name() -> None:
    name = f"@pyzk-test-{ME}"
    with notify_socket(name) as manager:
        Notifier(name).ready("x")
        assert manager.take()["READY"] == "1"


def test_a_manager_that_is_gone_costs_one_warning_until_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(tmp_path / "notify")
    notifier = Notifier(path)
    notifier.ready("x")
    notifier.alive()
    assert [record.getMessage() for record in caplog.records] == [
        f"the service manager cannot be told how the server is: {path}: No such file or directory"
    ]
    with notify_socket(path) as manager:
        notifier.alive()
        assert manager.waiting() == [{"WATCHDOG": "1"}]
    notifier.alive()
    assert len(caplog.records) == 2


def test_a_manager_that_does_not_read_holds_nobody_up(
    manager: NotifySocket, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "PATIENCE_S", 0.01)
    notifier = Notifier(manager.address)
    for _ in range(2000):
        notifier.alive()
    assert 0 < len(manager.waiting()) < 2000
    assert not caplog.records
    for _ in range(2000):
        notifier.alive()
    notifier.ready("x")
    assert "cannot be told how the server is" in caplog.text


# --- as long as it serves -------------------------------------------------------------


def test_the_loop_itself_tells_that_it_goes_round_and_what_the_server_is(
    manager: NotifySocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "LOOK_S", 0.001)
    monkeypatch.setattr(faulthandler, "enable", lambda: None)
    server = Served(role="follower of server 2")
    made = Manager(Notifier(manager.address, watchdog_s=0.002), {})

    async def serve() -> None:
        made.begin(server)
        assert manager.waiting() == [
            {"READY": "1", "STATUS": "follower of server 2, clients on [::1]:2181"},
            {"WATCHDOG": "1"},
        ]
        server.role = ""
        found: list[dict[str, str]] = []
        while len(found) < 20:
            await asyncio.sleep(0)
            found += manager.waiting()
        assert found.count({"STATUS": "looking for a leader, clients on [::1]:2181"}) == 1
        assert found.count({"WATCHDOG": "1"}) == len(found) - 1
        made.stopping("stopping")
        made.stopping("not told again")
        server.role = "leader"
        found = []
        while len(found) < 20:
            await asyncio.sleep(0)
            found += manager.waiting()
        assert found.count({"STOPPING": "1", "STATUS": "stopping"}) == 1
        assert found.count({"WATCHDOG": "1"}) == len(found) - 1

    asyncio.run(serve())
    manager.waiting()
    assert manager.waiting() == []  # nothing is told once the loop has ended


def test_a_member_is_told_by_its_number(tmp_path: Path) -> None:
    server = Served(member_config(tmp_path), role="leader")
    assert describe(server) == "server 1, leader, clients on [::1]:2181"


def test_without_a_socket_for_answers_nothing_is_told() -> None:
    made = Manager.of_environment({"LISTEN_FDS": "1", "LISTEN_PID": "1"})
    made.begin(Served())
    made.reloading()
    made.reloaded()
    made.stopping("x")
    assert made.seams(CONFIG) is None


# --- sockets that are handed over -----------------------------------------------------


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.set_inheritable(True)
        yield made


def handed(monkeypatch: pytest.MonkeyPatch, sock: socket.socket, names: str | None) -> Manager:
    """Returns what a process has that is given this one socket."""
    monkeypatch.setattr(systemd, "FIRST_DESCRIPTOR", os.dup(sock.fileno()))
    told = {"LISTEN_FDS": "1", "LISTEN_PID": ME}
    return Manager.of_environment(told | ({} if names is None else {"LISTEN_FDNAMES": names}))


@pytest.mark.parametrize(
    ("names", "field"),
    [
        (None, "listeners"),
        ("client", "listeners"),
        ("pyzk.socket", "listeners"),
        ("secure-client", "secure_listeners"),
        ("admin", "admin_listeners"),
    ],
)
def test_sockets_go_by_their_names(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket, names: str | None, field: str
) -> None:
    port = listener.getsockname()[1]
    made = handed(monkeypatch, listener, names)
    admin = AdminConfig(server_port=port)
    config = replace(CONFIG, client_port=port, secure_client_port=port, admin=admin)
    seams = made.seams(config)
    assert seams is not None
    (taken,) = getattr(seams, field)
    assert taken.getsockname() == listener.getsockname()
    assert not os.get_inheritable(taken.fileno())
    assert taken.gettimeout() == 0
    others = {"listeners", "secure_listeners", "admin_listeners"} - {field}
    assert all(getattr(seams, each) is None for each in others)
    taken.close()


def test_a_socket_that_takes_no_connections_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for family, kind in (
        (socket.AF_INET, socket.SOCK_DGRAM),
        (socket.AF_INET, socket.SOCK_STREAM),
        (socket.AF_UNIX, socket.SOCK_STREAM),
    ):
        refused = pytest.raises(ConfigError, match="takes no TCP connections")
        with socket.socket(family, kind) as made, refused:
            handed(monkeypatch, made, None)
    with open(os.devnull) as file:
        monkeypatch.setattr(systemd, "FIRST_DESCRIPTOR", file.fileno())
        with pytest.raises(ConfigError, match=os.strerror(errno.ENOTSOCK)):
            sockets_of({"LISTEN_FDS": "1"})
    with pytest.raises(ConfigError, match="'x' is not a number"):
        sockets_of({"LISTEN_FDS": "x"})


def test_the_configuration_and_the_socket_must_name_one_place(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    for host in (None, "0.0.0.0", "::", "127.0.0.1", "localhost"):
        check_places([listener], host, port, *PLACE)
        check_places([listener], host, 0, *PLACE)
    where = f"127.0.0.1:{port}"
    with pytest.raises(ConfigError, match=f"clientPort: is {port + 1}, but the socket .* {where}"):
        check_places([listener], None, port + 1, *PLACE)
    with pytest.raises(ConfigError, match=rf"secureClientPort: is not set, but .*\({where}\)"):
        check_places([listener], None, None, "secureClientPort", "x")
    for host in ("127.0.0.2", "no.such.host.invalid"):
        with pytest.raises(ConfigError, match=f"clientPortAddress: is {host}, but the socket"):
            check_places([listener], host, port, *PLACE)
    check_places([], None, None, *PLACE)
