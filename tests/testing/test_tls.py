"""Test servers with TLS and with users of SASL: what clients are handed, who comes in, and that
every fault works below TLS, too."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.security import make_acl

from pyzk.cli.access import Access, Login
from pyzk.cli.access_options import AccessOptions
from pyzk.constants import OpCode
from pyzk.errors import AuthFailed
from pyzk.runtime.tls_network import TlsNetwork
from pyzk.testing import (
    AsyncZooKeeperServer,
    Certificates,
    ClientCertificate,
    FixtureError,
    GivenCertificates,
    LeakedClientsWarning,
    NotAvailableError,
    ZooKeeperEnsemble,
    ZooKeeperServer,
)
from pyzk.testing.core.security import Security
from pyzk.testing.external.command import CommandServer
from pyzk.testing.external.plain_client import PlainClient, ask
from pyzk.testing.external.server import ConnectedServer
from tests.frames import create_request
from tests.processes import python
from tests.testing.raw import PATIENCE_S, RawClient
from tests.testing.test_external import COMMAND

USERS = {"alice": "secret", "bob": "hunter2"}
QUICK = {"max_tries": -1, "delay": 0.01, "max_delay": 0.1}


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ZooKeeperServer]:
    with ZooKeeperServer(tls=certificates, virtual_clock=True, leaks="ignore") as made:
        yield made


@pytest.fixture
def client(server: ZooKeeperServer) -> Iterator[KazooClient]:
    made = KazooClient(**server.kazoo_options(), connection_retry=QUICK, command_retry=QUICK)
    made.start(PATIENCE_S)
    yield made
    made.stop()
    made.close()


class TlsClient(RawClient):
    """A client of frames that comes by TLS."""

    def __init__(self, server: ZooKeeperServer, context: ssl.SSLContext | None = None) -> None:
        super().__init__(server, greet=False)
        context = context or server.client_ssl_context()
        plain = self.sock
        try:
            self.sock = context.wrap_socket(plain, server_hostname="127.0.0.1")
            self.greet()
            self.welcome()
        except BaseException:
            plain.close()
            self.sock.close()
            raise


def can_come(server: ZooKeeperServer, certificate: ClientCertificate) -> bool:
    try:
        TlsClient(server, certificate.ssl_context()).end()
    except (ssl.SSLError, ConnectionError, EOFError):
        return False
    return True


# --- who comes in ---------------------------------------------------------------------


def test_a_certificate_is_an_identity(server: ZooKeeperServer) -> None:
    alice = server.tls.client("CN=alice,OU=a\\,b,O=Example")
    assert alice.identity == "CN=alice,OU=a\\,b,O=Example"
    assert alice is server.tls.client("CN=alice,OU=a\\,b,O=Example")
    clients = [
        KazooClient(**server.kazoo_options(each)) for each in (alice, "CN=bob", server.tls.client())
    ]
    for each in clients:
        each.start(PATIENCE_S)
    mine = make_acl("x509", alice.identity, all=True)
    clients[0].create("/mine", acl=[mine])
    for other in clients[1:]:
        with pytest.raises(NoAuthError):
            other.get("/mine")
    assert clients[0].get("/mine")[0] == b""
    for each in clients:
        each.stop()
        each.close()


def test_clients_must_show_a_certificate_of_the_authority_in_its_time(
    server: ZooKeeperServer, certificates: Certificates
) -> None:
    now = datetime.now(UTC)
    day = timedelta(days=1)
    late = certificates.client("CN=late", not_before=now - 2 * day, not_after=now - day)
    early = certificates.client("CN=early", not_before=now + day, not_after=now + 2 * day)
    stranger = Certificates().client()
    stranger.ca_file = certificates.ca_file
    assert can_come(server, certificates.client("CN=right"))
    for wrong in (certificates.anonymous, late, early, stranger):
        assert not can_come(server, wrong)
    with pytest.raises(FixtureError, match="shows no certificate has no identity"):
        _ = certificates.anonymous.identity


def test_options_say_otherwise(certificates: Certificates) -> None:
    options = {"ssl.clientAuth": "none", "ssl.protocol": "TLSv1.2"}
    with ZooKeeperServer(tls=certificates, options=options) as server:
        context = server.client_ssl_context(certificates.anonymous)
        with TlsClient(server, context) as one:
            assert isinstance(one.sock, ssl.SSLSocket)
            assert one.sock.version() == "TLSv1.2"
            one.end()


def test_plaintext_is_refused_unless_a_test_wants_both(
    server: ZooKeeperServer, certificates: Certificates
) -> None:
    with socket.create_connection((server.host, server.port), PATIENCE_S) as plain:
        plain.sendall(b"ruok")
        assert plain.recv(10) == b""
    server.wait_until(lambda: any("talks no TLS, and was refused" in one for one in server.events))
    with ZooKeeperServer(
        tls=certificates, options={"client.portUnification": True}, leaks="ignore"
    ) as both:
        assert ask(both.host, both.port, "ruok", PATIENCE_S) == "imok"
        with RawClient(both) as plain_client, TlsClient(both) as tls_client:
            assert plain_client.create("/a").err == 0
            assert tls_client.create("/b").err == 0
            assert len(both.sessions) == 2
            assert both.drop_connections() == 2
            assert plain_client.is_cut()
            assert tls_client.is_cut()


def test_keys_of_tls_work_without_certificates_of_the_fixture(certificates: Certificates) -> None:
    """As `pyzk serve --ephemeral -Dssl...` has them."""
    options = {
        "client.portUnification": True,
        "ssl.keyStore.location": certificates.key_store(),
        "ssl.trustStore.location": certificates.ca_file,
    }
    with ZooKeeperServer(options=options) as server:
        assert ask(server.host, server.port, "ruok", PATIENCE_S) == "imok"
        access = Access(certificates.client().ssl_context())
        assert ask(server.host, server.port, "ruok", PATIENCE_S, access) == "imok"
        with pytest.raises(FixtureError, match="there is no TLS here"):
            _ = server.tls


def test_given_certificates_are_used(certificates: Certificates, tmp_path: Path) -> None:
    pem = Path(certificates.key_store()).read_bytes()
    end = b"-----END PRIVATE KEY-----\n"
    key, _, cert = pem.partition(end)
    (tmp_path / "key.pem").write_bytes(key + end)
    (tmp_path / "cert.pem").write_bytes(cert)
    own = certificates.client("CN=given")
    assert own.cert_file is not None
    given = GivenCertificates(
        certificates.ca_file, tmp_path / "cert.pem", tmp_path / "key.pem",
        client_cert=own.cert_file, client_key=own.key_file,
    )  # fmt: skip
    whole = GivenCertificates(certificates.ca_file, certificates.key_store())
    with ZooKeeperServer(tls=given) as server:
        assert server.tls.client().identity == "CN=given"
        assert can_come(server, server.tls.client())
        assert not can_come(server, server.tls.anonymous)
        with pytest.raises(FixtureError, match="no certificate can be issued to CN=bob"):
            server.client_ssl_context("CN=bob")
    with ZooKeeperServer(tls=whole, options={"ssl.clientAuth": "want"}) as server:
        assert can_come(server, server.tls.client())


# --- what is handed out ---------------------------------------------------------------


def test_what_is_wrong_is_said(certificates: Certificates) -> None:
    wrong: Any = "yes"
    with pytest.raises(FixtureError, match="tls is 'yes'; give True, or Certificates or"):
        ZooKeeperServer(tls=wrong)
    wrong = ["alice"]
    with pytest.raises(FixtureError, match="sasl is to be a dictionary of users and passwords"):
        ZooKeeperEnsemble(sasl=wrong)
    with pytest.raises(FixtureError, match="'alice' is no subject, such as CN=alice"):
        certificates.client("alice")
    plain = ZooKeeperServer()
    for ask_for in (lambda: plain.tls, plain.client_ssl_context):
        with pytest.raises(FixtureError, match=r"there is no TLS here; .*tls=True"):
            ask_for()
    with ZooKeeperServer(sasl=USERS) as server:
        assert server.kazoo_options() == {"hosts": server.connect_string}
        with pytest.raises(FixtureError, match="no user 'eve'; users of SASL are 'alice', 'bob'"):
            server.kazoo_options(user="eve")


def test_the_files_go_with_what_names_them() -> None:
    made = Certificates()
    one = made.client()
    directory = Path(made.directory)
    assert {each.stat().st_mode & 0o77 for each in directory.iterdir()} == {0}
    server = ZooKeeperServer(tls=made)
    del made
    gc.collect()
    assert directory.exists()
    del server
    gc.collect()
    assert one.ssl_context().get_ca_certs()
    del one
    gc.collect()
    assert not directory.exists()


def test_a_child_leaves_the_files_to_its_parent() -> None:
    code = (
        "import os, sys\nfrom pyzk.testing import Certificates\nmade = Certificates()\n"
        "child = os.fork()\nif child == 0:\n    sys.exit()\nos.waitpid(child, 0)\n"
        "print(os.path.exists(made.ca_file), made.directory)\n"
    )
    there, directory = python("-W", "ignore", "-c", code).stdout.split()
    assert there == "True"
    assert not os.path.exists(directory)


def test_the_extra_is_named_where_the_library_is_missing() -> None:
    code = (
        "import sys\nsys.modules['trustme'] = None\nfrom pyzk.testing import ZooKeeperServer\n"
        "try: ZooKeeperServer(tls=True)\nexcept ImportError as error: print(error)"
    )
    assert python("-c", code).stdout == (
        "certificates for tests need the library trustme, which comes with the extra testing"
        " (in a clone of pyzk: pip install '.[testing]')\n"
    )


def test_under_asyncio_it_is_the_same(certificates: Certificates) -> None:
    async def main() -> bytes:
        async with AsyncZooKeeperServer(tls=certificates) as server:
            context = server.client_ssl_context()
            reader, writer = await asyncio.open_connection(server.host, server.port, ssl=context)
            writer.write(b"ruok")
            answer = await reader.read(4)
            writer.transport.abort()
            return answer

    assert asyncio.run(main()) == b"imok"


# --- faults ---------------------------------------------------------------------------


def test_faults_of_requests_hit_below_tls(server: ZooKeeperServer, client: KazooClient) -> None:
    server.fail("create", "NoAuth")
    with pytest.raises(NoAuthError):
        client.create("/a")
    client.create("/a", b"1", ephemeral=True)
    server.delay("exists", 5, times=1)
    pending = client.exists_async("/a")
    with pytest.raises(client.handler.timeout_exception):
        pending.get(timeout=0.05)
    server.advance(5, keep_sessions=True)
    assert pending.get(timeout=PATIENCE_S) is not None
    session = client.client_id
    server.no_response("get")
    client.get_async("/a")
    server.wait_until(lambda: not server.faults)
    server.drop_connection(client)
    assert client.retry(client.get, "/a")[0] == b"1"
    assert client.client_id == session
    server.expire_session(client)
    assert server.tree() == {}


def test_a_server_that_is_paused_shakes_no_hands(server: ZooKeeperServer) -> None:
    server.pause()
    got: list[int] = []
    with begun(server) as sock:
        context = server.client_ssl_context()

        def come() -> None:
            with TlsClient(server, context) as one:
                got.append(one.session_id)

        other = threading.Thread(target=come)
        other.start()
        server.wait_until(lambda: len(server._engine.sockets) == 2)
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
        assert got == []
        server.resume()
        other.join(PATIENCE_S)
        assert len(got) == 1
        assert got[0] != 0
        sock.settimeout(PATIENCE_S)
        assert sock.recv(1)


def test_connections_are_rejected_before_a_handshake(server: ZooKeeperServer) -> None:
    server.reject_connections()
    with socket.create_connection((server.host, server.port), PATIENCE_S) as sock:
        context = server.client_ssl_context()
        with pytest.raises((ConnectionError, ssl.SSLError)):
            context.wrap_socket(sock, server_hostname="127.0.0.1")
    server.reject_connections(False)
    with TlsClient(server):
        pass


def begun(server: ZooKeeperServer) -> socket.socket:
    """A connection that says hello, and nothing more."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = server.client_ssl_context().wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    sock = socket.create_connection((server.host, server.port), PATIENCE_S)
    sock.sendall(outgoing.read())
    return sock


@pytest.mark.parametrize(
    "end",
    [ZooKeeperServer.kill, ZooKeeperServer.reset, ZooKeeperServer.stop, ZooKeeperServer.restart],
)
def test_handshakes_that_do_not_end_end_with_the_server(
    server: ZooKeeperServer, end: Callable[[ZooKeeperServer], None]
) -> None:
    with begun(server) as sock, socket.create_connection((server.host, server.port)) as silent:
        assert sock.recv(1)
        server.wait_until(lambda: len(server._engine.sockets) == 2)
        end(server)
        for each in (sock, silent):
            each.settimeout(PATIENCE_S)
            with pytest.raises(ConnectionResetError):
                while each.recv(1 << 16):
                    pass
                raise ConnectionResetError  # a proper end will do
    assert server._engine.sockets == {}


def test_a_server_that_is_killed_while_it_is_paused_ends(server: ZooKeeperServer) -> None:
    with TlsClient(server) as one:
        server.pause()
        with socket.create_connection((server.host, server.port)):
            server.wait_until(lambda: len(server._engine.sockets) == 2)
            server.kill()
            assert one.is_cut()
    server.restart()
    with TlsClient(server) as one:
        assert one.create("/a").err == 0


def test_leaks_are_seen_by_tls(certificates: Certificates) -> None:
    server = ZooKeeperServer(tls=certificates).start()
    with TlsClient(server), pytest.warns(LeakedClientsWarning, match="1 client"):
        server.stop()


def test_idle_means_that_what_came_by_tls_is_served(server: ZooKeeperServer) -> None:
    with TlsClient(server) as one:
        one.submit(OpCode.CREATE, create_request("/a"), 1)
        server.wait_until_idle()
        assert server.tree() == {"/a": b""}


# --- ensembles ------------------------------------------------------------------------


def test_clients_of_an_ensemble_come_by_tls(certificates: Certificates) -> None:
    options = {"reconfigEnabled": True}
    with ZooKeeperEnsemble(3, tls=certificates, sasl=USERS, options=options) as ensemble:
        client = KazooClient(
            **ensemble.kazoo_options("CN=alice"), connection_retry=QUICK, command_retry=QUICK
        )
        client.start(PATIENCE_S)
        client.create("/a", b"1", acl=[make_acl("x509", "CN=alice", all=True)])
        ensemble.server_of(client).kill()
        ensemble.wait_for_leader()
        assert client.retry(client.get, "/a")[0] == b"1"
        new = ensemble.add_member()
        assert ask(new.host, new.port, "ruok", PATIENCE_S, Access(ensemble[4].client_ssl_context()))
        assert ask(new.host, new.port, "ruok", PATIENCE_S) == ""
        client.stop()
        client.close()


@pytest.mark.parametrize("has_tls", [False, True])
def test_members_talk_tls_with_each_other_if_the_options_say_so(
    certificates: Certificates, has_tls: bool
) -> None:
    options = {"sslQuorum": has_tls}
    with ZooKeeperEnsemble(3, tls=certificates, options=options) as ensemble:
        for member in ensemble:
            ports = member._engine._runner
            assert ports is not None
            assert ports._member is not None
            assert isinstance(ports._member._network, TlsNetwork) is has_tls
        ensemble.load({"/a": "1"})
        old = ensemble.leader
        assert ensemble.elect_new_leader() is not old
        assert {member.tree()["/a"] for member in ensemble} == {b"1"}


# --- SASL -----------------------------------------------------------------------------


def login(user: str = "alice", password: str = "secret") -> Access:
    return Access(None, Login("digest", user, password))


def test_users_log_in_without_a_file(server: ZooKeeperServer) -> None:
    with (
        ZooKeeperServer(sasl=USERS) as plain,
        PlainClient(plain.host, plain.port, PATIENCE_S, access=login()) as one,
    ):
        one.create("/a", b"")
        for wrong in (login(password="wrong"), login("eve")):
            with pytest.raises(AuthFailed):
                PlainClient(plain.host, plain.port, PATIENCE_S, access=wrong)
    with pytest.raises(FixtureError, match=r"sasl= and java.security.auth.login.config: give one"):
        ZooKeeperServer(sasl=USERS, options={"java.security.auth.login.config": jaas_file(server)})


def jaas_file(server: ZooKeeperServer) -> str:
    tls = server.tls
    assert isinstance(tls, Certificates)
    path = Path(tls.directory) / "jaas.conf"
    path.write_text(
        "Server { org.apache.zookeeper.server.auth.DigestLoginModule required user_a=b; };"
    )
    return str(path)


@pytest.mark.skipif(find_spec("puresasl") is None, reason="kazoo logs in with pure-sasl")
def test_kazoo_logs_in(certificates: Certificates) -> None:
    with ZooKeeperServer(tls=certificates, sasl=USERS) as server:
        clients = [KazooClient(**server.kazoo_options(user=user)) for user in USERS]
        for each in clients:
            each.start(PATIENCE_S)
        clients[0].create("/mine", acl=[make_acl("sasl", "alice", all=True)])
        assert clients[0].get("/mine")[0] == b""
        with pytest.raises(NoAuthError):
            clients[1].get("/mine")
        for each in clients:
            each.stop()
            each.close()


def test_options_of_sasl_count_beside_the_users() -> None:
    security = Security(False, USERS)
    options = security.options("127.0.0.1", {"authProvider.sasl": "x"})
    assert options == {"authProvider.sasl": "x"}
    with ZooKeeperServer(sasl=USERS, options={"sessionRequireClientSASLAuth": True}) as server:
        with RawClient(server) as nobody:
            assert nobody.create("/a").err == -124
        with PlainClient(server.host, server.port, PATIENCE_S, access=login()) as one:
            one.create("/a", b"")


# --- servers that run elsewhere -------------------------------------------------------


def test_a_server_that_runs_is_reached_by_tls_and_with_a_login(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYZK_SASL_PASSWORD", "secret")
    own = certificates.client("CN=run")
    access = AccessOptions(
        tls=True, ca=own.ca_file, cert=own.cert_file, key=own.key_file, sasl="digest:alice"
    )
    options = {"sessionRequireClientSASLAuth": True}
    with (
        ZooKeeperServer(tls=certificates, sasl=USERS, options=options) as there,
        ConnectedServer(there.connect_string, access=access) as server,
    ):
        server.load({"/a": "1"})
        assert server.tree() == {"/a": b"1"}
        server.wait_for_node("/a", data=b"1")
        taken = server.kazoo_options()
        assert taken["hosts"] == server.connect_string
        assert (taken["certfile"], taken["sasl_options"]["username"]) == (own.cert_file, "alice")
        assert server.client_ssl_context().verify_mode == ssl.CERT_REQUIRED
        with pytest.raises(NotAvailableError, match="kazoo_options of a certificate or a user"):
            server.kazoo_options("CN=other")
        with pytest.raises(NotAvailableError, match="client_ssl_context is not available with an"):
            server.client_ssl_context("CN=other")
        with pytest.raises(NotAvailableError, match="tls is not available with an external server"):
            server.tls  # noqa: B018  it is refused
        with pytest.raises(FixtureError, match=r"no server answers .*certificate is refused"):
            ConnectedServer(there.connect_string, access=AccessOptions(tls=True)).start()


def test_a_wait_sees_events_that_came_with_an_answer(
    server: ZooKeeperServer, certificates: Certificates
) -> None:
    """A record of TLS may have several frames."""
    own = certificates.client()
    access = AccessOptions(tls=True, ca=own.ca_file, cert=own.cert_file, key=own.key_file)
    with ConnectedServer(server.connect_string, access=access) as connected:
        waiting = threading.Thread(target=lambda: connected.wait_for_node("/late", data=b"2"))
        waiting.start()
        for value in ("0", "1", "2"):
            connected.load({"/late": value})
        waiting.join(PATIENCE_S)
        assert not waiting.is_alive()


@pytest.mark.live
def test_a_command_serves_with_certificates_of_the_test(
    certificates: Certificates, tmp_path: Path
) -> None:
    with CommandServer(COMMAND, tmp_path, tls=certificates) as server:
        server.load({"/a": "1"})
        server.restart()
        client = KazooClient(**server.kazoo_options("CN=alice"))
        client.start(PATIENCE_S)
        assert client.get("/a")[0] == b"1"
        server.drop_connection(client)
        client.stop()
        client.close()
        with pytest.raises(OSError, match="closed the connection"):
            PlainClient(server.host, server.port, 1)
        assert server.client_ssl_context("CN=bob").verify_mode == ssl.CERT_REQUIRED
    with pytest.raises(FixtureError, match=r"tls needs \{cfg\} in it"):
        CommandServer("x {port}", tmp_path / "other", tls=certificates).start()
