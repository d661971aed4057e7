"""TLS and SASL of our own tools: their options, what they say when it fails, and real servers."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import threading
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization
from kazoo.exceptions import AuthFailedError
from kazoo.handlers.threading import KazooTimeoutError

from pyzk.auth.sasl.mechanism import Mechanism
from pyzk.cli import main
from pyzk.cli.access import Access, AccessError, Login, log_in
from pyzk.cli.access_kazoo import FailedLogin, kazoo_client
from pyzk.cli.access_options import AccessOptions
from pyzk.cli.client_addresses import ClientAddress
from pyzk.cli.members_places import Places
from pyzk.cli.members_report import Outcome
from pyzk.cli.status import Verdict
from pyzk.cli.survey import SurveyedServer
from pyzk.config.members import parse_membership
from pyzk.errors import SaslError
from pyzk.testing import (
    Certificates,
    ClientCertificate,
    GivenCertificates,
    ZooKeeperEnsemble,
    ZooKeeperServer,
)
from tests.cli.stand_in import StandIn
from tests.conftest import TIMEOUT_FACTOR
from tests.kdc import REALM, Realm, missing, realm

PATIENCE_S = 20.0 * TIMEOUT_FACTOR
USERS = {"alice": "secret"}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def by_tls(certificate: ClientCertificate) -> list[str]:
    """The options of a client."""
    found = ["--tls", "--ca", certificate.ca_file]
    if certificate.cert_file is not None and certificate.key_file is not None:
        found += ["--cert", certificate.cert_file, "--key", certificate.key_file]
    return found


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ZooKeeperServer]:
    with ZooKeeperServer(tls=certificates) as made:
        yield made


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    path = tmp_path / "password"
    path.write_text("secret\n")
    return str(path)


# --- what is given --------------------------------------------------------------------


def test_without_options_nothing_is_special() -> None:
    assert AccessOptions().read() == Access(None, None)
    assert AccessOptions().kazoo_options() == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--ca", "x"], "--ca is for TLS: it needs --tls"),
        (["--no-verify"], "--no-verify is for TLS: it needs --tls"),
        (["--key-password-file", "x"], "--key-password-file is for TLS: it needs --tls"),
        (["--tls", "--ca", "none.pem"], "--ca: none.pem: No such file or directory"),
        (["--tls", "--cert", "none.pem"], "--cert: none.pem: No such file or directory"),
        (["--tls", "--key", "x"], "--key needs --cert, the certificate that belongs to the key"),
    ],
)
def test_options_that_make_no_sense_are_named(given: list[str], said: str) -> None:
    for command in (["status"], ["members", "list"]):
        result = run(*command, *given)
        assert result.exit_code == 2, result.output
        assert said in result.output


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--sasl", "alice"], "--sasl 'alice' is neither digest:USER nor gssapi[:PRINCIPAL]"),
        (["--sasl", "digest:"], "is neither digest:USER"),
        (["--sasl", "digest:alice"], "--sasl-password-file FILE, or the environment variable PYZK"),
        (["--sasl", "digest:alice", "--sasl-password-file", "none"], "file none: No such file"),
        (["--sasl-password-file", "none"], "--sasl-password-file needs --sasl digest:USER"),
        (["--sasl", "gssapi", "--sasl-password-file", "none"], "takes the ticket of Kerberos"),
    ],
)
def test_logins_that_make_no_sense_are_named(
    given: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYZK_SASL_PASSWORD", raising=False)
    result = run("members", "list", *given)
    assert result.exit_code == 2, result.output
    assert said in result.output


def test_a_password_comes_from_a_file_or_the_environment(
    password_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYZK_SASL_PASSWORD", "other")
    from_file = AccessOptions(sasl="digest:alice", sasl_password_file=password_file).read()
    assert from_file.login == Login("digest", "alice", "secret")
    assert AccessOptions(sasl="digest:alice").read().login == Login("digest", "alice", "other")
    assert "secret" not in repr(from_file)


def test_the_same_options_as_kazoo_takes_them(password_file: str) -> None:
    options = AccessOptions(
        tls=True, ca="ca", cert="both", no_check_hostname=True,
        sasl="digest:alice", sasl_password_file=password_file,
    )  # fmt: skip
    assert options.kazoo_options() == {
        "use_ssl": True,
        "ca": "ca",
        "certfile": "both",
        "keyfile": "both",
        "keyfile_password": None,
        "verify_certs": True,
        "check_hostname": False,
        "sasl_options": {"mechanism": "DIGEST-MD5", "username": "alice", "password": "secret"},
    }


# --- files ----------------------------------------------------------------------------


def encrypted(certificate: ClientCertificate, directory: Path) -> str:
    """The key of a certificate, encrypted with `secret`."""
    assert certificate.key_file is not None
    key = serialization.load_pem_private_key(Path(certificate.key_file).read_bytes(), None)
    path = directory / "encrypted.key"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    return str(path)


def test_a_key_may_be_encrypted(
    server: ZooKeeperServer, tmp_path: Path, password_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = server.tls.client()
    assert certificate.cert_file is not None
    ways = ["--tls", "--ca", certificate.ca_file, "--cert", certificate.cert_file]
    ways += ["--key", encrypted(certificate, tmp_path)]
    asked = run("status", server.connect_string, *ways)
    assert asked.exit_code == 2, "nobody is asked for a password at a terminal"
    assert "encrypted.key is encrypted: --key-password-file FILE" in asked.output
    assert run("status", server.connect_string, *ways, "--key-password-file", password_file
               ).exit_code == Verdict.HEALTHY  # fmt: skip
    monkeypatch.setenv("PYZK_KEY_PASSWORD", "secret")
    assert run("status", server.connect_string, *ways).exit_code == Verdict.HEALTHY
    monkeypatch.setenv("PYZK_KEY_PASSWORD", "wrong")
    asked = run("status", server.connect_string, *ways)
    assert "encrypted.key cannot be read: is the password wrong?" in asked.output


def test_files_that_are_no_use_are_named(certificates: Certificates, tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    one, two = certificates.client("CN=one"), certificates.client("CN=two")
    with pytest.raises(AccessError, match=r"--ca: .*junk.pem holds no certificate"):
        AccessOptions(tls=True, ca=str(junk)).read()
    with pytest.raises(AccessError, match=r"junk.pem and its key .* are no certificate and key"):
        AccessOptions(tls=True, cert=str(junk)).read()
    with pytest.raises(AccessError, match=r"is not that of the certificate .*pem"):
        AccessOptions(tls=True, cert=one.cert_file, key=two.key_file).read()


# --- what goes wrong with servers -----------------------------------------------------


def told(server: str, *arguments: str) -> str:
    result = run("status", server, *arguments)
    assert result.exit_code == Verdict.UNAVAILABLE, result.output
    return result.output


def test_status_by_tls(server: ZooKeeperServer) -> None:
    result = run("status", server.connect_string, *by_tls(server.tls.client()))
    assert result.exit_code == Verdict.HEALTHY, result.output
    assert "healthy: one server, which stands alone" in result.output


def test_a_server_that_is_not_trusted_is_not_asked(server: ZooKeeperServer) -> None:
    stranger = Certificates().client()
    said = told(server.connect_string, *by_tls(stranger))
    assert "its certificate is refused" in said
    assert "(--ca FILE has who is trusted)" in said


def test_the_host_of_a_certificate_counts(tmp_path: Path) -> None:
    elsewhere = Certificates()
    given = GivenCertificates(elsewhere.ca_file, other_host(elsewhere, tmp_path))
    with ZooKeeperServer(tls=given) as server:
        ways = by_tls(elsewhere.client())
        said = told(server.connect_string, *ways)
        assert "IP address mismatch" in said
        assert "(--no-check-hostname takes it all the same)" in said
        for way in ("--no-check-hostname", "--no-verify"):
            result = run("status", server.connect_string, *ways, way)
            assert result.exit_code == Verdict.HEALTHY, result.output


def other_host(certificates: Certificates, directory: Path) -> str:
    path = directory / "elsewhere.pem"
    issued = certificates._authority.issue_cert("elsewhere.example")
    path.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
    return str(path)


def test_a_server_that_asks_for_a_certificate_is_understood(server: ZooKeeperServer) -> None:
    said = told(server.connect_string, *by_tls(server.tls.anonymous))
    assert "it asks for a certificate: --cert FILE, and --key FILE" in said
    stranger = Certificates().client()
    assert stranger.cert_file is not None
    assert stranger.key_file is not None
    ways = ["--tls", "--ca", server.tls.ca_file]
    said = told(server.connect_string, *ways, "--cert", stranger.cert_file, "--key",
                stranger.key_file)  # fmt: skip
    assert "it does not trust who has signed the certificate of --cert" in said


def test_the_wrong_kind_of_port_is_understood(server: ZooKeeperServer) -> None:
    assert "or it takes TLS only (--tls)" in told(server.connect_string)
    with ZooKeeperServer() as plain:
        said = told(plain.connect_string, *by_tls(server.tls.client()))
        assert "it ends the handshake: perhaps it takes no TLS at this port" in said


# --- sessions -------------------------------------------------------------------------


def test_the_members_are_listed_and_changed_by_tls(
    certificates: Certificates, password_file: str
) -> None:
    """Where they take TLS at the client port, the configuration says where."""
    options = {"reconfigEnabled": True, "superUser": "alice"}
    with ZooKeeperEnsemble(3, tls=certificates, sasl=USERS, options=options) as ensemble:
        ways = ["-s", ensemble[1].connect_string, *by_tls(certificates.client())]
        result = run("members", "list", *ways)
        assert result.exit_code == Outcome.DONE, result.output
        assert [line.split()[4] for line in result.output.splitlines()[1:4]].count("follower") == 2
        result = run("members", "demote", "3", *ways)
        assert result.exit_code == Outcome.REFUSED, result.output
        assert "does not take who comes by --sasl or --cert for a superuser" in result.output
        ways += ["--sasl", "digest:alice", "--sasl-password-file", password_file]
        result = run("members", "demote", "3", *ways)
        assert result.exit_code == Outcome.DONE, result.output
        assert ensemble[3].is_observer


def test_a_login_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYZK_SASL_PASSWORD", "wrong")
    options = {"4lw.commands.whitelist": "srvr"}
    with ZooKeeperServer(sasl=USERS, options=options) as server:
        result = run("members", "list", server.connect_string, "--sasl", "digest:alice")
        assert result.exit_code != Outcome.DONE
    with ZooKeeperEnsemble(2, sasl=USERS, options=options) as ensemble:
        result = run("members", "list", ensemble.connect_string, "--sasl", "digest:alice")
        assert result.exit_code == Outcome.UNAVAILABLE, result.output
        assert "the login by SASL has failed: the server refuses it: is the" in result.output
        assert "wrong" not in result.output
    with ZooKeeperEnsemble(2, options=options) as ensemble:
        result = run("members", "list", ensemble.connect_string, "--sasl", "digest:alice")
        assert result.exit_code == Outcome.UNAVAILABLE, result.output
        assert "the login by SASL has failed: the server" in result.output


def test_a_client_logs_in_again_when_it_comes_back(certificates: Certificates) -> None:
    options = {"sessionRequireClientSASLAuth": True}
    with ZooKeeperServer(tls=certificates, sasl=USERS, options=options) as server:
        access = Access(server.client_ssl_context(), Login("digest", "alice", "secret"))
        quick = {"max_tries": -1, "delay": 0.01, "max_delay": 0.1}
        client = kazoo_client(
            access, FailedLogin(), hosts=server.connect_string, connection_retry=quick
        )
        is_back = threading.Event()
        client.start(PATIENCE_S)
        try:
            client.create("/a", b"1")
            client.add_listener(lambda state: is_back.set() if state == "CONNECTED" else None)
            server.drop_connection(client)
            assert is_back.wait(PATIENCE_S)
            assert client.retry(client.get, "/a")[0] == b"1"
        finally:
            client.stop()
            client.close()


def test_a_wrong_password_ends_a_client() -> None:
    failed = FailedLogin()
    with ZooKeeperServer(sasl=USERS) as server:
        access = Access(None, Login("digest", "alice", "wrong"))
        client = kazoo_client(access, failed, hosts=server.connect_string)
        try:
            with pytest.raises((AuthFailedError, KazooTimeoutError)):
                client.start(PATIENCE_S)
                client.exists("/")
        finally:
            client.stop()
            client.close()
    assert failed.reason is not None


class Answers:
    """The client's side of a login that only counts."""

    is_blocking = False
    is_complete = False
    authorization_id = ""

    def step(self, token: bytes) -> bytes | None:
        return token


def test_a_server_that_takes_no_login_does_not_hang_it() -> None:
    mechanism: Mechanism = Answers()
    with pytest.raises(SaslError, match="the server takes no login by SASL"):
        log_in(mechanism, lambda token: b"")
    with pytest.raises(SaslError, match="the server does not end the login"):
        log_in(mechanism, lambda token: b"more")


@pytest.mark.live
@pytest.mark.slow
def test_kerberos_logs_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gssapi", reason="the library gssapi (the extra kerberos) is missing")
    if missing():
        pytest.skip(f"no realm can be made here: {missing()} (Debian's krb5-kdc) is missing")
    with realm(tmp_path) as kdc:
        for name, value in kdc.environment.items():
            if name.startswith("KRB5"):
                monkeypatch.setenv(name, value)
        with ZooKeeperServer(options=kerberos_options(kdc, tmp_path)) as server:
            for user in ("gssapi", f"gssapi:alice@{REALM}"):
                access = AccessOptions(sasl=user).read()
                client = kazoo_client(access, FailedLogin(), hosts=f"localhost:{server.port}")
                client.start(PATIENCE_S)
                client.create("/own", b"", acl=[own()])
                (acl,) = client.get_acls("/own")[0]
                assert acl.id.id == f"alice@{REALM}"
                client.delete("/own")
                client.stop()
                client.close()


def own() -> object:
    from kazoo.security import make_acl

    return make_acl("auth", "", all=True)


def kerberos_options(kdc: Realm, directory: Path) -> dict[str, object]:
    """A server that takes tickets; alice has one."""
    keytab = kdc.keytab(f"zookeeper/localhost@{REALM}")
    kdc.log_in(f"alice@{REALM}", kdc.keytab(f"alice@{REALM}"))
    jaas = directory / "jaas.conf"
    jaas.write_text(
        "Server { com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true"
        f' keyTab="{keytab}" principal="zookeeper/localhost@{REALM}"; }};'
    )
    provider = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"
    return {
        "java.security.auth.login.config": str(jaas),
        "java.security.krb5.conf": os.environ["KRB5_CONFIG"],
        "authProvider.sasl": provider,
    }


# --- docs/security.md ------------------------------------------------------------------

SECTION = (
    (Path(__file__).parents[2] / "docs" / "security.md")
    .read_text()
    .partition("\n## Our own tools\n")[2]
    .partition("\n## ")[0]
)


def test_the_commands_of_the_documentation_work(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line for line in SECTION.splitlines() if line.startswith("pyzk ")]
    assert len(lines) == 3
    bob = certificates.client("CN=bob")
    assert bob.cert_file is not None
    assert bob.key_file is not None
    cert, key = Path(bob.cert_file).read_bytes(), Path(bob.key_file).read_bytes()
    (tmp_path / "ca.pem").write_bytes(Path(bob.ca_file).read_bytes())
    (tmp_path / "bob.crt").write_bytes(cert)
    (tmp_path / "bob.key").write_bytes(key)
    (tmp_path / "bob.pem").write_bytes(key + cert)
    (tmp_path / "alice.password").write_text("secret\n")
    monkeypatch.chdir(tmp_path)
    options = {"reconfigEnabled": True, "superUser": "alice"}
    with ZooKeeperEnsemble(3, tls=certificates, sasl=USERS, options=options) as ensemble:
        for line in lines:
            command = line.replace("zk1:2281,zk2:2281", ensemble.connect_string)
            command = command.replace("zk1:2281", ensemble[1].connect_string)
            result = run(*shlex.split(command)[1:])
            assert result.exit_code == 0, result.output


@pytest.mark.parametrize("command", [["status"], ["members", "list"], ["members", "replace"]])
def test_every_option_is_documented(command: list[str]) -> None:
    shown = run(*command, "--help").output
    named = set(re.findall(r"`(--[a-z-]+)", SECTION))
    options = {f"--{each.replace('_', '-')}" for each in attrs.fields_dict(AccessOptions)}
    assert options <= named
    missing = {option for option in options if option not in shown}
    sasl = {"--sasl", "--sasl-password-file", "--sasl-service"}
    assert missing == (sasl if command == ["status"] else set())


# --- where members are, by TLS --------------------------------------------------------

MEMBERS = parse_membership(
    b"server.1=zk1:2888:3888;2181\nserver.2=zk2:2888:3888;2181\nserver.3=zk3:2888:3888\n"
).members


def places(*given: str, has_tls: bool = True) -> Places:
    return Places([ClientAddress(*_pair(each)) for each in given], has_tls=has_tls)


def _pair(text: str) -> tuple[str, int]:
    host, _, port = text.partition(":")
    return host, int(port)


def found(where: Places) -> list[str]:
    return [str(where.of(member)) for member in MEMBERS]


def test_without_tls_the_configuration_says_where() -> None:
    where = places("zk1:2281", has_tls=False)
    assert found(where) == ["zk1:2181", "zk2:2181", "None"]
    assert list(map(str, where.all_of(MEMBERS))) == ["zk1:2181", "zk2:2181", "zk1:2281"]


def test_by_tls_members_are_at_the_same_port_as_the_one_that_was_named() -> None:
    assert found(places("zk1:2281")) == ["zk1:2281", "zk2:2281", "zk3:2281"]
    assert found(places("zk1:2281", "zk2:2381")) == ["zk1:2281", "zk2:2381", "zk3:2281"]
    assert found(places("zk1:2181")) == ["zk1:2181", "zk2:2181", "zk3:2181"]


def test_where_the_client_ports_take_tls_the_configuration_says_where() -> None:
    where = places("zk2:2181")
    assert list(map(str, where.all_of(MEMBERS))) == ["zk1:2181", "zk2:2181"]
    assert found(where) == ["zk1:2181", "zk2:2181", "None"]


def test_who_says_its_id_is_where_it_was_asked() -> None:
    where = places("10.0.0.1:2281", "10.0.0.1:2282")
    one = SurveyedServer(ClientAddress("10.0.0.1", 2282), server_id=1)
    other = SurveyedServer(ClientAddress("zk2", 2281), server_id=2)
    where.learn([one, other])
    assert found(where) == ["10.0.0.1:2282", "zk2:2281", "zk3:2281"]


class Lost:
    """Three members of one host by TLS, of which only server 1 was named, and has answered."""

    NAMED = ClientAddress("127.0.0.1", 2281)

    def __init__(self, ensemble: StandIn) -> None:
        self.members = ensemble.form(3).membership.members
        self.where = places("127.0.0.1:2281")
        self.answers = [SurveyedServer(self.NAMED, server_id=1)]
        self.where.learn(self.answers)

    def ask(self) -> list[int]:
        """Ask for the secure ports; return where members are looked for then."""
        asyncio.run(self.where.ask_the_lost(self.members, self.answers, 5.0))
        found = [self.where.of(member) for member in self.members]
        return [0 if each is None else each.port for each in found]


def test_by_tls_who_is_not_where_it_was_looked_for_says_where_it_is() -> None:
    with StandIn() as ensemble:
        lost = Lost(ensemble)
        ensemble.servers[2].secure_port = 2282
        assert lost.ask() == [2281, 2282, 2281]
        ensemble.servers[3].secure_port = 2283
        assert lost.ask() == [2281, 2282, 2281], "each is asked once"


def test_who_does_not_answer_where_it_was_looked_for_says_where_it_is() -> None:
    with StandIn() as ensemble:
        lost = Lost(ensemble)
        ensemble.servers[2].secure_port = 2282
        lost.answers = [SurveyedServer(Lost.NAMED, "connection refused")]
        assert lost.ask() == [2281, 2282, 2281]


def test_who_cannot_be_asked_for_its_secure_port_is_looked_for_as_before() -> None:
    with StandIn() as ensemble:
        lost = Lost(ensemble)
        ensemble.servers[2].claimed_id = None  # conf is not in its whitelist
        ensemble.servers[2].secure_port = 2282
        ensemble.stop(3)
        assert lost.ask() == [2281, 2281, 2281]


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_secure_port_that_cannot_be_one_is_none(port: int) -> None:
    with StandIn() as ensemble:
        lost = Lost(ensemble)
        ensemble.servers[2].secure_port = port
        assert lost.ask() == [2281, 2281, 2281]


def test_another_server_s_secure_port_is_not_a_member_s() -> None:
    with StandIn() as ensemble:
        lost = Lost(ensemble)
        ensemble.servers[2].claimed_id = 7
        ensemble.servers[2].secure_port = 2282
        assert lost.ask() == [2281, 2281, 2281]


def test_nobody_is_asked_without_tls_who_was_found_or_was_not_looked_for() -> None:
    with StandIn() as ensemble:
        lost = Lost(ensemble)
        ensemble.servers[2].secure_port = 2282
        lost.answers = []
        assert lost.ask() == [2281, 2281, 2281], "nobody was asked yet"
        lost.answers = [SurveyedServer(Lost.NAMED, server_id=2)]
        assert lost.ask() == [2281, 2281, 2281], "that was server 2"
        lost.where = places("127.0.0.1:2281", has_tls=False)
        lost.answers = [SurveyedServer(Lost.NAMED, server_id=1)]
        plain = [ensemble.servers[sid].client.number for sid in (1, 2, 3)]
        assert lost.ask() == plain
