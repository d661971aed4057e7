"""The configuration keys of ZooKeeper 3.9 that say who may do what, and what is encrypted.

Pure. The rows are of the same kind as those of `pyzk/config/keys.py`, which joins all of them.
ZooKeeper: X509Util, ProviderRegistry, the authentication providers, QuorumAuth.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from pyzk.config.kinds import (
    BOOL,
    CLIENT_AUTH,
    DIGEST,
    EXPRESSION,
    HOST,
    ID_TYPE,
    LIST,
    NAME_TYPE,
    OPTIONAL,
    PLAIN_COUNT,
    PLAIN_INT,
    PORT,
    PROTOCOL,
    STORE_TYPE,
    TEXT,
    TLS_PROVIDER,
    YES_NO,
    Key,
    Kind,
    Status,
    member,
    unused,
)

X_FORWARDED_FOR: Final = Key("IPAuthenticationProvider.usexforwardedfor", BOOL, default="false")
"""It concerns the admin server alone, which reads it: clients have no such header."""

AUTH: Final = (
    Key("skipACL", YES_NO, "skip_acl"),
    Key("enableEagerACLCheck", BOOL, "enable_eager_acl_check", Status.ENSEMBLE),
    Key("enforce.auth.enabled", BOOL, "enforce_auth_enabled"),
    Key("enforce.auth.schemes", LIST, "enforce_auth_schemes"),
    Key("sessionRequireClientSASLAuth", BOOL, "session_require_client_sasl_auth"),
    Key("DigestAuthenticationProvider.enabled", BOOL, "digest_auth_enabled"),
    Key("DigestAuthenticationProvider.digestAlg", DIGEST, "digest_alg"),
    Key("DigestAuthenticationProvider.superDigest", OPTIONAL, "super_digest", is_secret=True),
    X_FORWARDED_FOR,
    Key("X509AuthenticationProvider.superUser", OPTIONAL, "x509_super_user"),
    Key("ssl.x509.clientCertIdType", ID_TYPE, "x509_id_type"),
    Key("ssl.x509.clientCertIdSanMatchType", NAME_TYPE, "x509_san_match_type"),
    Key("ssl.x509.clientCertIdSanMatchRegex", EXPRESSION, "x509_san_match_regex"),
    Key("ssl.x509.clientCertIdSanExtractRegex", EXPRESSION, "x509_san_extract_regex"),
    Key("ssl.x509.clientCertIdSanExtractMatcherGroupIndex", PLAIN_COUNT, "x509_san_extract_group"),
    Key("ensembleAuthName", LIST, "ensemble_auth_names"),
)

SASL_KEYS: Final = (
    Key("java.security.auth.login.config", OPTIONAL, own=True),
    Key("java.security.krb5.conf", OPTIONAL, own=True, default="/etc/krb5.conf"),
    Key("sasl.serverconfig", OPTIONAL, default="Server"),
    Key("sasl.digestMd5.enabled", BOOL, default="true"),
    Key("SASLAuthenticationProvider.superPassword", OPTIONAL, is_secret=True),
    Key("superUser", OPTIONAL),
    Key("letAnySaslUserDoX", OPTIONAL),
    Key("allowSaslFailedClients", BOOL, default="false"),
    Key("kerberos.removeHostFromPrincipal", BOOL, default="false"),
    Key("kerberos.removeRealmFromPrincipal", BOOL, default="false"),
    Key("security.auth_to_local", TEXT, default="DEFAULT"),
    Key("requireKerberosConfig", BOOL, default="false"),
)
"""Read by `pyzk/config/sasl.py`, into one record."""
_SASL_NAMES: Final = frozenset(name for key in SASL_KEYS for name in key.properties)
SUPER_USER_PREFIX: Final = "zookeeper.superUser."


def concerns_sasl(name: str) -> bool:
    """Return whether a property is one that SASL is told by."""
    return name in _SASL_NAMES or name.startswith(SUPER_USER_PREFIX)


SASL: Final = (
    *SASL_KEYS,
    # What a client does with the server's name, and how Java renews its tickets.
    unused("kerberos.canonicalizeHostNames", "false"),
    unused("kerberos.minReLoginTimeMs", "60000"),
    unused("kinit", "/usr/bin/kinit"),
)

QUORUM_AUTH: Final = (
    Key("quorum.auth.enableSasl", BOOL, None, Status.ENSEMBLE, known=True, default="false"),
    Key("quorum.auth.learnerRequireSasl", BOOL, None, Status.ENSEMBLE, known=True, default="false"),
    Key("quorum.auth.serverRequireSasl", BOOL, None, Status.ENSEMBLE, known=True, default="false"),
    Key(
        "quorum.auth.learner.saslLoginContext",
        OPTIONAL,
        None,
        Status.ENSEMBLE,
        known=True,
        default="QuorumLearner",
    ),
    Key(
        "quorum.auth.server.saslLoginContext",
        OPTIONAL,
        None,
        Status.ENSEMBLE,
        known=True,
        default="QuorumServer",
    ),
    Key(
        "quorum.auth.kerberos.servicePrincipal",
        OPTIONAL,
        None,
        Status.ENSEMBLE,
        known=True,
        default="zkquorum/localhost",
    ),
)
"""Read by `pyzk/config/sasl.py`, into one record."""

CLIENT_PREFIX: Final = "ssl."
QUORUM_PREFIX: Final = "ssl.quorum."
DEAD_PROTOCOLS: Final = ("SSLv2Hello", "SSLv3", "TLSv1", "TLSv1.1")
"""Names of protocols that are no mistake, and that nobody offers any more."""


class TlsRow(NamedTuple):
    """One key of a set, by the end of its name."""

    kind: Kind
    part: str = ""
    """The field of TlsConfig that it fills; "" if it fills none by itself."""
    value: object = None
    """The default."""
    is_secret: bool = False
    status: Status | None = None
    """What pyzk does with it, if not what it does with the others of its set."""


def _store(name: str, part: str) -> dict[str, TlsRow]:
    return {
        f"{name}.location": TlsRow(OPTIONAL, part),
        f"{name}.password": TlsRow(TEXT, f"{part}_password", "", is_secret=True),
        f"{name}.passwordPath": TlsRow(OPTIONAL, f"{part}_password_path"),
        f"{name}.type": TlsRow(STORE_TYPE, f"{part}_type"),
    }


def _rows(*, is_for_clients: bool) -> dict[str, TlsRow]:
    rows = {
        **_store("keyStore", "key_store"),
        **_store("trustStore", "trust_store"),
        "protocol": TlsRow(PROTOCOL),
        "enabledProtocols": TlsRow(LIST),
        "ciphersuites": TlsRow(LIST),
        "clientAuth": TlsRow(CLIENT_AUTH, "client_auth", "need"),
        "hostnameVerification": TlsRow(BOOL, "hostname_verification", value=True),
        "clientHostnameVerification": TlsRow(
            BOOL, "client_hostname_verification", value=not is_for_clients
        ),
        "allowReverseDnsLookup": TlsRow(BOOL, "allow_reverse_dns_lookup", value=not is_for_clients),
        "crl": TlsRow(BOOL, "crl", value=False),
        "ocsp": TlsRow(BOOL, "ocsp", value=False),
        "handshakeDetectionTimeoutMillis": TlsRow(PLAIN_INT, value=5000),
        "context.supplier.class": TlsRow(OPTIONAL, status=Status.REFUSED),
    }
    if is_for_clients:
        rows["authProvider"] = TlsRow(OPTIONAL, value="x509")
        rows["sslProvider"] = TlsRow(TLS_PROVIDER, value="JDK", status=Status.NO_EFFECT)
    return rows


class TlsSet:
    """The keys of one kind of port, which begin alike."""

    def __init__(self, prefix: str) -> None:
        self.prefix: Final = prefix
        self.is_for_clients: Final = prefix == CLIENT_PREFIX
        self.rows: Final = _rows(is_for_clients=self.is_for_clients)
        self.keys: Final = dict(self._keys())

    def _keys(self) -> Iterator[tuple[str, Key]]:
        status = Status.YES if self.is_for_clients else Status.ENSEMBLE
        for suffix, row in self.rows.items():
            name, value = self.prefix + suffix, row.value
            default = str(value).lower() if isinstance(value, bool) else str(value or "")
            unit = "milliseconds" if suffix.endswith("Millis") else ""
            yield (
                suffix,
                Key(
                    name,
                    row.kind,
                    None,
                    row.status or status,
                    default=default,
                    own_unit=unit,
                    is_secret=row.is_secret,
                ),
            )


CLIENT_TLS: Final = TlsSet(CLIENT_PREFIX)
QUORUM_TLS: Final = TlsSet(QUORUM_PREFIX)

TLS: Final = (
    Key("secureClientPort", PORT, "secure_client_port", known=True),
    Key("secureClientPortAddress", HOST, "secure_client_port_address", known=True),
    Key("client.portUnification", BOOL, "client_port_unification"),
    Key("client.certReload", BOOL, "client_cert_reload"),
    *CLIENT_TLS.keys.values(),
    Key("fips-mode", BOOL, "fips_mode"),
    Key("netty.server.outstandingHandshake.limit", PLAIN_INT, "tls_handshake_limit"),
    unused("netty.server.earlyDropSecureConnectionHandshakes", "false"),
    member("sslQuorum", BOOL, "ssl_quorum", known=True),
    member("portUnification", BOOL, "port_unification", known=True),
    member("sslQuorumReloadCertFiles", BOOL, "quorum_cert_reload", known=True),
    *QUORUM_TLS.keys.values(),
)

AUTH_PROVIDER_PREFIX: Final = "zookeeper.authProvider."
_PROVIDERS: Final = "org.apache.zookeeper.server.auth."
PROVIDER_CLASSES: Final = {
    f"{_PROVIDERS}IPAuthenticationProvider": "ip",
    f"{_PROVIDERS}DigestAuthenticationProvider": "digest",
    f"{_PROVIDERS}X509AuthenticationProvider": "x509",
    f"{_PROVIDERS}SASLAuthenticationProvider": "sasl",
    f"{_PROVIDERS}EnsembleAuthenticationProvider": "ensemble",
    f"{_PROVIDERS}KeyAuthenticationProvider": "key",
}
"""Value of authProvider.<x> -> the scheme that this class of the original has."""
PROVIDER_GROUP: Final = "pyzk.auth_providers"
"""The group of the entry points that other packages have for schemes of their own."""
