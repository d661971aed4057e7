"""The configuration keys of ZooKeeper 3.9 that say who may do what, and what is encrypted.

Pure. The rows are of the same kind as those of `pyzk/config/keys.py`, which joins all of them.
ZooKeeper: X509Util, ProviderRegistry, the authentication providers, QuorumAuth.
"""

from __future__ import annotations

from typing import Final

from pyzk.config.kinds import BOOL, DIGEST, LIST, OPTIONAL, TEXT, YES_NO, Key, Status, later, unused

AUTH: Final = (
    Key("skipACL", YES_NO, "skip_acl"),
    Key("enableEagerACLCheck", BOOL, "enable_eager_acl_check", Status.LATER),
    Key("enforce.auth.enabled", BOOL, "enforce_auth_enabled"),
    Key("enforce.auth.schemes", LIST, "enforce_auth_schemes"),
    Key("sessionRequireClientSASLAuth", BOOL, "session_require_client_sasl_auth"),
    Key("DigestAuthenticationProvider.enabled", BOOL, "digest_auth_enabled"),
    Key("DigestAuthenticationProvider.digestAlg", DIGEST, "digest_alg"),
    Key("DigestAuthenticationProvider.superDigest", OPTIONAL, "super_digest"),
    later("IPAuthenticationProvider.usexforwardedfor", "false"),
    later("X509AuthenticationProvider.superUser"),
    later("superUser"),
    later("SASLAuthenticationProvider.superPassword"),
    later("letAnySaslUserDoX"),
    later("allowSaslFailedClients", "false"),
    later("ensembleAuthName"),
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
PROTECTIONS: Final = (
    "sslQuorum",
    "portUnification",
    "quorum.auth.enableSasl",
    "quorum.auth.serverRequireSasl",
    "quorum.auth.learnerRequireSasl",
)
"""The keys that protect the links between members: a member that ignored one would be less safe
than it was told to be."""
