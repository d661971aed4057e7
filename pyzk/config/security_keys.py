"""The configuration keys of ZooKeeper 3.9 that say who may do what, and what is encrypted.

Pure. The rows are of the same kind as those of `pyzk/config/keys.py`, which joins all of them.
ZooKeeper: X509Util, ProviderRegistry, the authentication providers, QuorumAuth.
"""

from __future__ import annotations

from typing import Final

from pyzk.config.kinds import BOOL, DIGEST, LIST, OPTIONAL, TEXT, YES_NO, Key, Status, later, unused

AUTH: Final = (
    Key("skipACL", YES_NO, "skip_acl"),
    Key("enableEagerACLCheck", BOOL, "enable_eager_acl_check", Status.ENSEMBLE),
    Key("enforce.auth.enabled", BOOL, "enforce_auth_enabled"),
    Key("enforce.auth.schemes", LIST, "enforce_auth_schemes"),
    Key("sessionRequireClientSASLAuth", BOOL, "session_require_client_sasl_auth"),
    Key("DigestAuthenticationProvider.enabled", BOOL, "digest_auth_enabled"),
    Key("DigestAuthenticationProvider.digestAlg", DIGEST, "digest_alg"),
    Key("DigestAuthenticationProvider.superDigest", OPTIONAL, "super_digest"),
    # It concerns the admin server alone: the protocol of clients has no such header.
    unused("IPAuthenticationProvider.usexforwardedfor", "false"),
    later("X509AuthenticationProvider.superUser"),
    later("superUser"),
    later("SASLAuthenticationProvider.superPassword"),
    later("letAnySaslUserDoX"),
    later("allowSaslFailedClients", "false"),
    Key("ensembleAuthName", LIST, "ensemble_auth_names"),
    later("sasl.serverconfig", "Server"),
    later("kerberos.removeHostFromPrincipal", "false"),
    later("kerberos.removeRealmFromPrincipal", "false"),
    later("kerberos.canonicalizeHostNames", "false"),
    later("kerberos.minReLoginTimeMs", "60000"),
    later("security.auth_to_local", "DEFAULT"),
    later("requireKerberosConfig"),
    later("kinit", "/usr/bin/kinit"),
    Key("java.security.auth.login.config", TEXT, None, Status.LATER, own=True),
)

QUORUM_AUTH: Final = (
    later("quorum.auth.enableSasl", "false", known=True),
    later("quorum.auth.serverRequireSasl", "false", known=True),
    later("quorum.auth.learnerRequireSasl", "false", known=True),
    later("quorum.auth.server.saslLoginContext", "QuorumServer", known=True),
    later("quorum.auth.learner.saslLoginContext", "QuorumLearner", known=True),
    later("quorum.auth.kerberos.servicePrincipal", "zkquorum/localhost", known=True),
)

TLS: Final = (
    later("secureClientPort", known=True),
    later("secureClientPortAddress", known=True),
    later("client.portUnification", "false"),
    later("client.certReload", "false"),
    later("sslQuorum", "false", known=True),
    later("portUnification", "false", known=True),
    later("sslQuorumReloadCertFiles", "false", known=True),
    later("fips-mode", "true", "true", "false"),
    unused("netty.server.outstandingHandshake.limit", "-1"),
    unused("netty.server.earlyDropSecureConnectionHandshakes", "false"),
)

LATER_PREFIXES: Final = ("zookeeper.ssl.", "zookeeper.superUser.")
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
LATER_PROVIDERS: Final = ("x509", "sasl")
"""The schemes of such classes that this server does not have yet; a warning names them."""
PROTECTIONS: Final = (
    "sslQuorum",
    "portUnification",
    "quorum.auth.enableSasl",
    "quorum.auth.serverRequireSasl",
    "quorum.auth.learnerRequireSasl",
)
"""The keys that protect the links between members: a member that ignored one would be less safe
than it was told to be."""
