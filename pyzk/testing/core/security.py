"""TLS and SASL of test servers: what `tls=` and `sasl=` ask for, and what clients are handed.

Shell. Certificates are in `pyzk.testing.core.certificates`, which is imported when there is TLS: a
start without it stays short. The server reads the keys of zoo.cfg, as in production; only the
users of SASL are given to it without a JAAS file.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pyzk.testing.errors import FixtureError

if TYPE_CHECKING:
    import ssl

    from pyzk.config.server import ServerConfig
    from pyzk.testing.core.certificates import Certificates, ClientCertificate, GivenCertificates

    Tls = bool | Certificates | GivenCertificates

UNIFICATION: Final = "client.portUnification"
_MEMBERS: Final = ("sslQuorum", "portUnification")
"""The keys of which each asks for TLS between members."""
_SASL_PROVIDER: Final = "authProvider.sasl"
_SASL_CLASS: Final = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"


def _users(sasl: object) -> dict[str, str]:
    if sasl is None:
        return {}
    if not isinstance(sasl, Mapping) or not all(
        isinstance(text, str) and text for pair in sasl.items() for text in pair
    ):
        raise FixtureError("sasl is to be a dictionary of users and passwords: {'alice': 'secret'}")
    return dict(sasl)


def _is_true(value: object) -> bool:
    return str(value).lower() == "true"


class Security:
    """What a server is told about TLS and SASL, and what its clients need."""

    def __init__(self, tls: Tls, sasl: Mapping[str, str] | None) -> None:
        """Take in the arguments of a fixture. Raises FixtureError, and ImportError if a library for
        certificates is missing."""
        self.users = _users(sasl)
        self.certificates: Certificates | GivenCertificates | None = None
        if tls is False:
            return
        from pyzk.testing.core.certificates import Certificates, GivenCertificates

        if tls is True:
            self.certificates = Certificates()
        elif isinstance(tls, Certificates | GivenCertificates):
            self.certificates = tls
        else:
            raise FixtureError(
                f"tls is {tls!r}; give True, or Certificates or GivenCertificates of pyzk.testing"
            )

    def options(self, host: str, options: Mapping[str, object]) -> dict[str, object]:
        """Return keys of zoo.cfg: those of the test, which win, and what they need."""
        found: dict[str, object] = {}
        if self.certificates is not None:
            prefixes = ["ssl."]
            if any(_is_true(options.get(key)) for key in _MEMBERS):
                prefixes.append("ssl.quorum.")
            found[UNIFICATION] = True
            for prefix in prefixes:
                found |= {
                    f"{prefix}keyStore.location": self.certificates.key_store(host),
                    f"{prefix}keyStore.type": "PEM",
                    f"{prefix}trustStore.location": self.certificates.ca_file,
                    f"{prefix}trustStore.type": "PEM",
                }
        if self.users:
            found[_SASL_PROVIDER] = _SASL_CLASS
        # The guard in front of TLS refuses plaintext, unless the test has said otherwise.
        said = {key: value for key, value in options.items() if key != UNIFICATION}
        return found | (said if self.certificates is not None else dict(options))

    def takes_plain(self, options: Mapping[str, object]) -> bool:
        """Tell whether clients may come without TLS."""
        return self.certificates is None or _is_true(options.get(UNIFICATION))

    def applied(self, config: ServerConfig) -> ServerConfig:
        """Return the configuration with the users who may log in."""
        if not self.users:
            return config
        from pyzk.config.jaas import Login
        from pyzk.config.sasl import DEFAULTS

        sasl = config.sasl or DEFAULTS
        if sasl.login is not None:
            raise FixtureError("sasl= and java.security.auth.login.config: give one of them")
        return replace(config, sasl=replace(sasl, login=Login(section="Server", users=self.users)))

    def certificate(self, wanted: str | ClientCertificate | None) -> ClientCertificate:
        """Return what a client shows. Raises FixtureError without TLS."""
        from pyzk.testing.core.certificates import ClientCertificate

        certificates = self.need_certificates()
        if isinstance(wanted, ClientCertificate):
            return wanted
        return certificates.client() if wanted is None else certificates.client(wanted)

    def need_certificates(self) -> Certificates | GivenCertificates:
        """Return the certificates. Raises FixtureError without TLS."""
        if self.certificates is None:
            raise FixtureError("there is no TLS here; make the server or ensemble with tls=True")
        return self.certificates

    def sasl_options(self, user: str) -> dict[str, str]:
        """Return how kazoo logs in as a user. Raises FixtureError for an unknown one."""
        if user not in self.users:
            known = ", ".join(map(repr, self.users)) or "none; make it with sasl={USER: PASSWORD}"
            raise FixtureError(f"there is no user {user!r}; users of SASL are {known}")
        return {"mechanism": "DIGEST-MD5", "username": user, "password": self.users[user]}


NO_SECURITY: Final = Security(False, None)


class Secured:
    """What clients need to come in, of a server or of an ensemble."""

    @property
    @abstractmethod
    def connect_string(self) -> str:
        """The connect string for clients."""

    @property
    @abstractmethod
    def _security(self) -> Security: ...

    @property
    def tls(self) -> Certificates | GivenCertificates:
        """The certificates: files of the authority, and of clients by their subjects."""
        return self._security.need_certificates()

    def client_ssl_context(
        self, certificate: str | ClientCertificate | None = None
    ) -> ssl.SSLContext:
        """Return the context of a client that trusts this server and shows a certificate: one of
        `tls`, or what has this subject (``CN=alice``)."""
        return self._security.certificate(certificate).ssl_context()

    def kazoo_options(
        self,
        certificate: str | ClientCertificate | None = None,
        *,
        user: str | None = None,
    ) -> dict[str, Any]:
        """Return the arguments of a KazooClient: the hosts, with TLS the files of a certificate,
        and the login of a ``user`` of SASL (kazoo needs pure-sasl for it)."""
        options: dict[str, Any] = {"hosts": self.connect_string}
        security = self._security
        if security.certificates is not None or certificate is not None:
            options |= security.certificate(certificate).kazoo_options()
        if user is not None:
            options["sasl_options"] = security.sasl_options(user)
        return options
