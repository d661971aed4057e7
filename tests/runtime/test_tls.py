"""Contexts: which certificates they take, and which files."""

from __future__ import annotations

import importlib.util
import logging
import os
import ssl
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest

from pyzk.config.tls import TlsConfig
from pyzk.errors import ConfigError
from pyzk.runtime import tls
from pyzk.runtime.tls import TlsContexts, TlsPeerError, peer_chain
from tests.certificates import Authority, Issued, write

CA = Authority()
SERVER = CA.issue("server", names=["localhost", "127.0.0.1"])
CLIENT = CA.issue("client", names=["client.example"])
SECRET = "geheim"
UNKNOWN_ROOT = "self-signed certificate in certificate chain"


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


class Maker:
    """Makes contexts of files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys = path / "keys.pem"
        self.trust = path / "trust.pem"

    def config(self, own: Issued = SERVER, trusted: Issued = CA, **fields: object) -> TlsConfig:
        values: dict[str, object] = {
            "key_store": write(self.keys, own.pem()),
            "trust_store": write(self.trust, trusted.certificate_pem),
            **fields,
        }
        return TlsConfig(**values)  # type: ignore[arg-type]

    def contexts(self, own: Issued = SERVER, trusted: Issued = CA, **fields: object) -> TlsContexts:
        return TlsContexts(self.config(own, trusted, **fields))


class Handshake:
    """One handshake in memory, and how it has ended."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(back, there)
        self.server = server.wrap_bio(there, back, server_side=True)
        self.errors: list[ssl.SSLError] = []
        for _ in range(4):
            self._step(self.client)
            self._step(self.server)

    def _step(self, side: ssl.SSLObject) -> None:
        try:
            side.do_handshake()
            if side is self.client:
                side.read(1)  # takes what a server of TLS 1.3 says of the certificate
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.errors.append(error)

    @property
    def reason(self) -> str:
        """What went wrong first; "" if nothing did."""
        if not self.errors:
            return ""
        first = self.errors[0]
        return getattr(first, "verify_message", "") or str(first.reason)


def plain_client(own: Issued | None = CLIENT, trusted: Issued = CA) -> ssl.SSLContext:
    """A client that is not ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=trusted.der)
    if own is not None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(own.pem())
            file.flush()
            context.load_cert_chain(file.name)
    return context


# ---- certificates


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        (CLIENT, ""),
        (CA.issue("old", days=(-9, -1)), "certificate has expired"),
        (CA.issue("new", days=(1, 9)), "certificate is not yet valid"),
        (Authority("Other").issue("client"), "unable to get local issuer certificate"),
        (Authority().issue("client"), "certificate signature failure"),
        (None, "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
    ],
    ids=["right", "expired", "not yet", "unknown", "same name", "none"],
)
def test_whom_a_server_takes(make: Maker, own: Issued | None, reason: str) -> None:
    found = Handshake(make.contexts().server(), plain_client(own))
    assert found.reason == reason


@pytest.mark.parametrize(
    ("auth", "own", "reason"),
    [
        ("want", None, ""),
        ("want", CLIENT, ""),
        ("want", Authority("Other").issue("x"), "unable to get local issuer certificate"),
        ("none", None, ""),
        ("none", Authority("Other").issue("x"), ""),
    ],
)
def test_certificates_that_need_not_be(
    make: Maker, auth: str, own: Issued | None, reason: str
) -> None:
    found = Handshake(make.contexts(client_auth=auth).server(), plain_client(own))
    assert found.reason == reason
    if not reason:
        shown = own is not None and auth == "want"
        assert peer_chain(found.server) == ((CLIENT.der, CA.der) if shown else ())


def test_who_trusts_nobody_takes_no_certificate(make: Maker) -> None:
    contexts = make.contexts(client_auth="want", trust_store=None)
    assert Handshake(contexts.server(), plain_client(None)).reason == ""
    assert Handshake(contexts.server(), plain_client(CLIENT)).reason == UNKNOWN_ROOT


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        (SERVER, ""),
        (CA.issue("elsewhere", names=["elsewhere.example"]), ""),
        (CA.issue("old", days=(-9, -1)), "certificate has expired"),
        (Authority("Other").issue("server"), "unable to get local issuer certificate"),
    ],
)
def test_which_server_a_member_takes(make: Maker, tmp_path: Path, own: Issued, reason: str) -> None:
    (tmp_path / "other").mkdir()
    server = Maker(tmp_path / "other").contexts(own)
    found = Handshake(server.server(), make.contexts(CLIENT).client())
    assert found.reason == reason


def test_a_chain_is_sent_and_returned(make: Maker) -> None:
    middle = Authority("Middle", CA)
    mine = middle.issue("me")
    found = Handshake(make.contexts().server(), plain_client(mine))
    assert found.reason == ""
    assert peer_chain(found.server) == (mine.der, middle.der, CA.der)
    assert found.server.cipher() is not None


def test_what_a_store_trusts_need_not_sign_itself(make: Maker) -> None:
    middle = Authority("Middle", CA)
    mine = middle.issue("me")
    contexts = make.contexts(trusted=middle)
    assert Handshake(contexts.server(), plain_client(mine)).reason == ""
    assert Handshake(contexts.server(), plain_client(CLIENT)).reason == UNKNOWN_ROOT
    # ... not even a certificate of nobody but its owner.
    contexts = make.contexts(trusted=CLIENT)
    assert Handshake(contexts.server(), plain_client(CLIENT)).reason == ""
    assert Handshake(contexts.server(), plain_client(mine)).reason != ""


@pytest.mark.parametrize("protocol", ["TLSv1.2", "TLSv1.3"])
def test_no_tickets_are_handed_out(make: Maker, protocol: str) -> None:
    found = Handshake(make.contexts(protocols=(protocol,)).server(), plain_client())
    assert found.client.version() == protocol
    assert found.client.session is not None
    assert not found.client.session.has_ticket


def test_sessions_that_openssl_keeps_are_forgotten(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "MOST_SESSIONS", 2)
    contexts, client = make.contexts(protocols=("TLSv1.2",)), plain_client()
    first = contexts.server()
    under_way = []
    for _ in range(2):
        assert contexts.server() is first
        under_way.append(Handshake(first, client))
    assert [each.reason for each in under_way] == ["", ""]
    second = contexts.server()
    assert second is not first
    assert second.session_stats()["number"] == 0
    assert Handshake(second, client).reason == ""
    assert Handshake(second, plain_client(None)).reason != ""


# ---- protocols and suites


@pytest.mark.parametrize(
    ("protocols", "theirs", "reason"),
    [
        (("TLSv1.2", "TLSv1.3"), ssl.TLSVersion.TLSv1_2, ""),
        (("TLSv1.2", "TLSv1.3"), ssl.TLSVersion.TLSv1_3, ""),
        (("TLSv1.2",), ssl.TLSVersion.TLSv1_3, "UNSUPPORTED_PROTOCOL"),
        (("TLSv1.3",), ssl.TLSVersion.TLSv1_2, "UNSUPPORTED_PROTOCOL"),
    ],
)
def test_protocols(
    make: Maker, protocols: tuple[str, ...], theirs: ssl.TLSVersion, reason: str
) -> None:
    client = plain_client()
    client.minimum_version = client.maximum_version = theirs
    found = Handshake(make.contexts(protocols=protocols).server(), client)
    assert found.reason == reason


def test_suites(make: Maker) -> None:
    one = "ECDHE-ECDSA-AES256-GCM-SHA384"
    server = make.contexts(protocols=("TLSv1.2",), ciphers=(one,)).server()
    found = Handshake(server, plain_client())
    assert found.client.cipher() == (one, "TLSv1.2", 256)
    other = plain_client()
    other.maximum_version = ssl.TLSVersion.TLSv1_2
    other.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    assert Handshake(server, other).reason == "NO_SHARED_CIPHER"
    with pytest.raises(ConfigError, match=r"^ssl\.ciphersuites: OpenSSL has none of NO-SUITE"):
        make.contexts(ciphers=("NO-SUITE",))


# ---- hosts


def names(name: str | None) -> tls.ReverseLookup:
    return lambda address: name


WRONG = CA.issue("cn.example", names=["a.example", "10.0.0.1"])


@pytest.mark.parametrize(
    ("host", "address", "lookup", "is_right"),
    [
        ("a.example", "10.0.0.9", None, True),
        ("x.example", "10.0.0.1", None, True),
        ("x.example", "10.0.0.9", None, False),
        ("x.example", "10.0.0.9", "a.example", False),
        ("", "10.0.0.1", None, True),
        ("", "10.0.0.9", "a.example", True),
        ("10.0.0.9", "10.0.0.9", "a.example", True),
        ("", "10.0.0.9", "b.example", False),
        ("", "10.0.0.9", None, False),
        ("cn.example", "10.0.0.9", None, False),
    ],
)
@pytest.mark.parametrize("is_server", [True, False])
def test_hosts(
    make: Maker, host: str, address: str, lookup: str | None, is_right: bool, is_server: bool
) -> None:
    config = make.config(
        prefix="ssl.quorum.",
        fips_mode=False,
        client_hostname_verification=True,
        allow_reverse_dns_lookup=True,
    )
    contexts = TlsContexts(config, names(lookup))
    assert contexts.may_wait
    if is_right:
        contexts.check_peer(WRONG.chain_der, host, address, is_server)
        return
    with pytest.raises(TlsPeerError) as caught:
        contexts.check_peer(WRONG.chain_der, host, address, is_server)
    assert str(caught.value).startswith(
        "the certificate is for a.example, 10.0.0.1, not for 10.0.0.9"
    )


def test_without_lookups_no_name_is_asked_for(make: Maker) -> None:
    several: list[dict[str, Any]] = [{"fips_mode": False}, {"allow_reverse_dns_lookup": True}]
    for fields in several:
        contexts = TlsContexts(
            make.config(client_hostname_verification=True, **fields), names("a.example")
        )
        assert not contexts.may_wait
        with pytest.raises(TlsPeerError, match=r"not for 10\.0\.0\.9$"):
            contexts.check_peer(WRONG.chain_der, "", "10.0.0.9", is_server=False)


def test_who_is_not_verified_may_be_anybody(make: Maker) -> None:
    make.contexts().check_peer(WRONG.chain_der, "", "10.0.0.9", is_server=False)
    members = make.contexts(prefix="ssl.quorum.", client_hostname_verification=True)
    members.check_peer(WRONG.chain_der, "x", "10.0.0.9", is_server=True)
    members.check_peer(WRONG.chain_der, "", "10.0.0.9", is_server=False)
    make.contexts(client_hostname_verification=True).check_peer((), "", "10.0.0.9", False)


def test_who_was_verified_elsewhere_must_be_trusted_here(make: Maker) -> None:
    """A chain ends where the other port has found what it trusts."""
    middle, old = Authority("Middle", CA), Authority("Old", days=(-20, -1))
    lasting = middle.issue("client")
    here = make.contexts()
    for chain in (CLIENT.chain_der, (CLIENT.der, CA.der), lasting.chain_der, (CA.der,)):
        here.check_visitor(chain, "10.0.0.9")
    for stranger in (Authority().issue("client"), Authority("Other").issue("client"), lasting):
        with pytest.raises(TlsPeerError, match=r"of 10\.0\.0\.9 is trusted elsewhere only"):
            here.check_visitor((stranger.der,), "10.0.0.9")
    with pytest.raises(TlsPeerError):
        here.check_visitor((b"unreadable",), "10.0.0.9")
    with pytest.raises(TlsPeerError):
        make.contexts(trusted=old).check_visitor((old.issue("client").der,), "10.0.0.9")
    with pytest.raises(TlsPeerError, match=r"not for 10\.0\.0\.9"):
        make.contexts(client_hostname_verification=True).check_visitor(CLIENT.chain_der, "10.0.0.9")


def test_a_server_is_verified_by_those_who_dial(make: Maker) -> None:
    with pytest.raises(TlsPeerError, match=r"not for 10\.0\.0\.9 or x$"):
        make.contexts().check_peer(WRONG.chain_der, "x", "10.0.0.9", is_server=True)


def test_a_name_counts_if_it_stands_for_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def known(address: str) -> tuple[str, list[str], list[str]]:
        if address == "192.0.2.1":
            raise OSError("unknown")
        return "a.example", [], []

    found = [(0, 0, 0, "", ("10.0.0.1", 0))]
    monkeypatch.setattr(socket, "gethostbyaddr", known)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert tls.name_of_address("10.0.0.1") == "a.example"
    assert tls.name_of_address("10.0.0.2") is None
    assert tls.name_of_address("192.0.2.1") is None


# ---- files


def test_files_that_are_no_use(make: Maker) -> None:
    config = make.config()
    missing = str(make.path / "missing.pem")
    with pytest.raises(ConfigError, match=r"^ssl\.keyStore\.location: .*missing.pem cannot be"):
        make.contexts(key_store=missing)
    with pytest.raises(ConfigError, match=r"^ssl\.trustStore\.location: .*missing.pem cannot be"):
        make.contexts(trust_store=missing)
    with pytest.raises(ConfigError, match=r"^ssl\.keyStore\.passwordPath: .*missing.pem cannot be"):
        make.contexts(key_store_password_path=missing)
    make.keys.write_bytes(SERVER.pem()[:240] + CLIENT.pem()[240:])
    with pytest.raises(ConfigError, match=r"^ssl\.keyStore\.location: .*keys.pem: the private key"):
        TlsContexts(config)
    odd = str(make.path / "keys")
    write(Path(odd), SERVER.pem())
    with pytest.raises(ConfigError, match=r"^ssl\.quorum\.keyStore\.location: .* does not tell"):
        make.contexts(key_store=odd, prefix="ssl.quorum.")


def test_the_key_of_somebody_else(make: Maker) -> None:
    mixed = Issued(CLIENT.certificate, SERVER.key)
    with pytest.raises(ConfigError, match=r"key is not that of the first certificate$"):
        make.contexts(mixed)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_password_in_a_file_wins(make: Maker, end: str) -> None:
    path = write(make.path / "password", f"{SECRET}{end}".encode())
    config = make.config(key_store_password="wrong", key_store_password_path=path)
    make.keys.write_bytes(SERVER.pem(SECRET))
    assert TlsContexts(config).config is config


def test_a_password_is_shown_to_nobody(
    make: Maker, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    config = make.config(key_store_password=SECRET, trust_store_password=SECRET)
    make.keys.write_bytes(SERVER.pem(SECRET))
    contexts = TlsContexts(config)
    make.keys.write_bytes(SERVER.pem("another"))
    assert not contexts.reload_if_changed()
    said = [repr(config), repr(contexts), caplog.text, *capfd.readouterr()]
    with pytest.raises(ConfigError) as caught:
        TlsContexts(config)
    assert "the password is wrong" in str(caught.value)
    assert SECRET not in "".join([*said, str(caught.value), repr(caught.value)])


@pytest.mark.parametrize("is_linux", [True, False])
def test_no_key_is_left_anywhere(
    make: Maker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_linux: bool
) -> None:
    seen: list[tuple[bytes, int]] = []
    load = ssl.SSLContext.load_cert_chain

    def look(self: ssl.SSLContext, path: str, password: bytes) -> None:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            seen.append((file.read(), 0 if path.startswith("/proc/") else mode))
        load(self, path, password=password)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", look)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    if not is_linux:
        monkeypatch.delattr(os, "memfd_create")
    before = len(os.listdir("/proc/self/fd"))
    make.contexts()
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(seen) == 2
    for content, mode in seen:
        assert content.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
        assert mode == (0 if is_linux else 0o600)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_without_the_library_one_line_names_the_extra(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        make.contexts()
    assert str(caught.value) == (
        "ssl.keyStore.location: needs the extra tls (in a clone of pyzk: pip install '.[tls]')"
    )


def test_certificates_of_another_time_are_told(
    make: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    make.contexts(CA.issue("old", days=(-9, -1)), Authority("Old CA", days=(-9, -1)))
    assert [message.partition(" is valid")[0] for message in caplog.messages] == [
        f"ssl.keyStore.location: {make.keys}: the certificate of CN=old",
        f"ssl.trustStore.location: {make.trust}: the certificate of CN=Old CA",
    ]


# ---- new files


def test_new_files_are_taken(make: Maker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    contexts = make.contexts()
    before = contexts.server()
    assert not contexts.reload_if_changed()
    assert contexts.server() is before
    other = Authority("Other")
    make.trust.write_bytes(other.certificate_pem)
    make.keys.write_bytes(other.issue("server two").pem())
    assert contexts.reload_if_changed()
    assert not contexts.reload_if_changed()
    assert Handshake(contexts.server(), plain_client(other.issue("x"), other)).reason == ""
    assert "issuer certificate" in Handshake(contexts.server(), plain_client(CLIENT, other)).reason
    assert Handshake(before, plain_client(CLIENT)).reason == ""
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(
        "ssl.keyStore.location: the certificate of CN=server two, valid until "
    )


def test_broken_files_are_not_taken_and_told_once(
    make: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    contexts = make.contexts()
    before = contexts.server()
    make.keys.write_bytes(b"half of it")
    for _ in range(3):
        assert not contexts.reload_if_changed()
    make.keys.unlink()
    assert not contexts.reload_if_changed()
    assert contexts.server() is before
    assert [message.partition("; the new ones: ")[2] for message in caplog.messages] == [
        f"ssl.keyStore.location: {make.keys}: it has no private key; key and certificates must be"
        " in one file",
        f"ssl.keyStore.location: {make.keys} cannot be read: No such file or directory",
    ]
    make.keys.write_bytes(SERVER.pem())
    assert contexts.reload_if_changed()
    assert contexts.server() is not before


def test_a_new_password_file_is_a_change(make: Maker) -> None:
    path = make.path / "password"
    config = make.config(key_store_password_path=write(path, SECRET.encode()))
    make.keys.write_bytes(SERVER.pem(SECRET))
    contexts = TlsContexts(config)
    assert not contexts.reload_if_changed()
    path.write_bytes(b"wrong")
    assert not contexts.reload_if_changed()
    path.write_bytes(SECRET.encode() + b"\n")
    assert contexts.reload_if_changed()
