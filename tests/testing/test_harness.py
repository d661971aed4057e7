"""The stand-in for kazoo's harness: the same words, the same outcomes, and kazoo's own tests."""

from __future__ import annotations

import importlib.util
import os
import tempfile
import threading
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import python

pytest.importorskip("kazoo.client")

from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError, NoAuthError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import KazooState
from kazoo.security import make_acl

from pyzk.cli.access import Access, Login
from pyzk.cli.access_kazoo import FailedLogin, kazoo_client
from pyzk.testing import FixtureError, kazoo_harness
from pyzk.testing.kazoo_harness import KazooTestCase, KazooTestHarness, get_global_cluster
from tests import kdc
from tests.conftest import TIMEOUT_FACTOR

ROOT = Path(__file__).parents[2]


class States:
    """What a client's listener hears."""

    def __init__(self, client: Any) -> None:
        self.seen: list[str] = []
        client.add_listener(self.seen.append)


class TestCase(KazooTestCase):
    """As a user of kazoo.testing writes it."""

    def test_a_client_in_a_chroot_of_its_own(self) -> None:
        self.client.create("/a", b"x")
        other = self._get_nonchroot_client()
        other.start()
        chroot = self.hosts.partition("/")[2]
        assert self.hosts == f"{self.servers}/{chroot}"
        assert other.get(f"/{chroot}/a")[0] == b"x"
        assert self.servers == self.cluster[0].address
        assert self.client._session_timeout == 15_000

    def test_lose_connection(self) -> None:
        self.client.create("/e", ephemeral=True)
        states = States(self.client)
        self.lose_connection(self.make_event)
        assert states.seen == [KazooState.SUSPENDED, KazooState.CONNECTED]
        assert self.client.exists("/e")

    def test_expire_session(self) -> None:
        self.client.create("/e", ephemeral=True)
        old = self.client.client_id
        states = States(self.client)
        self.expire_session(threading.Event)
        assert states.seen == [KazooState.LOST, KazooState.CONNECTED]
        assert self.client.client_id != old
        assert not self.client.exists("/e")

    def test_expire_session_without_a_factory(self) -> None:
        self.expire_session()
        self.lose_connection()
        assert self.client.connected

    def test_the_words_of_the_harness(self) -> None:
        condition = self.make_condition()
        with condition:
            condition.notify_all()
        assert not self.make_event().is_set()
        self.log(20, "words")

    def test_stop_and_run_keep_the_data_and_the_port(self) -> None:
        server = self.cluster[0]
        address = server.address
        self.client.create("/a")
        running = [server.running]
        for step in (server.stop, server.run, server.run):
            step()
            running.append(server.running)
        assert running == [True, False, True, True]
        assert server.address == address
        assert self.client.retry(self.client.exists, "/a")

    def test_reset_forgets_the_data(self) -> None:
        port = self.cluster[0].client_port
        self.cluster.reset()
        assert not self.cluster[0].running
        self.cluster.start()
        assert self.cluster[0].client_port == port
        assert self.cluster[0].server.tree() == {}

    def test_faults_are_at_hand(self) -> None:
        self.cluster[0].server.fail("create", "NoAuth")
        with pytest.raises(NoAuthError):
            self.client.create("/a")

    def test_faults_end_with_the_test(self) -> None:
        for _ in range(2):
            self.cluster[0].server.fail("create", "NoAuth", times=None)
            self.cluster[0].server.pause()
            self.teardown_zookeeper()
            self.setup_zookeeper()
            self.client.create("/a")

    def test_the_super_user_has_kazoos_password(self) -> None:
        self.client.add_auth("digest", "super:test")
        assert self.client.get_acls("/")

    def test_what_is_told_of_a_server(self) -> None:
        server = self.cluster[0]
        assert server.server_info.client_port == server.client_port
        assert server.server_info.peer_type == "participant"
        assert os.path.isdir(server.working_path)
        assert any("connected" in line for line in self.cluster.get_logs())
        assert len(self.cluster) == 1


class TestHarness(KazooTestHarness):
    """With setup by hand, and options for the client."""

    def test_client_options(self) -> None:
        self.setup_zookeeper(timeout=7, read_only=True)
        try:
            assert self.client._session_timeout == 7000
            assert self.client.get_children("/") == []
        finally:
            self.teardown_zookeeper()
        assert self.client is None

    def test_the_same_by_tls(self) -> None:
        pytest.importorskip("trustme")
        found = self.cluster.get_ssl_client_configuration()
        assert set(found) == {"client_key", "client_cert", "ca_cert"}
        with tempfile.TemporaryDirectory() as name:
            files = {each: Path(name, each) for each in found}
            for each, file in files.items():
                file.write_bytes(found[each])
            self.setup_zookeeper(
                use_ssl=True,
                ca=str(files["ca_cert"]),
                certfile=str(files["client_cert"]),
                keyfile=str(files["client_key"]),
            )
            try:
                assert self.hosts.startswith(self.secure_servers + "/")
                mine = make_acl("x509", "CN=client", all=True)
                self.client.create("/a", b"x", acl=[mine])
                self.lose_connection()
                assert self.client.get("/a")[0] == b"x"
                plain = self._get_client()
                plain.start()
                with pytest.raises(NoAuthError):
                    plain.get("/a")
            finally:
                self.teardown_zookeeper()

    def test_tls_may_come_later(self) -> None:
        """The server starts again with its data, and plaintext goes on."""
        pytest.importorskip("trustme")
        self.cluster.reset()
        self.cluster[0]._certificates = None
        self.setup_zookeeper()
        try:
            self.client.create("/a", b"x")
            assert self.cluster[0].server_info.secure_client_port == 0
            assert self.secure_servers == self.servers
            assert self.client.retry(self.client.get, "/a")[0] == b"x"
            assert self.cluster[0].server_info.secure_client_port == self.cluster[0].client_port
        finally:
            self.teardown_zookeeper()


def test_it_works_under_unittest() -> None:
    class Case(KazooTestCase):
        def test_one(self) -> None:
            self.client.create("/a")

        def test_two(self) -> None:
            assert self.client.get_children("/") == []

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
    assert result.testsRun == 2
    assert result.wasSuccessful(), result.failures + result.errors
    assert not get_global_cluster()[0].running


# --- the environment ------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """As if nothing had been started yet, and nothing is after."""
    monkeypatch.setattr(kazoo_harness, "_cluster", None)
    yield monkeypatch
    if kazoo_harness._cluster is not None:
        kazoo_harness._cluster.terminate()


def test_nothing_of_kazoos_variables_is_needed(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("ZOOKEEPER_VERSION", raising=False)
    environment.setenv("ZOOKEEPER_PATH", "/no/such/place")
    cluster = get_global_cluster()
    assert get_global_cluster() is cluster
    cluster.start()
    client = KazooClient(cluster[0].address)
    client.start()
    client.stop()
    client.close()


def test_the_port_may_be_given(environment: pytest.MonkeyPatch) -> None:
    first = get_global_cluster()
    first.start()
    port = first[0].client_port
    environment.setenv("ZOOKEEPER_PORT_OFFSET", str(port))
    second = get_global_cluster()
    assert second is not first
    assert not first[0].running
    second.start()
    assert second[0].address == f"127.0.0.1:{port}"


def test_a_larger_cluster_is_told(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ZOOKEEPER_CLUSTER_SIZE", "3")
    with pytest.warns(UserWarning, match="CLUSTER_SIZE=3: this harness serves a single server"):
        cluster = get_global_cluster()
    assert len(cluster) == 1
    with pytest.raises(IndexError, match=r"cluster\[1\]: this harness serves a single server"):
        cluster[1].stop()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ZOOKEEPER_JAAS_AUTH", "ntlm", "ZOOKEEPER_JAAS_AUTH=ntlm is neither digest nor gssapi"),
        ("ZOOKEEPER_PORT_OFFSET", "high", "ZOOKEEPER_PORT_OFFSET=high is not a number"),
    ],
)
def test_what_cannot_be_is_told(
    environment: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(FixtureError, match=message):
        get_global_cluster()


def test_kazoos_users_may_log_in(
    environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("puresasl")
    environment.setenv("ZOOKEEPER_JAAS_AUTH", "digest")
    cluster = get_global_cluster()
    cluster.start()
    login = {"mechanism": "DIGEST-MD5", "username": "jaasuser", "password": "jaas_password"}
    client = KazooClient(cluster[0].address, sasl_options=login)
    client.start()
    client.create("/a", acl=[make_acl("sasl", "jaasuser", all=True)])
    client.stop()
    client.close()
    client = KazooClient(cluster[0].address, sasl_options={**login, "password": "wrong"})
    # kazoo counts it as connected until the answer to the login is there.
    with pytest.raises((AuthFailedError, KazooTimeoutError)):
        client.start()
        client.exists("/")
    client.stop()
    client.close()
    assert any("its SASL login failed" in line for line in caplog.messages)


@pytest.mark.live
def test_kazoos_realm_may_log_in(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("gssapi", reason="the library gssapi (the extra kerberos) is missing")
    if kdc.missing():
        pytest.skip(f"no realm can be made here: {kdc.missing()} (Debian's krb5-kdc) is missing")
    with kdc.realm(tmp_path, "KAZOOTEST.ORG") as made:
        made.keytab("zookeeper/127.0.0.1").rename(tmp_path / "server.keytab")
        made.log_in("client", made.keytab("client"))
        for name, value in made.environment.items():
            if name.startswith("KRB5"):
                environment.setenv(name, value)
        environment.setenv("KRB5_TEST_ENV", str(tmp_path))
        environment.setenv("ZOOKEEPER_JAAS_AUTH", "gssapi")
        cluster = get_global_cluster()
        cluster.start()
        access = Access(login=Login("gssapi", None))
        client = kazoo_client(access, FailedLogin(), hosts=cluster[0].address)
        client.start()
        client.create("/a", acl=[make_acl("auth", "", all=True)])
        assert client.get_acls("/a")[0][0].id.id == "client@KAZOOTEST.ORG"
        client.stop()
        client.close()
        path = cluster[0].working_path
        cluster.terminate()
        assert not os.path.exists(path)


# --- kazoo's own tests ----------------------------------------------------------------

NOT_FOR_ONE_SERVER = (
    "test_update_host_list",  # stops one of three
    "TestReadOnlyMode",  # likewise
    "TestReconfig",  # a standalone server has no reconfig
    # It drops its connection right behind a write, and fails if that has been answered: here the
    # server is in the same process, and often faster. The suite on real processes has it.
    "test_connection_dropped",
)
STAND_IN = """
import sys, types
from pyzk.testing import kazoo_harness
testing = types.ModuleType("kazoo.testing")
testing.KazooTestCase = kazoo_harness.KazooTestCase
testing.KazooTestHarness = kazoo_harness.KazooTestHarness
sys.modules["kazoo.testing"] = testing
"""


@pytest.mark.slow
@pytest.mark.live
@pytest.mark.parametrize(
    "name",
    [
        "barrier", "cache", "client", "connection", "counter", "election", "interrupt", "lease",
        "lock", "partitioner", "party", "queue", "sasl", "security", "watchers",
    ],
)  # fmt: skip
def test_kazoos_own_tests_pass(tmp_path: Path, name: str) -> None:
    if name == "cache" and importlib.util.find_spec("objgraph") is None:
        pytest.skip("kazoo's test_cache needs objgraph")
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    result = python(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "stand_in"),
        *("-k", " and ".join(f"not {name}" for name in NOT_FOR_ONE_SERVER)),
        *("--pyargs", f"kazoo.tests.test_{name}"),
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        timeout=120 * TIMEOUT_FACTOR,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:]
