"""What one set of `ssl.*` or `ssl.quorum.*` keys asks for: one frozen `TlsConfig`.

Pure. The rows are in `pyzk/config/security_keys.py`; here their values become one record, and what
concerns more than one of them is checked. Files are opened by `pyzk/runtime/tls.py` only.
ZooKeeper: X509Util, ClientX509Util, QuorumX509Util, SSLContextAndOptions.

Where this differs from ZooKeeper, on purpose: TLS 1.2 is offered beside 1.3 on the client port,
too, where neither `ssl.protocol` nor `ssl.enabledProtocols` is set, as the manual has it. 3.9.3
offers 1.3 only there, so that a 3.8 client cannot connect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pyzk.config.cipher_suites import DEFAULT_SUITES, NO_SUITES, OPENSSL_NAMES, TLS_13_SUITES
from pyzk.config.security_keys import CLIENT_PREFIX, CLIENT_TLS, DEAD_PROTOCOLS, QUORUM_TLS, TlsSet
from pyzk.config.settings import Setting, Settings
from pyzk.errors import ConfigError

TLS_1_2: Final = "TLSv1.2"
TLS_1_3: Final = "TLSv1.3"
NEED: Final = "need"
WANT: Final = "want"
NONE: Final = "none"

_OPENSSL_DEFAULTS: Final = tuple(
    OPENSSL_NAMES[name] for name in DEFAULT_SUITES if name not in TLS_13_SUITES
)

Say = Callable[[Setting, str], None]
"""Takes a sentence about a setting, for the operator."""


@dataclass(frozen=True, kw_only=True)
class TlsConfig:
    """What TLS on one kind of port is told; the defaults are ZooKeeper's for clients."""

    prefix: str = CLIENT_PREFIX
    """The begin of the names of its keys: ``ssl.`` or ``ssl.quorum.``."""
    key_store: str
    """The file with the private key and its chain of certificates."""
    key_store_password: str = field(default="", repr=False)
    key_store_password_path: str | None = None
    """A file that holds the password; it wins over the password itself."""
    key_store_type: str | None = None
    """JKS, PEM, PKCS12 or BCFKS; None leaves it to the file's name."""
    trust_store: str | None = None
    """The file with the certificates that are trusted; with None no peer can prove who it is."""
    trust_store_password: str = field(default="", repr=False)
    trust_store_password_path: str | None = None
    trust_store_type: str | None = None
    protocols: tuple[str, ...] = (TLS_1_2, TLS_1_3)
    """The versions of the protocol that are offered, the lowest first; there is no gap."""
    ciphers: tuple[str, ...] = _OPENSSL_DEFAULTS
    """The suites of TLS 1.2 that are offered, as OpenSSL calls them, the preferred ones first."""
    client_auth: str = NEED
    """Whether a server asks for a certificate: need, want or none."""
    hostname_verification: bool = True
    """Whether the certificate of a server must be for its host."""
    client_hostname_verification: bool = False
    """Whether the certificate of who connects must be for its host; only with
    hostname_verification."""
    allow_reverse_dns_lookup: bool = False
    """Whether the name of an address is looked up, if the certificate is not for the address."""
    crl: bool = False
    """Whether certificates are looked up in the revocation lists that they name."""
    ocsp: bool = False
    """Whether the OCSP responders that certificates name are asked, and the lists where those do
    not answer."""
    handshake_detection_timeout_ms: int = 5000
    """The time in which a port for both learns whether a connection is TLS."""
    fips_mode: bool = True
    """Whether the original would use the trust manager of the JDK: then members do not verify each
    other's host names."""

    @property
    def verifies_servers(self) -> bool:
        """Whether the host of a server that this one connects to is verified."""
        if not self.hostname_verification:
            return False
        return self.prefix == CLIENT_PREFIX or not self.fips_mode

    @property
    def verifies_clients(self) -> bool:
        """Whether the host of who connects to this server is verified."""
        return self.client_hostname_verification and self.verifies_servers

    @property
    def looks_up_names(self) -> bool:
        """Whether the name of an address may be looked up; in FIPS mode it never is."""
        return self.allow_reverse_dns_lookup and not self.fips_mode

    def key(self, suffix: str) -> str:
        """Return the name of a key of this set, for the operator."""
        return self.prefix + suffix


class TlsReader:
    """Makes the TlsConfig of one set of keys, and says what is to be said about it."""

    def __init__(self, settings: Settings, tls_set: TlsSet, warn: Say) -> None:
        """Read what was given. Raises ConfigError for a wrong value."""
        self._settings = settings
        self._set = tls_set
        self._warn = warn
        self._given: dict[str, Setting] = {}  # suffix -> where it was given
        self._values: dict[str, Any] = {}  # suffix -> value
        for suffix, key in self._set.keys.items():
            setting = self._settings.find(key)
            if setting is None:
                continue
            value = self._settings.read(key, setting, key.kind)
            if value in (None, "", ()):
                continue  # an empty value is none
            self._given[suffix] = setting
            self._values[suffix] = value

    @property
    def given(self) -> Mapping[str, Setting]:
        """Return what was given, by the end of the key's name."""
        return self._given

    def config(self, why: str, *, fips_mode: bool) -> TlsConfig:
        """Return the record. ``why`` is the setting that asks for TLS. Raises ConfigError for what
        is missing or cannot be had."""
        self._refuse()
        prefix = self._set.prefix
        for suffix in ("keyStore.location", *self._trust_needed()):
            if suffix not in self._values:
                what = "the certificate and key of this server"
                if suffix != "keyStore.location":
                    what = "the certificates that are trusted"
                raise ConfigError(
                    f"is not set, and {why} needs it: the file with {what}", key=prefix + suffix
                )
        values = {
            row.part: self._values.get(suffix, row.value)
            for suffix, row in self._set.rows.items()
            if row.part
        }
        values["handshake_detection_timeout_ms"] = self._timeout()
        values["protocols"], values["ciphers"] = self._offered()
        self._advise(fips_mode=fips_mode)
        return TlsConfig(prefix=prefix, fips_mode=fips_mode, **values)

    def _refuse(self) -> None:
        supplier = self._given.get("context.supplier.class")
        if supplier is not None:
            raise supplier.wrong(
                "names a Java class, which pyzk cannot run; give keyStore.location and"
                " trustStore.location instead"
            )
        if self._values.get("authProvider", "x509") != "x509":
            raise self._given["authProvider"].wrong("pyzk has x509 only; remove it")
        for store in ("keyStore", "trustStore"):
            if self._values.get(f"{store}.type") == "BCFKS":
                raise self._given[f"{store}.type"].wrong(
                    "BCFKS is Bouncy Castle's own format, which pyzk cannot read; convert the"
                    " store to PKCS12 (keytool -importkeystore -deststoretype PKCS12)"
                )

    def _trust_needed(self) -> tuple[str, ...]:
        """Return what a set needs beside the key: members always verify each other, a server its
        clients unless it is told otherwise."""
        is_needed = not self._set.is_for_clients or self._values.get("clientAuth", NEED) == NEED
        return ("trustStore.location",) if is_needed else ()

    def _timeout(self) -> int:
        suffix = "handshakeDetectionTimeoutMillis"
        usual = TlsConfig.handshake_detection_timeout_ms
        value: int = self._values.get(suffix, usual)
        if value < 1:
            self._warn(self._given[suffix], f"must be at least 1; {usual} is used")
            return usual
        return value

    # ---- protocols and suites

    def _offered(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the protocols and the suites of TLS 1.2 that go together."""
        protocols = self._protocols()
        suites: tuple[str, ...] = self._values.get("ciphersuites", DEFAULT_SUITES)
        setting = self._given.get("ciphersuites")
        strange = [each for each in suites if each not in _KNOWN_SUITES]
        if strange:
            assert setting is not None, strange
            raise setting.wrong(
                f"{strange[0]} cannot be had; known are those with ECDHE or RSA, and AES or"
                f" CHACHA20, such as {DEFAULT_SUITES[0]}, and {', '.join(TLS_13_SUITES)}"
            )
        ciphers = tuple(OPENSSL_NAMES[each] for each in suites if each in OPENSSL_NAMES)
        newest = [each for each in suites if each in TLS_13_SUITES]
        usable = tuple(each for each in protocols if (newest if each == TLS_1_3 else ciphers))
        if not usable:
            assert setting is not None, suites
            raise setting.wrong(f"none of these goes with {', '.join(protocols)}")
        if TLS_1_3 in usable and len(newest) < len(TLS_13_SUITES):
            assert setting is not None, suites
            left = ", ".join(each for each in TLS_13_SUITES if each not in newest)
            self._warn(setting, f"TLS 1.3 comes with {left}, too: all of its suites or none")
        return usable, ciphers

    def _protocols(self) -> tuple[str, ...]:
        """Return the versions that are offered, the lowest first."""
        names: tuple[str, ...] = self._values.get("enabledProtocols", ())
        setting = self._given.get("enabledProtocols")
        if not names:
            protocol = self._values.get("protocol")
            if protocol is None or protocol == "TLS":
                return TlsConfig.protocols
            setting = self._given["protocol"]
            # With 1.3 members also offer 1.2, and a client port does not: so the original.
            both = protocol == TLS_1_3 and not self._set.is_for_clients
            names = (TLS_1_2, TLS_1_3) if both else (protocol,)
        assert setting is not None, names
        kept = tuple(each for each in TlsConfig.protocols if each in names)
        for name in names:
            if name in DEAD_PROTOCOLS:
                self._warn(setting, f"{name} is not offered: it is broken, and Java refuses it")
            elif name not in kept:
                raise setting.wrong(f"{name} is no protocol; TLSv1.2 and TLSv1.3 are offered")
        if not kept:
            raise setting.wrong("no protocol is left; TLSv1.2 and TLSv1.3 are offered")
        return kept

    def _advise(self, *, fips_mode: bool) -> None:
        """Warn where the host names of members are to be verified, and FIPS mode prevents it."""
        if self._set.is_for_clients or not fips_mode:
            return
        for suffix in ("hostnameVerification", "clientHostnameVerification"):
            if self._values.get(suffix):
                self._warn(
                    self._given[suffix],
                    "has no effect: with fips-mode=true, the default, members do not verify host"
                    " names, as in ZooKeeper; set fips-mode=false",
                )


_KNOWN_SUITES: Final = frozenset((*OPENSSL_NAMES, *TLS_13_SUITES, *NO_SUITES))


def read_client_tls(
    settings: Settings, values: Mapping[str, Any], warn: Say, note: Say
) -> TlsConfig | None:
    """Return what TLS on the client ports is told; None if neither of them has it, and then a note
    names each key that is there for nothing. ``values`` are those of a ServerConfig so far."""
    reader = TlsReader(settings, CLIENT_TLS, warn)
    if values.get("secure_client_port") is not None:
        why = "secureClientPort"
    elif values.get("client_port_unification"):
        why = "client.portUnification=true"
    else:
        for setting in reader.given.values():
            note(setting, "has no effect without secureClientPort or client.portUnification")
        return None
    return reader.config(why, fips_mode=values.get("fips_mode", TlsConfig.fips_mode))


def effective_values(config: TlsConfig) -> list[tuple[str, object]]:
    """Return (key, value) of what TLS is told, in the order of the table."""
    tls_set = CLIENT_TLS if config.prefix == CLIENT_PREFIX else QUORUM_TLS
    java_names = {name: java for java, name in OPENSSL_NAMES.items()}
    suites = [java_names[each] for each in config.ciphers]
    said: dict[str, object] = {
        "enabledProtocols": config.protocols,
        "ciphersuites": (*suites, *(TLS_13_SUITES if TLS_1_3 in config.protocols else ())),
        "handshakeDetectionTimeoutMillis": config.handshake_detection_timeout_ms,
    }
    for suffix, row in tls_set.rows.items():
        if row.part:
            said[suffix] = getattr(config, row.part)
    return [(config.key(suffix), said[suffix]) for suffix in tls_set.rows if suffix in said]


def usual_values(prefix: str) -> list[tuple[str, object]]:
    """Return (key, value) of what TLS is told where nobody says anything."""
    tls_set = CLIENT_TLS if prefix == CLIENT_PREFIX else QUORUM_TLS
    values: dict[str, Any] = {row.part: row.value for row in tls_set.rows.values() if row.part}
    return effective_values(TlsConfig(prefix=prefix, **values))
