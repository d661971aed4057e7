"""TLS contexts: from what a TlsConfig says and its files hold, to what asyncio takes.

Shell. A private key is on no disk but in its owner's file: OpenSSL, which reads keys from files
only, gets it in memory, encrypted with a password of this moment. What a context cannot check, host
names as ZooKeeper compares them and revocation, `check_peer` checks after a handshake.
ZooKeeper: X509Util, ZKTrustManager.

Where this differs from ZooKeeper, on purpose: a trusted certificate that has expired is trusted no
longer, whoever it is; the JDK does not look at the dates of what a trust store holds.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import secrets
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from pyzk.auth import host_names
from pyzk.auth.certificate import Certificate, CertificateError
from pyzk.config.tls import NEED, NONE, TLS_1_2, TLS_1_3, WANT, TlsConfig
from pyzk.errors import ConfigError, PyzkError
from pyzk.extras import the_extra

if TYPE_CHECKING:
    from cryptography import x509

    from pyzk.runtime.revocation import Revocation
    from pyzk.runtime.stores import KeyMaterial

log = logging.getLogger(__name__)

MOST_SESSIONS: Final = 1000
"""After so many connections of TLS 1.2 there is a new context."""
_KEYS: Final = "keyStore"
_TRUST: Final = "trustStore"
_VERIFY: Final = {NEED: ssl.CERT_REQUIRED, WANT: ssl.CERT_OPTIONAL, NONE: ssl.CERT_NONE}

_VERSIONS: Final = {TLS_1_2: ssl.TLSVersion.TLSv1_2, TLS_1_3: ssl.TLSVersion.TLSv1_3}
_REASONS: Final = {
    "KEY_VALUES_MISMATCH": "the private key is not that of the first certificate",
    "EE_KEY_TOO_SMALL": "the key is too short; 2048 bits for RSA, and 224 for EC, are the least",
    "CA_KEY_TOO_SMALL": "the key of a CA in the chain is too short",
    "CA_MD_TOO_WEAK": "a certificate is signed with MD5 or SHA-1, which nobody trusts any more",
}
_DER: Final = 2
"""The number of the DER encoding in Python's own module."""

_Found = TypeVar("_Found")

Stamp = tuple[tuple[int, int, int] | None, ...]
"""What changes when one of the files changes: (inode, size, time) of each, None for a missing
one."""
ReverseLookup = Callable[[str], str | None]
"""Returns the name of an address, None if it has none. It may wait for the name service."""


class TlsPeerError(PyzkError):
    """The certificate of a peer is right for somebody else, or revoked."""


class _Loaded(NamedTuple):
    """What the files held when they were read."""

    keys: KeyMaterial
    anchors: tuple[x509.Certificate, ...]


class TlsContexts:
    """The contexts of one kind of port, and what is checked after a handshake."""

    def __init__(
        self,
        config: TlsConfig,
        reverse_lookup: ReverseLookup | None = None,
        warn: Callable[[str], None] = log.warning,
    ) -> None:
        """Read the files. ``warn`` takes a sentence about each certificate whose time it is not.
        Raises ConfigError with the key, and what to do about it."""
        self.config = config
        self._warn = warn
        self._reverse_lookup = reverse_lookup or name_of_address
        self._stamp = self._look()
        self._loaded: _Loaded
        self._server: ssl.SSLContext
        self._client: ssl.SSLContext
        self._take(self._load())
        self._revocation = self._revocation_of(config)

    def server(self) -> ssl.SSLContext:
        """Return the context for the next who connects to this server."""
        if self._server.session_stats()["number"] >= MOST_SESSIONS:
            # OpenSSL keeps what a client of TLS 1.2 might resume, and Python cannot tell it not to.
            self._server = self._server_context(self._loaded)
        return self._server

    def client(self) -> ssl.SSLContext:
        """Return the context for connecting to another server."""
        return self._client

    # ---- after a handshake

    @property
    def may_wait(self) -> bool:
        """Whether `check_peer` may wait for the network, so that it must not run on the loop."""
        config = self.config
        verifies = config.verifies_clients or config.verifies_servers
        return self._revocation is not None or (verifies and config.looks_up_names)

    def check_peer(
        self, chain_der: Sequence[bytes], host: str, address: str, is_server: bool
    ) -> None:
        """Check what the handshake has not: the host of a certificate, and whether it is revoked.

        ``chain_der`` is what `peer_chain` returns; a peer without a certificate is one that need
        not have any. ``host`` is the name that this server has dialed, or "", ``address`` where
        the peer is; ``is_server`` tells whether this server has connected to it. Raises
        TlsPeerError.
        """
        if not chain_der:
            return
        config = self.config
        if config.verifies_servers if is_server else config.verifies_clients:
            self._check_host(chain_der[0], host, address)
        if self._revocation is not None:
            reason = self._revocation.why_not(chain_der, self._loaded.anchors)
            if reason is not None:
                raise TlsPeerError(f"the certificate of {host or address} {reason}")

    def check_visitor(self, chain_der: Sequence[bytes], address: str) -> None:
        """Check who has shown these certificates to another port of this server, which has verified
        them by its own keys, as if that had been here. It may wait where `check_peer` may. Raises
        TlsPeerError."""
        if not self._trusts(chain_der):
            raise TlsPeerError(f"the certificate of {address} is trusted elsewhere only")
        self.check_peer(chain_der, "", address, False)

    def _trusts(self, chain_der: Sequence[bytes]) -> bool:
        """Tell whether a chain that somebody else has verified leads to what is trusted here."""
        from cryptography import x509
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

        anchors = self._loaded.anchors
        try:
            chain = [x509.load_der_x509_certificate(each) for each in chain_der]
        except ValueError:
            return False  # OpenSSL has read it, but that says not that others can
        if any(each in anchors for each in chain):
            return True
        now = datetime.now(UTC)
        for anchor in anchors:
            if anchor.not_valid_before_utc <= now <= anchor.not_valid_after_utc:
                with contextlib.suppress(
                    InvalidSignature, TypeError, UnsupportedAlgorithm, ValueError
                ):
                    chain[-1].verify_directly_issued_by(anchor)
                    return True
        return False

    @staticmethod
    def _revocation_of(config: TlsConfig) -> Revocation | None:
        """Return what looks certificates up, None if nothing does."""
        if not (config.crl or config.ocsp):
            return None
        from pyzk.runtime.ocsp import Responders  # few need it
        from pyzk.runtime.revocation import Revocation

        if config.ocsp:
            return Revocation(config.key("ocsp"), Responders())
        return Revocation(config.key("crl"))

    def _check_host(self, certificate: bytes, host: str, address: str) -> None:
        try:
            names = Certificate(certificate).host_names()
        except CertificateError as error:
            raise TlsPeerError(f"it shows {error}") from None
        if host_names.name_of_any(names, (address, host)) is not None:
            return
        tried = [each for each in dict.fromkeys((address, host)) if each]
        if not host or host == address:
            if self.config.looks_up_names:
                found = self._reverse_lookup(address)
                if found is not None and host_names.is_for(names, found):
                    return
                tried += [] if found is None else [found]
        raise TlsPeerError(f"the certificate is for {names}, not for {' or '.join(tried)}")

    # ---- files

    def reload_if_changed(self) -> bool:
        """Read the files again if one of them has changed, and return whether there are new
        contexts. Those of files that are no use are not taken: the earlier ones stay."""
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self._take(self._load())
        except ConfigError as error:
            log.warning("TLS goes on with the certificates it has; the new ones: %s", error)
            return False
        log.info("%s: %s", self.config.key("keyStore.location"), _said_of(self._loaded.keys))
        return True

    def _look(self) -> Stamp:
        config = self.config
        return tuple(
            _stamp_of(path)
            for path in (
                config.key_store,
                config.key_store_password_path,
                config.trust_store,
                config.trust_store_password_path,
            )
            if path
        )

    def _load(self) -> _Loaded:
        config = self.config
        if importlib.util.find_spec("cryptography") is None:
            key = config.key("keyStore.location")
            raise ConfigError(f"needs {the_extra('tls')}", key=key)
        from pyzk.runtime import stores

        keys = self._read(_KEYS, config.key_store, stores.read_keys)
        anchors: tuple[x509.Certificate, ...] = ()
        if config.trust_store is not None:
            anchors = self._read(_TRUST, config.trust_store, stores.read_certificates)
        return _Loaded(keys, anchors)

    def _take(self, loaded: _Loaded) -> None:
        """Make both contexts, before either is used. Raises ConfigError."""
        server = self._server_context(loaded)
        client = self._context(ssl.PROTOCOL_TLS_CLIENT, loaded)
        self._loaded, self._server, self._client = loaded, server, client
        self._warn_of_dates(loaded)

    def _read(self, store: str, path: str, read: Callable[[bytes, str, str], _Found]) -> _Found:
        """Return what a store holds. Raises ConfigError with the key that is to blame."""
        from pyzk.runtime import stores

        config = self.config
        password, password_path = config.key_store_password, config.key_store_password_path
        kind = config.key_store_type
        if store == _TRUST:
            password, password_path = config.trust_store_password, config.trust_store_password_path
            kind = config.trust_store_type
        content = self._content(f"{store}.location", path)
        if password_path is not None:
            password = _password_in(self._content(f"{store}.passwordPath", password_path))
        try:
            kind = stores.kind_of(path, kind, config.key(f"{store}.type"))
            return read(content, kind, password)
        except stores.StoreError as error:
            raise ConfigError(f"{path}: {error}", key=config.key(f"{store}.location")) from None

    def _content(self, suffix: str, path: str) -> bytes:
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be read: {error.strerror}", key=self.config.key(suffix)
            ) from None

    # ---- contexts

    def _server_context(self, loaded: _Loaded) -> ssl.SSLContext:
        context = self._context(ssl.PROTOCOL_TLS_SERVER, loaded)
        context.verify_mode = _VERIFY[self.config.client_auth]
        context.num_tickets = 0  # each connection shows its certificate
        return context

    def _context(self, protocol: int, loaded: _Loaded) -> ssl.SSLContext:
        from cryptography.hazmat.primitives.serialization import Encoding

        config = self.config
        context = ssl.SSLContext(protocol)
        # Names are compared as ZooKeeper does it, by `check_peer`.
        context.check_hostname = False
        context.minimum_version = _VERSIONS[config.protocols[0]]
        context.maximum_version = _VERSIONS[config.protocols[-1]]
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
        # What a trust store holds is trusted, whether or not it has signed itself.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if config.ciphers:
            self._set_ciphers(context)
        if loaded.anchors:
            context.load_verify_locations(
                cadata=b"".join(each.public_bytes(Encoding.DER) for each in loaded.anchors)
            )
        self._set_keys(context, loaded.keys)
        return context

    def _set_ciphers(self, context: ssl.SSLContext) -> None:
        try:
            context.set_ciphers(":".join(self.config.ciphers))
        except ssl.SSLError:
            raise ConfigError(
                f"OpenSSL has none of {', '.join(self.config.ciphers)}",
                key=self.config.key("ciphersuites"),
            ) from None

    def _set_keys(self, context: ssl.SSLContext, keys: KeyMaterial) -> None:
        from cryptography.hazmat.primitives import serialization

        password = secrets.token_bytes(32).hex().encode()
        pem = serialization.Encoding.PEM
        text = keys.key.private_bytes(
            pem,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password),
        )
        text += b"".join(each.public_bytes(pem) for each in keys.chain)
        try:
            with _readable_for_openssl(text) as path:
                context.load_cert_chain(path, password=password)
        except ssl.SSLError as error:
            raise ConfigError(
                f"{self.config.key_store}: {_REASONS.get(error.reason, error.reason)}",
                key=self.config.key("keyStore.location"),
            ) from None

    def _warn_of_dates(self, loaded: _Loaded) -> None:
        now = datetime.now(UTC)
        for store, path, certificates in (
            (_KEYS, self.config.key_store, loaded.keys.chain[:1]),
            (_TRUST, self.config.trust_store, loaded.anchors),
        ):
            for each in certificates:
                if not each.not_valid_before_utc <= now <= each.not_valid_after_utc:
                    self._warn(
                        f"{self.config.key(f'{store}.location')}: {path}: the certificate of"
                        f" {each.subject.rfc4514_string()} is valid from"
                        f" {each.not_valid_before_utc.date()} to"
                        f" {each.not_valid_after_utc.date()} only"
                    )


# --- peers ----------------------------------------------------------------------------


def peer_chain(peer: ssl.SSLObject | ssl.SSLSocket) -> tuple[bytes, ...]:
    """Return the certificates of a peer as DER: its own first, then who signed it, up to one that
    is trusted; empty if it has shown none. Where TLS 1.2 goes on with an earlier session, only its
    own is known."""
    own = peer.getpeercert(binary_form=True)
    if own is None:
        return ()
    if hasattr(peer, "get_verified_chain"):  # from Python 3.13 on
        return tuple(peer.get_verified_chain())
    # Python 3.11 and 3.12 have it, under a name of their own.
    found = getattr(peer, "_sslobj").get_verified_chain() or ()  # noqa: B009
    return tuple(each.public_bytes(_DER) for each in found) or (own,)


def name_of_address(address: str) -> str | None:
    """Return the name of an address, if that name stands for the address; None if not."""
    plain = address.partition("%")[0]
    try:
        name = socket.gethostbyaddr(plain)[0]
        found = {each[4][0] for each in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return None
    return name if plain in found else None


# --- files ----------------------------------------------------------------------------


def _stamp_of(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _password_in(content: bytes) -> str:
    """Return the password that a file holds: all of it but the end of the last line."""
    return content.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")


@contextlib.contextmanager
def _readable_for_openssl(text: bytes) -> Iterator[str]:
    """Give a path at which OpenSSL can read what is in memory; afterwards it is gone."""
    if os.path.isdir("/proc/self/fd") and hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("pyzk-tls")
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(text)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile(prefix="pyzk-tls") as file:  # for nobody but this user
        file.write(text)
        file.flush()
        yield file.name


def _said_of(keys: KeyMaterial) -> str:
    own = keys.chain[0]
    until = own.not_valid_after_utc.date()
    return f"the certificate of {own.subject.rfc4514_string()}, valid until {until}"
