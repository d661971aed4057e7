"""Certificates and contexts for tests of TLS."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import trustme

HOST: Final = "127.0.0.1"


class Authority:
    """An authority that issues certificates, and the contexts of those who trust it."""

    def __init__(self) -> None:
        self.ca: trustme.CA = trustme.CA()

    def server(
        self,
        client_auth: ssl.VerifyMode = ssl.CERT_NONE,
        issuer: trustme.CA | None = None,
        version: ssl.TLSVersion | None = None,
    ) -> ssl.SSLContext:
        """Return the context of a server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (issuer or self.ca).issue_cert(HOST, "localhost").configure_cert(context)
        self.ca.configure_trust(context)
        context.verify_mode = client_auth
        context.options |= ssl.OP_NO_RENEGOTIATION
        if version is not None:
            context.maximum_version = version
        return context

    def client(
        self,
        name: str | None = None,
        issuer: trustme.CA | None = None,
        *,
        checks_host: bool = False,
    ) -> ssl.SSLContext:
        """Return the context of a client, which has a certificate if it has a name."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = checks_host
        self.ca.configure_trust(context)
        if name is not None:
            cert = (issuer or self.ca).issue_cert(name, common_name=name)
            cert.configure_cert(context)
        return context

    def stores(self, directory: Path, prefix: str = "ssl.", name: str = "server") -> str:
        """Write the stores of a server that is ``name`` and at home on loopback; return the lines
        of zoo.cfg that name them."""
        directory.mkdir(parents=True, exist_ok=True)
        keys, trusted = directory / "keys.pem", directory / "trusted.pem"
        cert = self.ca.issue_cert(HOST, "localhost", common_name=name)
        keys.write_bytes(cert.private_key_and_cert_chain_pem.bytes())
        trusted.write_bytes(self.ca.cert_pem.bytes())
        return (
            f"{prefix}keyStore.location={keys}\n{prefix}keyStore.type=PEM\n"
            f"{prefix}trustStore.location={trusted}\n{prefix}trustStore.type=PEM\n"
        )

    def files(self, directory: Path, name: str) -> tuple[Path, Path, Path]:
        """Write what a client named so needs: the certificates it trusts, its own, its key."""
        cert = self.ca.issue_cert(name, common_name=name)
        trusted, own, key = (directory / f"{name}-{each}.pem" for each in ("ca", "cert", "key"))
        trusted.write_bytes(self.ca.cert_pem.bytes())
        own.write_bytes(b"".join(blob.bytes() for blob in cert.cert_chain_pems))
        key.write_bytes(cert.private_key_pem.bytes())
        return trusted, own, key


def _nothing(chain: Sequence[bytes], host: str, address: str, is_server: bool) -> None:
    """Has no objection."""


class Contexts:
    """What `pyzk.runtime.tls.TlsContexts` is to those who use it."""

    def __init__(
        self,
        server: ssl.SSLContext,
        client: ssl.SSLContext,
        check: Callable[[Sequence[bytes], str, str, bool], None] = _nothing,
    ) -> None:
        self._server = server
        self._client = client
        self.check_peer = check
        self.may_wait = False

    def server(self) -> ssl.SSLContext:
        return self._server

    def client(self) -> ssl.SSLContext:
        return self._client
