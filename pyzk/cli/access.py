"""How our own tools get into a server: by TLS, and with a login by SASL.

Shell. One record has both; what speaks to a server is handed it: four-letter words, sessions of
kazoo (`access_kazoo`), and the fixtures' own client. ZooKeeper: ClientX509Util, ZooKeeperSaslClient
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from random import SystemRandom
from typing import TYPE_CHECKING, Final

import attrs

from pyzk.errors import ConfigError, SaslError

if TYPE_CHECKING:
    from pyzk.auth.sasl.mechanism import Mechanism

DIGEST: Final = "digest"
GSSAPI: Final = "gssapi"
SERVICE: Final = "zookeeper"
_MOST_TOKENS: Final = 10
"""More tokens than any login needs: what answers is no server of this kind."""
_ALERT: Final = "\x15\x03"
"""What an answer of TLS to plaintext begins with."""

_NEEDS_CERTIFICATE: Final = "it asks for a certificate: --cert FILE, and --key FILE"
_CUT: Final = "it ends the handshake: perhaps it takes no TLS at this port; its log says why"
_WHY: Final = {
    "UNEXPECTED_EOF_WHILE_READING": _CUT,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _NEEDS_CERTIFICATE,
    "TLSV1_ALERT_UNKNOWN_CA": "it does not trust who has signed the certificate of --cert",
    # Java says so also if there is none.
    "SSLV3_ALERT_BAD_CERTIFICATE": f"it refuses the client's certificate, or {_NEEDS_CERTIFICATE}",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the certificate of --cert has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "the certificate of --cert is revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it refuses the certificate of --cert; its log says why",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "the certificate of --cert is for servers only",
    "WRONG_VERSION_NUMBER": "it takes no TLS at this port: leave out --tls, or name the other port",
    "RECORD_LAYER_FAILURE": "it takes no TLS at this port: leave out --tls, or name the other port",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it takes other versions of TLS only",
    "UNSUPPORTED_PROTOCOL": "it offers older versions of TLS only",
}
"""What OpenSSL reports -> what an operator can do about it."""


class AccessError(Exception):
    """A file for TLS or a password is no use; the text says why."""


# --- TLS ------------------------------------------------------------------------------


def client_context(
    *,
    ca: str | None = None,
    cert: str | None = None,
    key: str | None = None,
    key_password: str | None = None,
    verifies: bool = True,
    checks_host: bool = True,
) -> ssl.SSLContext:
    """Return the context of a client; without ``ca`` it trusts whom the system trusts. Raises
    AccessError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = verifies and checks_host
    context.verify_mode = ssl.CERT_REQUIRED if verifies else ssl.CERT_NONE
    # What --ca holds is trusted, whether or not it has signed itself, as in a trust store.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _check_readable(ca, "--ca")
        try:
            context.load_verify_locations(ca)
        except ssl.SSLError:
            raise AccessError(f"--ca: {ca} holds no certificate in the form PEM") from None
    if cert is not None:
        _load_own(context, cert, key, key_password)
    elif key is not None:
        raise AccessError("--key needs --cert, the certificate that belongs to the key")
    return context


def _load_own(
    context: ssl.SSLContext, cert: str, key: str | None, key_password: str | None
) -> None:
    _check_readable(cert, "--cert")
    if key is not None:
        _check_readable(key, "--key")
    where = key or cert

    def password() -> str:
        # Without this OpenSSL would ask at the terminal.
        if key_password is None:
            raise AccessError(f"the key in {where} is encrypted: --key-password-file FILE")
        return key_password

    try:
        context.load_cert_chain(cert, key, password)
    except ssl.SSLError as error:
        if key_password is not None and error.reason != "KEY_VALUES_MISMATCH":
            raise AccessError(
                f"the key in {where} cannot be read: is the password wrong?"
            ) from None
        if error.reason == "KEY_VALUES_MISMATCH":
            raise AccessError(f"the key in {where} is not that of the certificate {cert}") from None
        raise AccessError(
            f"{cert} and its key ({where}) are no certificate and key in the form PEM"
        ) from None


def _check_readable(path: str, option: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise AccessError(f"{option}: {path}: {error.strerror}") from None


def explain_tls(error: OSError) -> str | None:
    """Return what is wrong with a connection of TLS, in the words of an operator; None if that is
    not it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        text = error.verify_message
        remedy = "--ca FILE has who is trusted"
        if error.verify_code in (62, 64):  # the host name, the address
            remedy = "--no-check-hostname takes it all the same"
        return f"its certificate is refused: {text.removesuffix('.')} ({remedy})"
    if isinstance(error, ssl.SSLError):
        reason = error.reason or str(error)
        return _WHY.get(reason, f"TLS: {reason.replace('_', ' ').lower()}")
    if isinstance(error, ConnectionError) and not str(error):
        return _CUT  # so asyncio tells that the other side has left in a handshake
    return None


def is_tls_alert(text: str) -> bool:
    """Tell whether an answer to plaintext is one of TLS."""
    return text.startswith(_ALERT)


# --- SASL -----------------------------------------------------------------------------


@attrs.frozen
class Login:
    """Who logs in, and how."""

    mechanism: str
    """``digest`` or ``gssapi``."""
    user: str | None
    """With gssapi a principal; None is the one that the ticket is for."""
    password: str = attrs.field(default="", repr=False)
    service: str = SERVICE
    """The first part of the principal of the servers."""

    def begin(self, host: str) -> Mechanism:
        """Return the client's side of a new exchange with the server on this host. Raises
        AccessError if the library for it is missing."""
        if self.mechanism == DIGEST:
            from pyzk.auth.sasl.digest_md5 import DigestMd5Client
            from pyzk.auth.sasl.logins import HOST

            user = self.user or ""
            return DigestMd5Client(SERVICE, HOST, user, self.password, SystemRandom())
        from pyzk.auth.sasl.gssapi import GssapiClient
        from pyzk.runtime.kerberos import client_context as kerberos_context

        try:
            begin = kerberos_context(self.user, f"{self.service}/{host}")
        except ConfigError as error:
            raise AccessError(f"--sasl {GSSAPI}: {error.message}") from None
        return GssapiClient(begin, self.user or "")


def log_in(mechanism: Mechanism, ask: Callable[[bytes], bytes]) -> None:
    """Log in; ``ask`` gives the server a token and returns its answer. Raises SaslError."""
    token = mechanism.step(b"")
    for _ in range(_MOST_TOKENS):
        if token is None:
            return
        answer = ask(token)
        if mechanism.is_complete:
            return
        if not token and not answer:
            raise SaslError("the server takes no login by SASL")
        token = mechanism.step(answer)
    raise SaslError("the server does not end the login")


# --- both -----------------------------------------------------------------------------


@attrs.frozen
class Access:
    """How to get into a server."""

    tls: ssl.SSLContext | None = None
    """None: there is no TLS."""
    login: Login | None = None
    """None: nobody logs in."""
    has_certificate: bool = False
    """Whether a certificate is shown."""

    @property
    def has_identity(self) -> bool:
        """Whether a server may know who comes."""
        return self.login is not None or self.has_certificate


PLAIN: Final = Access()
