"""Certificates of a test: an authority that the library trustme makes, or files that are given.

Shell. The files are in a temporary directory, which is removed with the objects that name it. The
library and cryptography come with the extra ``testing``.
"""

from __future__ import annotations

import os
import shutil
import ssl
import tempfile
import weakref
from typing import TYPE_CHECKING, Any, Final

from pyzk.extras import the_extra
from pyzk.testing.errors import FixtureError

if TYPE_CHECKING:
    from datetime import datetime

    import trustme

CLIENT: Final = "CN=client"
"""The subject of a client that is not named."""
_HOSTS: Final = ("localhost", "127.0.0.1", "::1")


class ClientCertificate:
    """What a client shows, and whom it trusts, in files of the form PEM."""

    def __init__(
        self,
        ca_file: str,
        cert_file: str | None = None,
        key_file: str | None = None,
        *,
        keeps: object = None,
    ) -> None:
        """``keeps`` is what the files are gone with."""
        self._keeps = keeps
        self.ca_file = ca_file
        """The certificates that it trusts."""
        self.cert_file = cert_file
        """Its own certificate; None if it shows none."""
        self.key_file = key_file
        """The key of that."""

    def ssl_context(self) -> ssl.SSLContext:
        """Return the context of a client."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ca_file)
        if self.cert_file is not None:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context

    def kazoo_options(self) -> dict[str, Any]:
        """Return the arguments of a KazooClient that are about TLS."""
        return {
            "use_ssl": True,
            "verify_certs": True,
            "check_hostname": True,
            "ca": self.ca_file,
            "certfile": self.cert_file,
            "keyfile": self.key_file,
        }

    @property
    def identity(self) -> str:
        """The id of the scheme x509 that ACLs name."""
        if self.cert_file is None:
            raise FixtureError("a client that shows no certificate has no identity of x509")
        from pyzk.auth.certificate import Certificate, rfc2253

        with open(self.cert_file, encoding="ascii") as file:
            return rfc2253(Certificate(ssl.PEM_cert_to_DER_cert(_first(file.read()))).subject)


def _first(text: str) -> str:
    """Return the first certificate of several."""
    end = "-----END CERTIFICATE-----"
    return text[text.index("-----BEGIN CERTIFICATE") : text.index(end) + len(end)]


class _Directory:
    """A temporary directory, which is gone with this object."""

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp(prefix="pyzk-tls-")
        weakref.finalize(self, _remove, self.path, os.getpid())

    def write(self, name: str, content: bytes) -> str:
        """Write a file that only this user can read; return its path."""
        path = os.path.join(self.path, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
        return path


def _remove(path: str, owner: int) -> None:
    if os.getpid() == owner:  # and no child that was forked from it
        shutil.rmtree(path, ignore_errors=True)


class Certificates:
    """An authority of a test, a certificate that it has issued to the servers, and those of
    clients. Several servers may share one."""

    def __init__(self) -> None:
        """Make the authority. Raises ImportError if trustme is not installed."""
        try:
            import trustme
        except ImportError as error:
            raise ImportError(
                "certificates for tests need the library trustme, which comes with"
                f" {the_extra('testing')}"
            ) from error
        self._authority: trustme.CA = trustme.CA()
        self._files = _Directory()
        self.ca_file: str = self._files.write("ca.pem", self._authority.cert_pem.bytes())
        """The certificate of the authority, which servers and clients trust."""
        self._stores: dict[str, str] = {}
        self._clients: dict[str, ClientCertificate] = {}

    @property
    def directory(self) -> str:
        """The temporary directory of all files."""
        return self._files.path

    def key_store(self, host: str = "localhost") -> str:
        """Return the file with key and certificate of a server on this machine."""
        if host not in self._stores:
            issued = self._authority.issue_cert(*dict.fromkeys((*_HOSTS, host)))
            name = f"server-{len(self._stores) + 1}.pem"
            chain = [each.bytes() for each in issued.cert_chain_pems]
            pem = b"".join((_pkcs8(issued.private_key_pem.bytes()), *chain))
            self._stores[host] = self._files.write(name, pem)
        return self._stores[host]

    def client(
        self,
        subject: str = CLIENT,
        *,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> ClientCertificate:
        """Return the certificate of a client with exactly this subject (``CN=alice,O=Example``),
        the same each time, or a new one for a time that is given."""
        if not_before is None and not_after is None and subject in self._clients:
            return self._clients[subject]
        cert, key = _issue(self._authority, subject, not_before, not_after)
        number = len(os.listdir(self._files.path))
        made = ClientCertificate(
            self.ca_file,
            self._files.write(f"client-{number}.pem", cert),
            self._files.write(f"client-{number}.key", key),
            keeps=self._files,
        )
        if not_before is None and not_after is None:
            self._clients[subject] = made
        return made

    @property
    def anonymous(self) -> ClientCertificate:
        """A client that trusts the servers and shows no certificate."""
        return ClientCertificate(self.ca_file, keeps=self._files)


class GivenCertificates:
    """Certificates that a test has in files of the form PEM: of the authority, of the servers and
    perhaps of a client. A key may be in the file of its certificate."""

    def __init__(
        self,
        ca: str | os.PathLike[str],
        cert: str | os.PathLike[str],
        key: str | os.PathLike[str] | None = None,
        *,
        client_cert: str | os.PathLike[str] | None = None,
        client_key: str | os.PathLike[str] | None = None,
    ) -> None:
        self.ca_file = os.fspath(ca)
        self._key_store = os.fspath(cert)
        if key is not None:
            self._files = _Directory()
            pem = b"\n".join(_content(path) for path in (key, cert))
            self._key_store = self._files.write("server.pem", pem)
        self._client = self.anonymous
        if client_cert is not None:
            self._client = ClientCertificate(
                self.ca_file, os.fspath(client_cert), os.fspath(client_key or client_cert)
            )

    def key_store(self, host: str = "localhost") -> str:
        """Return the file with key and certificate of the servers, whatever their host is."""
        return self._key_store

    def client(self, subject: str | None = None) -> ClientCertificate:
        """Return the client's certificate. Raises FixtureError if one is asked for by its
        subject."""
        if subject is not None:
            raise FixtureError(
                f"no certificate can be issued to {subject}: the key of the authority is not given;"
                " tls=True makes an authority"
            )
        return self._client

    @property
    def anonymous(self) -> ClientCertificate:
        """A client that trusts the servers and shows no certificate."""
        return ClientCertificate(self.ca_file)


def _content(path: str | os.PathLike[str]) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _issue(
    authority: trustme.CA, subject: str, not_before: datetime | None, not_after: datetime | None
) -> tuple[bytes, bytes]:
    """Return certificate and key of a client as PEM. trustme itself adds names of its own to each
    subject, so that it would be no identity that an ACL can name."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    try:
        name = x509.Name.from_rfc4514_string(subject)
    except ValueError as error:
        raise FixtureError(
            f"{subject!r} is no subject, such as CN=alice,O=Example: {error}"
        ) from None
    pattern = authority.issue_cert(common_name="client", not_before=not_before, not_after=not_after)
    model = x509.load_pem_x509_certificate(pattern.cert_chain_pems[0].bytes())
    signer = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(model.issuer)
        .public_key(model.public_key())
        .serial_number(model.serial_number)
        .not_valid_before(model.not_valid_before_utc)
        .not_valid_after(model.not_valid_after_utc)
    )
    for extension in model.extensions:
        if not isinstance(extension.value, x509.SubjectAlternativeName):
            builder = builder.add_extension(extension.value, extension.critical)
    made = builder.sign(signer, hashes.SHA256())  # type: ignore[arg-type]  # it is an EC key
    key = _pkcs8(pattern.private_key_pem.bytes())
    return made.public_bytes(serialization.Encoding.PEM), key


def _pkcs8(pem: bytes) -> bytes:
    """Return a key in the form that Java reads, too."""
    from cryptography.hazmat.primitives import serialization

    return serialization.load_pem_private_key(pem, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
