"""Kerberos against a real KDC, which the test starts and ends; and the threads around it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from pyzk import cli
from pyzk.auth.sasl.gssapi import GssapiClient, GssapiServer
from pyzk.config.jaas import Login
from pyzk.errors import ConfigError, SaslError
from pyzk.runtime import kerberos
from pyzk.runtime.kerberos import GssKerberos
from pyzk.server.outbox import SaslStep
from tests.kdc import REALM, Realm, missing, realm
from tests.processes import NO_ADMIN, begun

CLIENT = """
from kazoo.client import KazooClient
from kazoo.security import make_acl
client = KazooClient({hosts!r}, sasl_options={{"mechanism": "GSSAPI"}}, timeout=20)
client.start(timeout=30)
client.create("/own", b"", acl=[make_acl("auth", "", all=True)])
print(client.get_acls("/own")[0][0].id.id)
client.stop()
"""
JAAS = """Server {{
    com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true
    useTicketCache=false keyTab="{keytab}" principal="zookeeper/localhost@{realm}";
}};
"""
SASL = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"


def service(keytab: Path) -> Login:
    principal = f"zookeeper/localhost@{REALM}"
    return Login(
        section="Server", users={}, principal=principal, keytab=str(keytab), uses_keytab=True
    )


def ignore(source: str, what: object, call: Callable[[], object]) -> None:
    raise AssertionError(source)


@pytest.fixture(scope="module")
def kdc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    pytest.importorskip("gssapi", reason="the library gssapi (the extra kerberos) is missing")
    if missing():
        pytest.skip(f"no realm can be made here: {missing()} (Debian's krb5-kdc) is missing")
    with realm(tmp_path_factory.mktemp("kdc")) as made:
        yield made


@pytest.fixture
def library(kdc: Realm, monkeypatch: pytest.MonkeyPatch) -> Iterator[GssKerberos]:
    for name, value in kdc.environment.items():
        if name.startswith("KRB5"):
            monkeypatch.setenv(name, value)
    loop = asyncio.new_event_loop()
    yield GssKerberos(loop, ignore)
    loop.close()


def exchange(theirs: GssapiServer, ours: GssapiClient) -> str:
    """Return the authorization id."""
    token: bytes | None = ours.step(b"")
    while token is not None:
        answer = theirs.step(token)
        token = None if answer is None else ours.step(answer)
    assert ours.is_complete
    return theirs.authorization_id


def sides(
    library: GssKerberos, theirs: Login, ours: Login, target: str = f"zookeeper/localhost@{REALM}"
) -> tuple[GssapiServer, GssapiClient]:
    return (
        GssapiServer(lambda: library.accept(theirs), lambda proved, asked: f"{proved}={asked}"),
        GssapiClient(lambda: library.initiate(ours, target), str(ours.principal)),
    )


def user(name: str, keytab: Path) -> Login:
    principal = f"{name}@{REALM}"
    return Login(section=name, users={}, principal=principal, keytab=str(keytab), uses_keytab=True)


@pytest.mark.live
def test_both_sides_with_keys(kdc: Realm, library: GssKerberos) -> None:
    theirs = service(kdc.keytab("zookeeper/localhost"))
    ours = user("bob", kdc.keytab("bob"))
    for _ in range(2):  # the second time with the ticket that is there
        assert exchange(*sides(library, theirs, ours)) == f"bob@{REALM}=bob@{REALM}"


@pytest.mark.live
def test_a_ticket_of_the_cache(kdc: Realm, library: GssKerberos) -> None:
    theirs = service(kdc.keytab("zookeeper/localhost"))
    kdc.log_in("eve", kdc.keytab("eve"))
    cache = str(kdc.folder / "cache")
    for ticket_cache in (cache, None):
        ours = Login(
            section="Client", users={}, principal=f"eve@{REALM}", ticket_cache=ticket_cache
        )
        assert exchange(*sides(library, theirs, ours)).startswith(f"eve@{REALM}")


@pytest.mark.live
def test_changed_tickets_are_refused_and_nothing_else_happens(
    kdc: Realm, library: GssKerberos
) -> None:
    """The library that reads them is C."""
    rng = Random(7)
    login = service(kdc.keytab("zookeeper/localhost"))
    ours = user("dora", kdc.keytab("dora"))
    _, client = sides(library, login, ours)
    ticket = client.step(b"")
    assert ticket is not None
    taken = 0
    for number in range(400):
        changed = bytearray(ticket)
        for _ in range(rng.randint(1, 3)):
            at, end = sorted((rng.randrange(len(changed)), rng.randrange(len(changed))))
            if number % 4 == 0:
                changed[at] ^= 1 << rng.randrange(8)
            elif number % 4 == 1:
                changed[at:end] = rng.randbytes(rng.randrange(20))
            elif number % 4 == 2:
                del changed[end:]
            else:
                changed[at:at] = changed[at:end]
            if not changed:
                break
        theirs, _ = sides(library, login, ours)
        try:
            theirs.step(bytes(changed))
        except SaslError:
            assert not theirs.is_complete
        else:
            taken += 1  # what nobody looks at has changed, a reserved bit, say
    assert taken < 40
    assert exchange(*sides(library, login, ours)) == f"dora@{REALM}=dora@{REALM}"


@pytest.mark.live
def test_what_fails_says_why(kdc: Realm, library: GssKerberos) -> None:
    theirs = service(kdc.keytab("zookeeper/localhost"))
    ours = user("bob", kdc.keytab("bob"))
    with pytest.raises(SaslError, match="not found in Kerberos database"):
        exchange(*sides(library, theirs, ours, f"gone/localhost@{REALM}"))
    with pytest.raises(SaslError, match="No credentials"):
        exchange(*sides(library, theirs, user("nobody", kdc.folder / "gone")))
    with pytest.raises(SaslError, match=r"(?i)key"):
        exchange(*sides(library, service(kdc.folder / "gone"), ours))
    other = service(kdc.keytab("zookeeper/localhost"))
    with pytest.raises(SaslError, match=r"(?i)token|defective"):
        sides(library, other, ours)[0].step(b"garbage")


@pytest.mark.live
def test_a_token_that_somebody_has_recorded_proves_nothing(
    kdc: Realm, library: GssKerberos
) -> None:
    """Who sends it again has no key for what the server wants to have unwrapped."""
    theirs = service(kdc.keytab("zookeeper/localhost"))
    ours = user("bob", kdc.keytab("bob"))
    first, client = sides(library, theirs, ours)
    request = client.step(b"")
    assert request
    answer = first.step(request)
    assert answer
    client.step(answer)
    offer = first.step(b"")
    assert offer
    choice = client.step(offer)
    assert choice
    second, _ = sides(library, theirs, ours)
    with pytest.raises(SaslError):
        for token in (request, b"", choice):
            second.step(token)
    assert not second.is_complete


@pytest.mark.live
def test_kazoo_logs_in(kdc: Realm, tmp_path: Path, patience: float) -> None:
    pytest.importorskip("kerberos", reason="kazoo's Kerberos (pykerberos) is missing")
    (tmp_path / "jaas.conf").write_text(
        JAAS.format(keytab=kdc.keytab("zookeeper/localhost"), realm=REALM)
    )
    kdc.log_in("bob", kdc.keytab("bob"))
    environment = kdc.environment | {"PYTHONPATH": os.getcwd()}
    arguments = (
        "-m", "pyzk", "serve", NO_ADMIN, "--port", "0", "-Dzookeeper.authProvider.1=" + SASL,
        f"-Djava.security.auth.login.config={tmp_path / 'jaas.conf'}",
    )  # fmt: skip
    with begun(*arguments, cwd=tmp_path, env=environment) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline().split("127.0.0.1:")[1].split(",")[0])
        made = subprocess.run(
            [sys.executable, "-c", CLIENT.format(hosts=f"localhost:{port}")],
            env=environment,
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
        )
        assert (made.stdout, made.returncode) == (f"bob@{REALM}\n", 0), made.stderr
        with socket.create_connection(("127.0.0.1", port)):
            pass


# --- without a realm -------------------------------------------------------------------------


def test_without_the_library_there_is_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", None)
    loop = asyncio.new_event_loop()
    with pytest.raises(ConfigError, match=r"a Krb5LoginModule needs the extra kerberos \("):
        GssKerberos(loop, ignore)
    loop.close()


def test_config_check_sees_that_the_library_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", None)
    (tmp_path / "jaas.conf").write_text(JAAS.format(keytab="/k", realm=REALM))
    (tmp_path / "zoo.cfg").write_text(f"dataDir={tmp_path}\nclientPort=1\n")
    with pytest.raises(SystemExit) as ended:
        cli.main(
            ["config", "check", str(tmp_path / "zoo.cfg"),
             f"-Djava.security.auth.login.config={tmp_path}/jaas.conf"]
        )  # fmt: skip
    assert ended.value.code == 2
    assert (
        "a Krb5LoginModule needs the extra kerberos (in a clone of pyzk: pip install"
        " '.[kerberos]'): import of gssapi"
    ) in capfd.readouterr().err


class Slow:
    """A mechanism that notes on which thread it works."""

    is_blocking = True
    is_complete = False
    authorization_id = ""

    def __init__(self, failure: str = "") -> None:
        self.thread = ""
        self._failure = failure

    def step(self, token: bytes) -> bytes | None:
        import threading

        self.thread = threading.current_thread().name
        if self._failure:
            raise SaslError(self._failure)
        return token


def test_steps_are_done_on_threads_and_come_back_as_inputs() -> None:
    async def run() -> list[tuple[bytes | None, str]]:
        loop = asyncio.get_running_loop()
        done: list[tuple[bytes | None, str]] = []
        all_done = loop.create_future()

        def take_in(source: str, what: object, call: Callable[[], object]) -> None:
            call()
            if len(done) == 5:
                all_done.set_result(None)

        threads = kerberos.Threads(2, loop, take_in)
        mechanisms = [Slow(), Slow(), Slow(), Slow(), Slow("no ticket")]
        for number, mechanism in enumerate(mechanisms):
            threads.run(
                SaslStep(threads, mechanism, b"%d" % number, lambda *answer: done.append(answer))
            )
        await all_done
        assert {mechanism.thread for mechanism in mechanisms} == {"pyzk-kerberos"}
        return done

    done = asyncio.run(run())
    assert sorted(done, key=repr) == [
        (None, "no ticket"), (b"0", ""), (b"1", ""), (b"2", ""), (b"3", ""),
    ]  # fmt: skip


def test_a_step_that_breaks_costs_one_login_and_no_thread(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Slow):
        def step(self, token: bytes) -> bytes | None:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "a name that is no text")

    async def run() -> list[tuple[bytes | None, str]]:
        loop = asyncio.get_running_loop()
        done: list[tuple[bytes | None, str]] = []
        all_done = loop.create_future()

        def take_in(source: str, what: object, call: Callable[[], object]) -> None:
            call()
            if len(done) == 3:
                all_done.set_result(None)

        threads = kerberos.Threads(1, loop, take_in)
        for mechanism in (Broken(), Broken(), Slow()):
            threads.run(SaslStep(threads, mechanism, b"", lambda *answer: done.append(answer)))
        await asyncio.wait_for(all_done, 10)
        return done

    failed = "the step has failed: UnicodeDecodeError"
    assert asyncio.run(run()) == [(None, failed), (None, failed), (b"", "")]
    assert "a name that is no text" in caplog.text
