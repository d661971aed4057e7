"""From a runner to an exit code: the ready line, signals, one reason for each way to fail."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pyzk.config.ensemble import parse_ensemble
from pyzk.config.members import parse_membership
from pyzk.config.server import ServerConfig
from pyzk.config.settings import Settings
from pyzk.config.start_files import StartFiles
from pyzk.config.tls import TlsConfig
from pyzk.errors import (
    ConfigError,
    Corrupt,
    DirectoryLockedError,
    ElectionPortError,
    StorageError,
)
from pyzk.exit_codes import ExitCode
from pyzk.persistence.directory import MemoryDirectory
from pyzk.persistence.txnlog import HEADER, LogScan
from pyzk.runtime import main, process
from pyzk.runtime.environment import user_name
from pyzk.runtime.process import SIGNALS
from tests.persistence.disks import put
from tests.runtime.members import member_config

CONFIG = ServerConfig(data_dir="d", client_port=2181, client_port_address="127.0.0.1")


class FakeRunner:
    """Starts, then does what it is told to until it is stopped."""

    def __init__(
        self, *, start: Exception | None = None, serve: Callable[[], object] = lambda: None
    ) -> None:
        self.config = CONFIG
        self.peer: Any = None
        self.told: ServerConfig | None = None
        """What it is told by the configuration that it has saved."""
        self.client_address = ("127.0.0.1", 4711)
        self.secure_client_address: tuple[str, int] | None = None
        self.role = "standalone"
        self.reloads = 0
        """How often it was told to read its keys again."""
        self._start = start
        self._serve = serve
        self._stopped = asyncio.Event()

    async def start(self) -> None:
        if self._start is not None:
            raise self._start

    async def serve_until_stopped(self) -> int:
        self._serve()
        await self._stopped.wait()
        return 0

    def request_stop(self) -> None:
        self._stopped.set()

    def when_serving(self, call: Callable[[], None]) -> None:
        call()

    def reload_keys(self) -> bool:
        self.reloads += 1
        return False


@pytest.fixture(autouse=True)
def _restore_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(make: Callable[[], FakeRunner], config: ServerConfig = CONFIG) -> tuple[int, str]:
    out = io.StringIO()

    def made(config: ServerConfig) -> FakeRunner:
        runner = make()
        runner.config = runner.told or config
        return runner

    code = main.run(config, loop="asyncio", make_runner=made, out=out)
    return code, out.getvalue()


@pytest.fixture
def closing_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that is there at the start only."""
    found = [True]
    monkeypatch.setattr(process, "has_terminal", lambda: bool(found) and found.pop())


@pytest.mark.usefixtures("at_a_terminal", "closing_terminal")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_it_with_code_0(number: int) -> None:
    code, out = run(lambda: FakeRunner(serve=lambda: os.kill(os.getpid(), number)))
    assert code == ExitCode.EXECUTION_FINISHED
    assert out.startswith("pyzk ")
    assert out.endswith(f" ready on 127.0.0.1:4711, standalone, data in {os.path.abspath('d')}\n")
    assert out.count("\n") == 1


@pytest.mark.usefixtures("at_a_terminal")
@pytest.mark.parametrize("has_terminal", [True, False])
def test_without_a_terminal_that_closes_a_hang_up_means_reload(
    has_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "has_terminal", lambda: has_terminal)
    made: list[FakeRunner] = []

    class Reloaded(FakeRunner):
        def reload_keys(self) -> bool:
            super().reload_keys()
            self.request_stop()
            return True

    def make() -> FakeRunner:
        made.append(Reloaded(serve=storm))
        return made[0]

    def storm() -> None:
        for _ in range(100):
            os.kill(os.getpid(), signal.SIGHUP)

    assert run(make)[0] == ExitCode.EXECUTION_FINISHED
    assert made[0].reloads == 1


@pytest.mark.usefixtures("at_a_terminal")
def test_a_hang_up_while_it_starts_is_heeded_when_it_serves() -> None:
    made: list[FakeRunner] = []

    class Starting(FakeRunner):
        async def start(self) -> None:
            os.kill(os.getpid(), signal.SIGHUP)

        def reload_keys(self) -> bool:
            self.request_stop()
            return super().reload_keys()

    def make() -> FakeRunner:
        made.append(Starting())
        return made[0]

    assert run(make)[0] == ExitCode.EXECUTION_FINISHED
    assert made[0].reloads == 1


def test_a_member_says_that_it_has_started_and_what_it_has_become() -> None:
    ensemble = parse_ensemble(
        Settings(
            b"initLimit=5\nsyncLimit=5\nclientPort=2181\nserver.1=a:1:2\nserver.2=b:1:2\n"
            b"server.3=c:1:2:observer"
        ),
        StartFiles(b"3"),
    )

    def make() -> FakeRunner:
        runner = FakeRunner()
        runner.role = "observer of server 2"
        runner.request_stop()
        return runner

    given = replace(CONFIG, ensemble=ensemble)
    started, ready = run(make, given)[1].splitlines()
    assert "started on 127.0.0.1:4711, server 3 of 3, observer, looking for a leader," in started
    assert " ready on 127.0.0.1:4711, server 3, observer of server 2, data in " in ready

    def make_of_saved() -> FakeRunner:
        runner = make()
        assert ensemble is not None
        saved = parse_membership(b"server.2=b:1:2\nserver.3=c:1:2\nversion=5")
        runner.told = replace(CONFIG, ensemble=ensemble.with_saved(saved, None))
        return runner

    started, _ = run(make_of_saved, given)[1].splitlines()
    assert "server 3, one of 2 servers, participant, looking for a leader," in started


def test_an_ipv6_address_is_bracketed() -> None:
    def make() -> FakeRunner:
        runner = FakeRunner()
        runner.client_address = ("::1", 1)
        runner.request_stop()
        return runner

    assert "ready on [::1]:1," in run(make)[1]


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ConfigError("no such scheme", key="x"), 2, "pyzk: configuration: x: no such scheme"),
        (DirectoryLockedError("locked", path="/d"), 20, "pyzk: /d: locked"),
        (StorageError("no access", path="/d"), 3, "pyzk: /d: no access"),
        (Corrupt("bad sum", path="/d/log.1", offset=7), 21, "pyzk: /d/log.1: bad sum at offset 7"),
        (
            OSError(errno.EADDRINUSE, "in use"),
            1,
            "pyzk: cannot listen on 127.0.0.1:2181: Address already in use; another server uses"
            " this port; stop it, or choose another one, 0 for any that is free: --port,"
            " or clientPort in zoo.cfg",
        ),
        (
            PermissionError(errno.EACCES, "denied"),
            1,
            "pyzk: cannot listen on 127.0.0.1:2181: Permission denied; choose a port above 1023:"
            " --port, or clientPort in zoo.cfg",
        ),
        (
            socket.gaierror(-2, "Name or service not known"),
            1,
            "pyzk: cannot listen on 127.0.0.1:2181: Name or service not known; correct the"
            " name, or what looks it up (/etc/hosts, DNS): --host, or clientPortAddress",
        ),
        (
            OSError(errno.EADDRNOTAVAIL, "no"),
            1,
            "pyzk: cannot listen on 127.0.0.1:2181: Cannot assign requested address; choose"
            " another address: --host, or clientPortAddress",
        ),
        (ElectionPortError("cannot listen for elections"), 14, "pyzk: cannot listen for elections"),
    ],
)
def test_a_failed_start_is_one_line_and_a_code(
    error: Exception, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(lambda: FakeRunner(start=error)) == (code, "")
    assert capsys.readouterr().err == text + "\n"


OR_MYID = f"or, if this is not server 1, correct myid ({CONFIG.data_dir}/myid holds 1)"


@pytest.mark.parametrize(
    ("line", "port", "host"),
    [
        (
            ";127.0.0.1:2181",
            f"behind the ; of server.1, on all members; {OR_MYID}",
            f"behind the ; of server.1, on all members; {OR_MYID}",
        ),
        ("", "clientPort in zoo.cfg", "clientPortAddress in zoo.cfg"),
    ],
)
def test_a_member_is_told_what_its_own_lines_can_do(
    line: str, port: str, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ensemble = parse_ensemble(
        Settings(
            b"initLimit=5\nsyncLimit=5\nclientPort=2181\nclientPortAddress=127.0.0.1\n"
            b"server.1=a:1:2%s\nserver.2=b:1:2\nserver.3=c:1:2" % line.encode()
        ),
        StartFiles(b"1"),
    )
    config = replace(CONFIG, ensemble=ensemble)
    for error, advice in (
        (
            OSError(errno.EADDRINUSE, "in use"),
            f"another server uses this port; stop it, or choose another one: {port}",
        ),
        (PermissionError(errno.EACCES, "denied"), f"choose a port above 1023: {port}"),
        (
            socket.gaierror(-2, "unknown"),
            f"correct the name, or what looks it up (/etc/hosts, DNS): {host}",
        ),
        (OSError(errno.EADDRNOTAVAIL, "no"), f"choose another address: {host}"),
    ):
        assert run(partial(FakeRunner, start=error), config) == (1, "")
        assert capsys.readouterr().err.endswith(f"; {advice}\n")
    if line:
        error = OSError(errno.EADDRINUSE, "in use")
        names = {"clientPort": "P", "clientPortAddress": "A"}
        assert main.explain(error, config, names | {"server.1": "in V"})[0].endswith(
            "; another server uses this port; stop it, or choose another one: in V, on all"
            f" members; {OR_MYID}"
        )
        assert f"another one: {port}" in main.explain(error, config, names)[0]


def test_a_bug_while_starting_or_serving_is_code_1(caplog: pytest.LogCaptureFixture) -> None:
    def boom() -> None:
        raise ValueError("boom")

    assert run(lambda: FakeRunner(start=ValueError("boom")))[0] == ExitCode.UNEXPECTED_ERROR
    assert run(lambda: FakeRunner(serve=boom))[0] == ExitCode.UNEXPECTED_ERROR
    assert [record.getMessage() for record in caplog.records if record.exc_info] == [
        "cannot start: this is a bug in pyzk",
        "stopped serving: this is a bug in pyzk",
    ]


def test_a_storage_error_while_serving_is_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise StorageError("disk full", path="/d")

    assert run(lambda: FakeRunner(serve=fail))[0] == ExitCode.UNEXPECTED_ERROR
    assert capsys.readouterr().err == "pyzk: stopped serving: /d: disk full\n"


def test_a_full_disk_while_serving_is_a_reason_to_start_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise StorageError("full", path="/d", remedy="free some space")

    assert run(lambda: FakeRunner(serve=fail))[0] == ExitCode.UNEXPECTED_ERROR
    wanted = "pyzk: stopped serving: /d: full; free some space, then start the server again\n"
    assert capsys.readouterr().err == wanted


def test_what_a_member_cannot_load_it_can_get_from_the_others(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A lone server has only its backups."""
    log = MemoryDirectory("/data/version-2")
    put(log, "log.1", HEADER + bytes(8) + b"\x7f" + bytes(100))
    with pytest.raises(Corrupt) as caught:
        list(LogScan(log, "log.1"))
    member = member_config(tmp_path, extra="dataLogDir=/logs")
    for config, rest in (
        (CONFIG, ""),
        (
            member,
            f"; or, while a quorum of the other members has its data, empty {tmp_path} and /logs"
            " (not myid), and this member gets everything from them",
        ),
    ):
        code, _ = run(lambda: FakeRunner(start=caught.value), config)
        assert code == ExitCode.DATA_CORRUPT
        told = capsys.readouterr().err
        assert told.startswith("pyzk: /data/version-2/log.1: a record of 2130706432 bytes")
        assert told.endswith(f"; restore this file from a backup{rest}\n")


def stopped_at_once() -> FakeRunner:
    runner = FakeRunner()
    runner.request_stop()
    return runner


def test_warnings_and_notes_of_the_configuration_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = ServerConfig(
        data_dir="d", client_port=0, warnings=((3, "x: unknown"), (None, "-Dy: unknown")),
        notes=((4, "z: no effect"),),
    )  # fmt: skip

    with caplog.at_level("INFO"):
        run(stopped_at_once, config)
    texts = [record.getMessage() for record in caplog.records]
    assert texts[:3] == [
        "configuration: line 3: x: unknown",
        "configuration: -Dy: unknown",
        "configuration: line 4: z: no effect",
    ]


def test_uvloop_on_request_where_it_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "uvloop", None)
    code = main.run(CONFIG, loop="uvloop", make_runner=lambda _: FakeRunner())
    assert code == ExitCode.INVALID_INVOCATION
    assert capsys.readouterr().err == "pyzk: uvloop is not installed; use --loop asyncio\n"


def test_a_closed_standard_output_does_not_stop_the_server() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(errno.EPIPE, text)

    def make() -> FakeRunner:
        runner = FakeRunner()
        runner.request_stop()
        return runner

    assert main.run(CONFIG, loop="asyncio", make_runner=lambda _: make(), out=Closed()) == 0


# --- the audit log --------------------------------------------------------------------


def test_the_line_that_says_where_clients_come_in(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for secure, expected in (
        (None, "serving on 127.0.0.1:4711 ("),
        (("127.0.0.1", 4712), "serving on 127.0.0.1:4711, with TLS on 127.0.0.1:4712 ("),
        (("127.0.0.1", 4711), "serving with TLS on 127.0.0.1:4711 ("),
    ):
        caplog.clear()
        runner = FakeRunner()
        runner.secure_client_address = secure
        runner.request_stop()
        run(lambda runner=runner: runner, CONFIG)  # type: ignore[misc]
        assert any(text.startswith(expected) for text in caplog.messages), caplog.messages


def test_a_member_listens_before_it_serves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run(stopped_at_once, replace(CONFIG, ensemble=member_config(tmp_path).ensemble))
    assert any(text.startswith("listening on 127.0.0.1:4711 (") for text in caplog.messages)


def test_one_line_names_files_with_secrets_that_everybody_may_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = tmp_path / "k.pem"
    keys.write_text("x")
    keys.chmod(0o644)
    config = replace(CONFIG, client_tls=TlsConfig(key_store=str(keys)))
    run(stopped_at_once, config)
    assert [text for text in caplog.messages if str(keys) in text] == [
        "configuration: every user of this machine can read files that hold secrets (chmod o-r):"
        f" ssl.keyStore.location: {keys}"
    ]


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = [record.getMessage() for record in caplog.records if record.name == "pyzk.audit"]
    return [line.replace(f"user={user_name()}", "user=ME").replace("\t", " ") for line in said]


AUDITED = replace(CONFIG, audit_enable=True)


def stopping() -> FakeRunner:
    runner = FakeRunner()
    runner.request_stop()
    return runner


def test_the_audit_log_tells_of_start_and_stop(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    run(stopping, AUDITED)
    assert events(caplog) == [
        "user=ME operation=serverStart result=success",
        "user=ME operation=serverStop result=invoked",
    ]


@pytest.mark.parametrize(
    "error", [StorageError("no", path="p"), OSError(errno.EADDRINUSE, "in use"), KeyError()]
)
def test_the_audit_log_tells_of_a_start_that_fails(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run(lambda: FakeRunner(start=error), AUDITED)
    assert events(caplog) == ["user=ME operation=serverStart result=failure"]


def test_the_audit_log_tells_of_a_server_that_breaks(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise StorageError("the disk is gone", path="p")

    caplog.set_level("INFO")
    run(lambda: FakeRunner(serve=broken), AUDITED)
    assert events(caplog)[-1] == "user=ME operation=serverStop result=invoked"


def test_nothing_is_told_without_an_audit_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    run(stopping)
    assert events(caplog) == []
