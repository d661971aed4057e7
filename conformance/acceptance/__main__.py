"""Runs all clients: python -m conformance.acceptance.

Shell.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from conformance import oracle, secured, wire
from conformance.acceptance import kazoo_client, logins, transcripts
from conformance.acceptance.kazoo_client import Target
from conformance.acceptance.logins import PROTOCOLS, Attempt
from conformance.frames import new_session
from conformance.mixed.changing import ChangingEnsemble
from conformance.oracle import CLI_MT, OracleMissingError
from conformance.servers import Launcher, Server, pyzk_launcher
from tests.certificates import Authority

CONFIG: Final = {"tickTime": "2000"}
PROPERTIES: Final = {"zookeeper.extendedTypesEnabled": "true"}
MUTEX: Final = Path(__file__).parent / "Mutex.java"
MUTEX_PROCESSES: Final = 2
MUTEX_ROUNDS: Final = 40

Transcript = tuple[list[str], list[str]]


class SkippedError(Exception):
    """Something that a client needs is not installed."""


class FailedError(Exception):
    """A client did not do what it should."""


def same_transcript(session: Callable[[Launcher], Transcript], ours: Launcher) -> str:
    """Runs one session on a fresh server of each kind, and checks that the outputs are equal."""
    theirs = _reference()
    found = [session(launcher) for launcher in (ours, theirs)]
    differences: list[str] = []
    for ours_part, theirs_part in zip(found[0], found[1], strict=True):
        differences += difflib.unified_diff(
            theirs_part, ours_part, theirs.name, ours.name, n=2, lineterm=""
        )
    if differences:
        raise FailedError("\n".join(differences))
    return f"{len(found[0][0])} lines and {len(found[0][1])} watch events equal"


def zkcli(version: str) -> Callable[[Launcher], str]:
    """Returns the check that zkCli of a version prints what it prints on the original."""

    def run(ours: Launcher) -> str:
        original = oracle.find(version)

        def session(launcher: Launcher) -> Transcript:
            with Server(launcher, CONFIG, PROPERTIES) as server:
                return transcripts.zkcli(original, server.address)

        return same_transcript(session, ours)

    return run


# --- by TLS and after logins -----------------------------------------------------------


@contextlib.contextmanager
def secure(launcher: Launcher, kind: str, login: bool) -> Iterator[tuple[Attempt, Path]]:
    """Runs a server with TLS or logins; gives what a client needs to come in, and a folder.

    ``kind`` is that of the stores of both sides.
    """
    with tempfile.TemporaryDirectory(prefix="pyzk-secure-") as name:
        folder = Path(name)
        if login:
            keys, more = secured.sasl_settings(secured.login_file(folder))
            with Server(launcher, {**CONFIG, **keys}, {**PROPERTIES, **more}) as server:
                alice = ("alice", secured.USERS["alice"])
                yield Attempt("one", server.address, login=alice), folder
            return
        authority = Authority()
        trusted = authority.certificate_pem
        issued = authority.issue("server", names=["localhost", "127.0.0.1"])
        own = authority.issue("alice")
        stores = secured.stores(folder, "server", issued, trusted, kind)
        config = {**CONFIG, **stores.settings(), **PROTOCOLS}
        with secured.secure_server(launcher, config, PROPERTIES) as (_, address):
            client = secured.stores(folder, "client", own, trusted, kind)
            yield Attempt("one", address, client, own), folder


def secure_zkcli(version: str, kind: str, login: bool = False) -> Callable[[Launcher], str]:
    """Returns the check of zkCli by TLS, or after a login."""

    def run(ours: Launcher) -> str:
        original = oracle.find(version)

        def session(launcher: Launcher) -> Transcript:
            with secure(launcher, kind, login) as (attempt, folder):
                properties = logins.java_properties([attempt], folder)
                properties |= logins.java_settings(attempt)
                return transcripts.zkcli(original, attempt.address, properties)

        return same_transcript(session, ours)

    return run


def secure_cli_mt(login: bool) -> Callable[[Launcher], str]:
    """Returns the check of the C client by TLS, or after a login."""

    def run(ours: Launcher) -> str:
        program = oracle.secure_cli_mt()
        if not program.exists():
            raise SkippedError(f"{program} is missing; `python -m conformance.oracle install`")

        def session(launcher: Launcher) -> Transcript:
            with secure(launcher, secured.PEM, login) as (attempt, folder):
                words = logins.c_options(attempt, folder)
                return transcripts.cli_mt(program, attempt.address, words)

        return same_transcript(session, ours)

    return run


def secure_kazoo(login: bool) -> Callable[[Launcher], str]:
    """Returns the check of kazoo's scenarios by TLS, or after logins."""

    def run(ours: Launcher) -> str:
        with secure(ours, secured.PEM, login) as (attempt, folder):
            return scenarios(Target(attempt.address, logins.kazoo_options(attempt, folder)))

    return run


def who_comes_in(ours: Launcher) -> str:
    """Compares what becomes of certificates and passwords, right and wrong, with all clients."""
    differences, summary = logins.compare(ours, oracle.launcher("3.9"))
    if differences:
        raise FailedError("\n".join(differences))
    return summary


def zkcli_reconfig(version: str) -> Callable[[Launcher], str]:
    """Returns the check that zkCli of a version changes an ensemble, and shows its configuration,
    with the words that it prints on the original."""

    def run(ours: Launcher) -> str:
        original = oracle.find(version)

        def session(launcher: Launcher) -> Transcript:
            config = {"standaloneEnabled": "false"}
            with ChangingEnsemble([launcher], config=config) as ensemble:
                ensemble.start()
                return transcripts.zkcli_reconfig(original, ensemble[1])

        return same_transcript(session, ours)

    return run


def _reference() -> Launcher:
    try:
        return oracle.launcher("3.9")
    except OracleMissingError:
        return oracle.launcher("3.8")


def cli_mt(ours: Launcher) -> str:
    """Checks that the C client prints what it prints on the original."""
    if not CLI_MT.exists():
        raise SkippedError(f"{CLI_MT} is not here; `python -m conformance.oracle install`")

    def session(launcher: Launcher) -> Transcript:
        with Server(launcher, CONFIG, PROPERTIES) as server:
            return transcripts.cli_mt(CLI_MT, server.address)

    return same_transcript(session, ours)


def curator(version: str) -> Callable[[Launcher], str]:
    """Returns the check that Curator's InterProcessMutex loses no increment of several
    processes."""

    def run(ours: Launcher) -> str:
        original = oracle.find(version)
        if shutil.which("javac") is None:
            raise SkippedError("there is no javac to compile Mutex.java")
        with Server(ours, CONFIG, PROPERTIES) as server:
            address = f"{server.address[0]}:{server.address[1]}"
            command = original.java(str(MUTEX), address, str(MUTEX_ROUNDS))
            processes = [
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                for _ in range(MUTEX_PROCESSES)
            ]
            try:
                outputs = [process.communicate(timeout=120)[0] for process in processes]
            finally:
                for process in processes:
                    process.kill()
            if any(process.returncode for process in processes):
                raise FailedError(b"\n".join(outputs).decode(errors="replace")[-3000:])
            client = new_session(server.address)
            answer = client.call("getData", wire.path_watch("/curator/counter"))
            value = int(wire.Reader(answer.body).buffer() or b"0")
            client.close_session()
        if value != MUTEX_PROCESSES * MUTEX_ROUNDS:
            raise FailedError(f"the counter is {value}, not {MUTEX_PROCESSES * MUTEX_ROUNDS}")
        return f"{MUTEX_PROCESSES} processes raised the counter to {value}"

    return run


def kazoo(ours: Launcher) -> str:
    """Runs kazoo's scenarios, all on one server."""
    with Server(ours, CONFIG, PROPERTIES) as server:
        return scenarios(Target(server.address))


def scenarios(target: Target) -> str:
    """Runs kazoo's scenarios by one way into a server."""
    for scenario in kazoo_client.SCENARIOS:
        try:
            scenario(target)
        except Exception:
            text = f"{scenario.__name__}: {traceback.format_exc(limit=-4)}"
            raise FailedError(text) from None
    return f"{len(kazoo_client.SCENARIOS)} scenarios"


CLIENTS: Final[dict[str, Callable[[Launcher], str]]] = {
    "kazoo": kazoo,
    "cli_mt": cli_mt,
    "zkCli-3.9": zkcli("3.9"),
    "zkCli-3.8": zkcli("3.8"),
    "zkCli-3.9-reconfig": zkcli_reconfig("3.9"),
    "zkCli-3.8-reconfig": zkcli_reconfig("3.8"),
    "curator-3.9": curator("3.9"),
    "curator-3.8": curator("3.8"),
    "kazoo-tls": secure_kazoo(login=False),
    "kazoo-sasl": secure_kazoo(login=True),
    "cli_mt-tls": secure_cli_mt(login=False),
    "cli_mt-sasl": secure_cli_mt(login=True),
    "zkCli-3.9-tls-jks": secure_zkcli("3.9", secured.JKS),
    "zkCli-3.9-tls-pem": secure_zkcli("3.9", secured.PEM),
    "zkCli-3.8-tls": secure_zkcli("3.8", secured.JKS),
    "zkCli-3.9-sasl": secure_zkcli("3.9", secured.PEM, login=True),
    "zkCli-3.8-sasl": secure_zkcli("3.8", secured.PEM, login=True),
    "logins": who_comes_in,
}


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 1 when a client failed; what cannot run here is skipped with a
    message."""
    parser = argparse.ArgumentParser(prog="python -m conformance.acceptance")
    parser.add_argument("clients", nargs="*", choices=[*CLIENTS, []], help="default: all")
    parser.add_argument("--command", help="server command line with {cfg} and {props}")
    parser.add_argument("--oracle", metavar="VERSION", help="an installed original as the server")
    options = parser.parse_args(arguments)
    ours = oracle.launcher(options.oracle) if options.oracle else pyzk_launcher(options.command)
    failed = 0
    for name in options.clients or CLIENTS:
        begin = time.monotonic()
        try:
            seen = CLIENTS[name](ours)
        except (SkippedError, OracleMissingError) as reason:
            print(f"{name:18} SKIPPED: {reason}")
            continue
        except (FailedError, OSError, subprocess.SubprocessError) as error:
            failed += 1
            print(f"{name:18} FAILED\n{error}")
            continue
        print(f"{name:18} ok: {seen} ({time.monotonic() - begin:.0f} s)", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
