"""`pyzk serve --ephemeral`: the test server as a process, for tests in any language.

Shell. `pyzk.testing.ZooKeeperServer` in its thread; the main thread waits for a signal, and ends
everything. With a control port other processes order faults (`pyzk.testing.control.http`).

    signals blocked ---- start ---- lines on standard output ---- wait ---- stop ---- exit
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import Final

from pyzk.cli.sources import DEFAULTS, fail
from pyzk.config.server import Property
from pyzk.errors import ConfigError, PyzkError
from pyzk.exit_codes import ExitCode
from pyzk.runtime.addresses import place
from pyzk.runtime.environment import raise_descriptor_limit
from pyzk.runtime.main import (
    announce,
    connect_string,
    refuse,
    spare_the_collector,
    status_line,
)
from pyzk.runtime.process import end_at_another, heeded_signals, ignore
from pyzk.testing.errors import FixtureError
from pyzk.testing.server import ZooKeeperServer

_DEFAULTS: Final = {name: value for name, value, _ in DEFAULTS}
_MAX_PORT: Final = 65535


def make_server(
    given: Iterable[Property], properties: Iterable[Property], *, virtual_clock: bool
) -> ZooKeeperServer:
    """Return a server with these keys of zoo.cfg and system properties, of which the keys win.

    What is wrong with them ends the process with one line.
    """
    labels = {entry.name: entry.label for entry in given}
    options: dict[str, object] = {}
    for entry in properties:
        name = entry.name.removeprefix("zookeeper.")
        options[name] = entry.value
        labels.setdefault(name, entry.label)
    options |= {entry.name: entry.value for entry in given}
    host = str(options.pop("clientPortAddress", _DEFAULTS["clientPortAddress"]))
    port = str(options.pop("clientPort", _DEFAULTS["clientPort"]))
    try:
        return ZooKeeperServer(
            host=host,
            port=port_number(port, "--port") or 0,
            virtual_clock=virtual_clock,
            options=options,
            leaks="ignore",
        )
    except ConfigError as error:
        key = error.key or ""
        fail(f"{labels.get(key, key)}: {error.message}")
    except PyzkError as error:
        fail(str(error))


def port_number(text: str | None, label: str) -> int | None:
    """Return the number of a port, or end the process with one line."""
    if text is None:
        return None
    if not text.isdecimal() or int(text) > _MAX_PORT:
        fail(f"{label}: {text!r} is not an integer from 0 to {_MAX_PORT}")
    return int(text)


def run(
    server: ZooKeeperServer,
    *,
    control_port: int | None = None,
    connect_string_only: bool = False,
    with_parent: bool = False,
) -> int:
    """Serve until a signal, or until the parent is gone; return the exit code."""
    # Before any thread starts, for they inherit it: a signal comes where it is waited for.
    signals = heeded_signals()
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    if with_parent:
        from pyzk.runtime.parent import exit_with_parent

        exit_with_parent()
    raise_descriptor_limit()
    server.when_broken(lambda: os.kill(os.getpid(), signal.SIGTERM))
    with ExitStack() as ends:
        try:
            server.start()
            ends.callback(server.stop)
            lines = [_first_line(server, connect_string_only)]
            with suppress(FixtureError):  # nobody has asked for one
                lines.append(f"admin http://{place(*server.admin_address)}")
            if control_port is not None:
                # An endpoint that nobody asked for costs nothing: its imports take 20 ms.
                from pyzk.testing.control.http import ControlEndpoint

                endpoint = ends.enter_context(ControlEndpoint(server, control_port))
                lines.append(f"control {endpoint.url}")
        except (PyzkError, OSError) as error:
            return refuse(str(error), ExitCode.UNEXPECTED_ERROR)
        spare_the_collector()
        if announce("\n".join(lines)) or not with_parent:
            signal.sigwait(signals)
        end_at_another(signals, ExitCode.UNEXPECTED_ERROR)
        if server.state == "broken":
            return refuse("stopped serving: this is a bug in pyzk", ExitCode.UNEXPECTED_ERROR)
    ignore(signals)
    return ExitCode.EXECUTION_FINISHED


def _first_line(server: ZooKeeperServer, connect_string_only: bool) -> str:
    if connect_string_only:
        return connect_string(server.host, server.port)
    return status_line("ready", server.host, server.port, "standalone", "in memory")
