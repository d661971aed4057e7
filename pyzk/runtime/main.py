"""One server in one process: from a configuration to an exit code.

Shell. Starts the runner, says on standard output when it serves (a member of an ensemble also that
it has started, for it may wait long for the others), obeys signals (pyzk.runtime.process), and
turns whatever keeps it from starting into one line on standard error, and every end into a
documented exit code. ZooKeeper: ZooKeeperServerMain, QuorumPeerMain, and ExitCode, whose numbers
are kept where it has one.

    start ------------------------ serve ------------------- close ---------------------- exit
      signal: exit at once, 0        signal: request_stop      another: exit at once, 1
      SIGHUP: reload when it serves  SIGHUP: reload            SIGHUP: nothing

A signal while the server starts ends the process on the spot: nothing has been acknowledged yet,
and recovery may be killed at any point. Another signal, a second or more after the first, ends a
close that does not end. SIGHUP is such a signal only if the terminal has closed. A service manager
is told of all this if there is one (`pyzk.runtime.systemd`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import platform
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from pyzk import __version__, audit_log
from pyzk.config.server import ServerConfig
from pyzk.errors import (
    ConfigError,
    Corrupt,
    DirectoryLockedError,
    ElectionPortError,
    StorageError,
)
from pyzk.exit_codes import ExitCode
from pyzk.runtime import logs, secret_files
from pyzk.runtime import loop as event_loop
from pyzk.runtime.addresses import place
from pyzk.runtime.client_ports import SecurePortError
from pyzk.runtime.environment import is_compiled, raise_descriptor_limit, user_name
from pyzk.runtime.logs import tell_failure
from pyzk.runtime.metrics_port import MetricsPortError
from pyzk.runtime.process import (
    HangUp,
    end_at_another,
    exit_at_once,
    handle,
    heeded_signals,
    ignore,
)
from pyzk.runtime.reload import Reloads, reload

if TYPE_CHECKING:
    from pyzk.quorum.peer import Peer
    from pyzk.runtime.health_socket import HealthSocket
    from pyzk.runtime.systemd import Manager

_log = logging.getLogger(__name__)

_OF_A_MANAGER: Final = ("NOTIFY_SOCKET", "LISTEN_FDS")
"""The environment variables by which a service manager shows itself."""
SWITCH_INTERVAL_S: Final = 0.0002
"""The time for which another thread may keep the event loop waiting."""


class Runner(Protocol):
    """What this module asks of pyzk.runtime.runner.PeerRunner."""

    @property
    def peer(self) -> Peer: ...
    @property
    def config(self) -> ServerConfig:
        """What the server was told; for a member, with the configuration that it had saved."""
        ...

    @property
    def client_address(self) -> tuple[str, int]: ...
    @property
    def secure_client_address(self) -> tuple[str, int] | None: ...
    async def start(self) -> None: ...
    async def serve_until_stopped(self) -> int: ...
    def request_stop(self) -> None: ...
    @property
    def role(self) -> str: ...
    def when_serving(self, call: Callable[[], None]) -> None: ...
    def reload_keys(self) -> bool: ...


def run(
    config: ServerConfig,
    *,
    loop: str = "auto",
    make_runner: Callable[[ServerConfig], Runner] | None = None,
    out: TextIO | None = None,
    connect_string_only: bool = False,
    must_be_heard: bool = False,
    read_level: Callable[[], str] | None = None,
    called: Mapping[str, str] | None = None,
    zoo_cfg: str | None = None,
) -> int:
    """Serve until a signal; return the exit code. The caller sets up logging.

    With ``connect_string_only`` the connect string is all that is printed when it serves. If it
    ``must_be_heard`` and standard output is closed by then, it stops: whoever started it is gone.
    ``read_level`` is asked at SIGHUP (`pyzk.runtime.reload`). ``called`` says what the user changes
    a key by where there is no zoo.cfg: variables of a container. ``zoo_cfg`` is the file, as the
    user names it.
    """
    if not __debug__:
        # Asserts are the contract of the core: without them it would go on in a broken state.
        return refuse("does not run under python -O or PYTHONOPTIMIZE", ExitCode.INVALID_INVOCATION)
    signals = heeded_signals()
    hang_up = HangUp()
    handle(signals, partial(_signal_while_starting, hang_up))
    for line, text in config.warnings:
        _log.warning("configuration: %s%s", f"line {line}: " if line else "", text)
    secrets = secret_files.warning(config)
    if secrets is not None:
        _log.warning("configuration: %s", secrets)
    for line, text in config.notes:
        _log.info("configuration: %s%s", f"line {line}: " if line else "", text)
    raise_descriptor_limit()

    explained = partial(explain, config=config, called=called, zoo_cfg=zoo_cfg)
    say = _Announcement(config, out, connect_string_only, must_be_heard).begin
    try:
        manager = _manager()
        make = make_runner or _peer_runner(config, manager)
        is_real = make_runner is None
        serving = _Serving(
            say, signals, hang_up, read_level, manager, explained, has_health=is_real
        )
        return event_loop.run(serving.serve(config, make), loop)
    except ConfigError as error:
        return refuse(*explained(error))
    except ImportError as error:
        if error.name != "uvloop":
            raise
        return refuse("uvloop is not installed; use --loop asyncio", ExitCode.INVALID_INVOCATION)
    finally:
        ignore(signals)


class _Announcement:
    """The lines on standard output that say how far a server is."""

    def __init__(
        self,
        config: ServerConfig,
        out: TextIO | None,
        connect_string_only: bool,
        must_be_heard: bool,
    ) -> None:
        self._config = config
        self._out = out
        self._connect_string_only = connect_string_only
        self._must_be_heard = must_be_heard
        self._where = f"data in {os.path.abspath(config.data_dir)}"

    def begin(self, runner: Runner) -> None:
        """Say that a member has started, and, when clients are served, that the server is ready."""
        ensemble = runner.config.ensemble
        if ensemble is not None and not self._connect_string_only:
            role = f"{ensemble.place}, looking for a leader"
            line = status_line("started", *runner.client_address, role, self._where)
            self._tell(runner, line)
        runner.when_serving(partial(self._ready, runner))

    def _ready(self, runner: Runner) -> None:
        if self._connect_string_only:
            self._tell(runner, connect_string(*runner.client_address))
            return
        ensemble = self._config.ensemble
        role = runner.role if ensemble is None else f"server {ensemble.my_sid}, {runner.role}"
        self._tell(runner, status_line("ready", *runner.client_address, role, self._where))

    def _tell(self, runner: Runner, line: str) -> None:
        is_heard = announce(line, self._out)
        if self._must_be_heard and not is_heard:
            runner.request_stop()


def refuse(reason: str, code: int) -> int:
    """Print the one line that says why the server does not run; return `code`."""
    tell_failure(reason)
    return code


class _Serving:
    """One server from its start to its end, and what reaches it from outside meanwhile."""

    def __init__(
        self,
        say: Callable[[Runner], None],
        signals: Sequence[int],
        hang_up: HangUp,
        read_level: Callable[[], str] | None,
        manager: Manager | None,
        explained: Callable[[Exception], tuple[str, int]],
        *,
        has_health: bool,
    ) -> None:
        self._has_health = has_health
        self._explained = explained
        self._say = say
        self._signals = signals
        self._hang_up = hang_up
        self._read_level = read_level
        self._manager = manager

    async def serve(
        self, config: ServerConfig, make_runner: Callable[[ServerConfig], Runner]
    ) -> int:
        """Start the server, serve, and return the exit code."""
        try:
            runner = make_runner(config)
            await runner.start()
        except (ConfigError, StorageError, ElectionPortError, OSError) as error:
            _audit(config, audit_log.SERVER_START, audit_log.FAILURE)
            reason, code = self._explained(error)
            self._tell_end(reason)
            return refuse(reason, code)
        except Exception:
            _audit(config, audit_log.SERVER_START, audit_log.FAILURE)
            _log.exception("cannot start: this is a bug in pyzk")
            return ExitCode.UNEXPECTED_ERROR
        _audit(config, audit_log.SERVER_START, audit_log.SUCCESS)
        spare_the_collector()
        share_the_interpreter()
        self._heed_signals(runner)
        health = await _open_health(runner) if self._has_health else None
        _log_start(runner, config)
        if self._manager is not None:
            self._manager.begin(runner)
        self._say(runner)
        _tell_left_out(asyncio.get_running_loop())
        try:
            code = await runner.serve_until_stopped()
        except StorageError as error:
            then = ", then start the server again" if error.remedy else ""
            reason = f"stopped serving: {error}{then}{_other_remedy(error, config)}"
            self._tell_end(reason)
            return refuse(reason, ExitCode.UNEXPECTED_ERROR)
        except Exception:
            _log.exception("stopped serving: this is a bug in pyzk")
            return ExitCode.UNEXPECTED_ERROR
        finally:
            if health is not None:
                health.close()
            _audit(config, audit_log.SERVER_STOP, audit_log.INVOKED)
            self._tell_end("stopped")
        logs.tell_left_out(is_end=True)
        _log.info("stopped")
        return code

    def _heed_signals(self, runner: Runner) -> None:
        loop = asyncio.get_running_loop()
        reloads = Reloads(loop, partial(self._reload, runner))

        def received(number: int, _frame: FrameType | None) -> None:
            if number == signal.SIGHUP and not self._hang_up.is_end():
                _call_soon(loop, reloads.ask)
                return
            ignore({signal.SIGHUP}.intersection(self._signals))
            others = [each for each in self._signals if each != signal.SIGHUP]
            end_at_another(others, ExitCode.UNEXPECTED_ERROR)
            _call_soon(loop, self._stop, runner, number)

        handle(self._signals, received)
        if self._hang_up.is_reload_due:
            reloads.ask()

    def _stop(self, runner: Runner, number: int) -> None:
        name = signal.Signals(number).name
        _log.info("%s: stopping", name)
        self._tell_end(f"{name}: stopping")
        runner.request_stop()

    def _reload(self, runner: Runner) -> None:
        if self._manager is not None:
            self._manager.reloading()
        try:
            reload(runner.reload_keys, self._read_level)
        finally:
            if self._manager is not None:
                self._manager.reloaded()

    def _tell_end(self, why: str) -> None:
        if self._manager is not None:
            self._manager.stopping(why)


def _call_soon(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *args: object) -> None:
    """Call something on the loop, from a signal handler; after the end of the loop do nothing."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *args)


async def _open_health(runner: Runner) -> HealthSocket:
    """Open the socket at which `pyzk health` asks."""
    from pyzk.runtime.health_socket import HealthSocket

    health = HealthSocket(runner)
    await health.open(may_move=runner.config.ensemble is not None)
    return health


def _manager() -> Manager | None:
    """Return the service manager that has started this process, if there is one."""
    if not any(name in os.environ for name in _OF_A_MANAGER):
        return None
    from pyzk.runtime.systemd import Manager  # few have one, and start-up is measured

    return Manager.of_environment(os.environ)


def _audit(config: ServerConfig, operation: str, result: str) -> None:
    """Tell the audit log, if there is one, of the server itself."""
    if config.audit_enable:
        event = audit_log.AuditEvent(operation, result, user=user_name())
        audit_log.tell(event)


def _tell_left_out(asyncio_loop: asyncio.AbstractEventLoop) -> None:
    logs.tell_left_out()
    asyncio_loop.call_later(logs.QUIET_S, _tell_left_out, asyncio_loop)


def share_the_interpreter() -> None:
    """Give the event loop the interpreter soon after it asks for it.

    A snapshot is being encoded on another thread now and then. By default that thread may go on for
    5 ms each time the loop has waited for its sockets: then 50 clients with one request each get a
    fifth of what they should (scripts/bench, create 50x1).
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def spare_the_collector() -> None:
    """Keep the garbage collector from the tree: what was loaded is not looked at again, and the
    whole heap only after very many allocations.

    The core makes no reference cycles that live on; with the defaults a server that creates znodes
    stood still for 80 ms now and then (scripts/bench, create 50x20).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 1000)


def _peer_runner(config: ServerConfig, manager: Manager | None) -> Callable[[ServerConfig], Runner]:
    """Return what makes the runner. Raises ConfigError for sockets that were handed over and are
    not those of the configuration."""
    from pyzk.runtime.runner import PeerRunner

    seams = None if manager is None else manager.seams(config)
    return lambda config: PeerRunner(config, seams)


def _log_start(runner: Runner, config: ServerConfig) -> None:
    kind = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    _log.info(
        "%s %s (Python %s, %s core, %s, process %d)",
        # A member may look for a leader for long; "ready" on standard output tells when it serves.
        "serving" if config.ensemble is None else "listening",
        _places(runner.client_address, runner.secure_client_address),
        platform.python_version(),
        "compiled" if is_compiled() else "interpreted",
        kind,
        os.getpid(),
    )


def _places(client: tuple[str, int], secure: tuple[str, int] | None) -> str:
    """Return where clients come in; a server with a secure port only has it as its client port."""
    if secure is None:
        return f"on {place(*client)}"
    with_tls = f"with TLS on {place(*secure)}"
    return with_tls if secure == client else f"on {place(*client)}, {with_tls}"


def status_line(state: str, host: str, port: int, role: str, where: str) -> str:
    """Return the description of a server; ``where`` says where its data are."""
    return f"pyzk {__version__} {state} on {place(host, port)}, {role}, {where}"


def connect_string(host: str, port: int) -> str:
    """Return the address that a client on this machine connects to."""
    return place({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)  # noqa: S104


def announce(text: str, out: TextIO | None = None) -> bool:
    """Write a line to standard output; return whether anybody can still read it."""
    try:
        print(text, file=out or sys.stdout, flush=True)
    except OSError:
        _log.warning("standard output is closed; nobody was told that the server is ready")
        if out is None:
            abandon_output()
        return False
    return True


def abandon_output() -> None:
    """Write nothing more to standard output, which has failed. Otherwise the interpreter would try
    once more when it ends, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _signal_while_starting(hang_up: HangUp, number: int, _frame: FrameType | None) -> None:
    if number == signal.SIGHUP and not hang_up.is_end():
        hang_up.is_reload_due = True
        return
    _log.info("%s: exiting before the server was ready", signal.Signals(number).name)
    exit_at_once(ExitCode.EXECUTION_FINISHED)


def explain(
    error: Exception,
    config: ServerConfig,
    called: Mapping[str, str] | None = None,
    zoo_cfg: str | None = None,
) -> tuple[str, int]:
    """Return one line for the operator and the exit code, for an error while the server starts;
    ``called`` and ``zoo_cfg`` are those of `run`."""
    if isinstance(error, ConfigError):
        return f"{zoo_cfg or 'configuration'}: {error}", ExitCode.INVALID_INVOCATION
    if isinstance(error, DirectoryLockedError):
        return str(error), ExitCode.DATADIR_LOCKED
    if isinstance(error, Corrupt):
        return f"{error}{_other_remedy(error, config)}", ExitCode.DATA_CORRUPT
    if isinstance(error, StorageError):
        return str(error), ExitCode.UNABLE_TO_ACCESS_DATADIR
    if isinstance(error, ElectionPortError):
        return str(error), ExitCode.UNABLE_TO_BIND_QUORUM_PORT
    assert isinstance(error, OSError), error
    # A name that does not resolve has a negative number, of another list than errno's.
    number = error.errno or 0
    reason = os.strerror(number) if number > 0 else error.strerror or str(error)
    where = place(config.client_port_address or "*", config.client_port or 0)
    if isinstance(error, SecurePortError):
        where = place(config.secure_client_port_address or "*", config.secure_client_port or 0)
    elif isinstance(error, MetricsPortError):
        where = place(config.metrics_http_host, config.metrics_http_port)
    return (
        f"cannot listen on {where}: {reason}; {_advice(error, config, called)}",
        ExitCode.UNEXPECTED_ERROR,
    )


def _advice(error: OSError, config: ServerConfig, called: Mapping[str, str] | None) -> str:
    """Return what to do when a port cannot be had. A member has few options, because other
    programs know its port."""
    ensemble = config.ensemble
    cause: BaseException | None = error
    names = ("clientPort", "clientPortAddress")
    if isinstance(error, SecurePortError):
        names = ("secureClientPort", "secureClientPortAddress")
        cause = error.__cause__
    elif isinstance(error, MetricsPortError):
        names = ("metricsProvider.httpPort", "metricsProvider.httpHost")
        cause = error.__cause__
    if called is not None:
        port, host = (called[name] for name in names)
    else:
        port, host = (f"{name} in zoo.cfg" for name in names)
        if names[0] == "clientPort" and ensemble is None:
            port, host = "--port, or clientPort in zoo.cfg", "--host, or clientPortAddress"
    if names[0] == "clientPort" and ensemble is not None and ensemble.me.client_port is not None:
        mine = ensemble.my_sid
        where = (called or {}).get(f"server.{mine}", f"behind the ; of server.{mine}")
        port = host = (
            f"{where}, on all members; or, if this is not server {mine},"
            f" correct myid ({config.data_dir}/myid holds {mine})"
        )
    if isinstance(cause, socket.gaierror):
        return f"correct the name, or what looks it up (/etc/hosts, DNS): {host}"
    if error.errno == errno.EADDRINUSE:
        free = ", 0 for any that is free" if ensemble is None else ""
        return f"another server uses this port; stop it, or choose another one{free}: {port}"
    if error.errno == errno.EACCES:
        return f"choose a port above 1023: {port}"
    return f"choose another address: {host}"


def _other_remedy(error: StorageError, config: ServerConfig) -> str:
    """Return what a member of an ensemble can do instead of restoring a backup."""
    if config.ensemble is None or not isinstance(error, Corrupt):
        return ""
    roots = dict.fromkeys((config.data_dir, config.data_log_dir))
    return (
        "; or, while a quorum of the other members has its data, empty"
        f" {' and '.join(roots)} (not myid), and this member gets everything from them"
    )
