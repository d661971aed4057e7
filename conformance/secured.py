"""Servers behind TLS or with logins, for the comparisons: stores, login files, keys of zoo.cfg.

Shell.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from conformance.frames import Address
from conformance.servers import Launcher, NotStartedError, Server
from pyzk.runtime.free_ports import free_port
from tests.certificates import Issued

NETTY: Final = "org.apache.zookeeper.server.NettyServerCnxnFactory"
SASL_PROVIDER: Final = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"
LOGIN_FILE: Final = "java.security.auth.login.config"
PASSWORD: Final = "apassword"
"""The password of the key and trust stores; Java knows no PKCS12 or JKS without one."""
USERS: Final[Mapping[str, str]] = {"alice": "a-secret", "bob": "b-secret"}
MEMBER_PASSWORD: Final = "m-secret"
PEM, JKS = "pem", "jks"


@attrs.frozen
class Stores:
    """The files of one side: its key with the chain, and what it trusts."""

    kind: str
    trust: Path
    keys: Path | None = None

    def settings(self, prefix: str = "ssl.") -> dict[str, str]:
        """Returns the keys that name them, for a server or for a Java client."""
        found = {f"{prefix}trustStore.location": str(self.trust)}
        if self.keys is not None:
            found[f"{prefix}keyStore.location"] = str(self.keys)
        if self.kind == JKS:
            found |= {f"{name.removesuffix('location')}password": PASSWORD for name in list(found)}
        return found


def stores(folder: Path, name: str, own: Issued | None, trusted: bytes, kind: str = PEM) -> Stores:
    """Writes the stores of one side; ``own`` is None for a client without a certificate."""
    if kind == PEM:
        trust, keys = folder / f"{name}-trust.pem", folder / f"{name}.pem"
        trust.write_bytes(trusted)
        if own is None:
            return Stores(kind, trust)
        keys.write_bytes(own.pem())
        return Stores(kind, trust, keys)
    trust, keys = folder / f"{name}-trust.jks", folder / f"{name}.jks"
    _trust_in_java(folder / f"{name}-trust", trusted, trust)
    if own is None:
        return Stores(kind, trust)
    package = folder / f"{name}.p12"
    package.write_bytes(own.pkcs12(PASSWORD))
    source = ("-srckeystore", str(package), "-srcstorepass", PASSWORD)
    _keytool("-importkeystore", *source, "-destkeystore", str(keys), "-deststoretype", "JKS",
             "-deststorepass", PASSWORD)  # fmt: skip
    return Stores(kind, trust, keys)


def _trust_in_java(folder: Path, trusted: bytes, target: Path) -> None:
    """Makes a JKS store of certificates, one after the other as PEM."""
    folder.mkdir(exist_ok=True)
    end = b"-----END CERTIFICATE-----\n"
    for number, one in enumerate(trusted.split(end)[:-1]):
        file = folder / f"{number}.pem"
        file.write_bytes(one + end)
        _keytool("-importcert", "-alias", str(number), "-file", str(file),
                 "-keystore", str(target), "-storetype", "JKS", "-storepass", PASSWORD)  # fmt: skip


def _keytool(*arguments: str) -> None:
    command = ["keytool", "-J-XX:TieredStopAtLevel=1", *arguments, "-noprompt"]
    subprocess.run(command, check=True, capture_output=True)


def login_file(folder: Path, logins: Mapping[str, str] = USERS) -> Path:
    """Writes a login file of a server that knows these users and their passwords."""
    path = folder / "server-login.conf"
    path.write_text(_section("Server", {f"user_{name}": logins[name] for name in logins}))
    return path


def member_login_file(folder: Path, password: str = MEMBER_PASSWORD) -> Path:
    """Writes a login file of members that all have one name, and this password."""
    path = folder / f"member-login-{password}.conf"
    server = _section("QuorumServer", {"user_member": password})
    learner = _section("QuorumLearner", {"username": "member", "password": password})
    path.write_text(server + learner)
    return path


def _section(name: str, options: Mapping[str, str]) -> str:
    """Returns a section of a login file, for DIGEST-MD5."""
    lines = "\n".join(f'    {option}="{value}"' for option, value in options.items())
    module = "org.apache.zookeeper.server.auth.DigestLoginModule"
    return f"{name} {{\n    {module} required\n{lines};\n}};\n"


def sasl_settings(file: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the keys and the properties of a server with this login file."""
    # 3.9 refuses DIGEST-MD5 in its FIPS mode, which is the default.
    return {"authProvider.1": SASL_PROVIDER, "fips-mode": "false"}, {LOGIN_FILE: str(file)}


@contextlib.contextmanager
def secure_server(
    launcher: Launcher,
    keys: Mapping[str, object],
    properties: Mapping[str, str] | None = None,
) -> Iterator[tuple[Server, Address]]:
    """Runs a server that has a secure port, too; gives it and the address of that port."""
    port = free_port()
    config = {
        "secureClientPort": port,
        "secureClientPortAddress": "127.0.0.1",
        "serverCnxnFactory": NETTY,
        **keys,
    }
    with Server(launcher, config, properties) as server:
        wait_for_port(server, port)
        yield server, ("127.0.0.1", port)


def wait_for_port(server: Server, port: int) -> None:
    """Waits for the secure port, which the original opens after the other one has answered."""
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise NotStartedError(f"nobody listens on the secure port {port}\n{server.log_tail()}")


def client_context(own: Issued | None) -> ssl.SSLContext:
    """Returns the context of a client that takes any server, with this certificate or none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if own is not None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(own.pem())
            file.flush()
            context.load_cert_chain(file.name)
    return context


def split_pem(own: Issued, folder: Path, name: str) -> Sequence[Path]:
    """Writes the certificates and the key of a client into files of their own."""
    certificate, key = folder / f"{name}-certificate.pem", folder / f"{name}-key.pem"
    text = own.pem()
    start = text.index(b"-----BEGIN CERTIFICATE-----")
    key.write_bytes(text[:start])
    certificate.write_bytes(text[start:])
    return certificate, key
