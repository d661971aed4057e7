"""Who may log in here with SASL, by which mechanism, and who he is then.

Pure. Answers to ZooKeeperSaslServer, SaslServerCallbackHandler and SASLAuthenticationProvider.

Where this differs from ZooKeeper, on purpose: if no rule makes a short name, the id is the name
that was proved. There it is what the client asks for, so that somebody of a foreign realm can ask
to be ``super``. And a name that is none fails with a reply.
"""

from __future__ import annotations

import logging
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

from pyzk.auth.provider import AuthId
from pyzk.auth.sasl.digest_md5 import DigestMd5Server
from pyzk.auth.sasl.gssapi import GssapiServer, Kerberos
from pyzk.auth.sasl.kerberos_name import KerberosName, NameRules
from pyzk.auth.sasl.mechanism import Mechanism
from pyzk.config.sasl import DEFAULTS, SUPER, SaslConfig
from pyzk.errors import SaslError
from pyzk.outsiders import about

if TYPE_CHECKING:
    from pyzk.config.jaas import Login

log = logging.getLogger(__name__)

SCHEME: Final = "sasl"
SERVICE: Final = "zookeeper"
HOST: Final = "zk-sasl-md5"
"""What clients name as the server with DIGEST-MD5, whatever it is called."""


class ClientLogins:
    """Begins an exchange for each client, and says what it was good for."""

    def __init__(self, config: SaslConfig, login: Login, rng: Random) -> None:
        """Take in where clients log in. ``rng`` is the system's. Raises ConfigError for wrong
        rules."""
        self._config = config
        self._login = login
        self._rng = rng
        self._rules = NameRules(config.auth_to_local, config.default_realm)

    @property
    def allows_failed_clients(self) -> bool:
        """Whether a client may stay whose login fails."""
        return self._config.allows_failed_clients

    def begin(self, kerberos: Kerberos | None = None) -> Mechanism:
        """Return the server's side of a new exchange. Without Kerberos it must not need it."""
        if self._login.is_kerberos:
            assert kerberos is not None, "a world without Kerberos"
            return GssapiServer(partial(kerberos.accept, self._login), self.authorize)
        return DigestMd5Server(SERVICE, HOST, self._password_of, self.authorize, self._rng)

    def ids(self, authorization_id: str) -> tuple[AuthId, ...]:
        """Return the identities of somebody who has logged in."""
        own = AuthId(SCHEME, authorization_id)
        if authorization_id and authorization_id in self._config.super_users:
            return (own, AuthId("super", ""))
        return (own,)

    def _password_of(self, user: str) -> str | None:
        password = self._login.users.get(user)
        if password is not None and user == SUPER and self._config.super_password is not None:
            return self._config.super_password
        return password

    def authorize(self, proved: str, asked: str) -> str:
        """Return the id of who has proved to be ``proved``; what he asks to be called counts for
        nothing. Raises SaslError for what is no name."""
        name = KerberosName.parse(proved)
        if name is None:
            raise SaslError(f"{proved!r} is no name of Kerberos")
        short = self._rules.short_name(name)
        if short is None:
            log.warning(
                "no rule of security.auth_to_local makes a name of %s", proved, extra=about(proved)
            )
            return proved
        if name.instance is not None and not self._config.removes_host:
            short += f"/{name.instance}"
        if name.realm is not None and not self._config.removes_realm:
            short += f"@{name.realm}"
        return short


class SaslProvider:
    """The scheme ``sasl``: its ids come from logins, not from auth packets."""

    scheme: Final = SCHEME
    is_authenticated: Final = True

    def __init__(self, config: SaslConfig | None) -> None:
        self._any_user = (config or DEFAULTS).any_user

    def authenticate(self, address: str, auth: bytes | None) -> tuple[AuthId, ...] | None:
        return None

    def is_valid(self, acl_id: str) -> bool:
        return KerberosName.parse(acl_id) is not None

    def matches(self, own_id: str, acl_id: str) -> bool:
        return own_id in (SUPER, acl_id) or acl_id == self._any_user

    def user_name(self, own_id: str) -> str:
        return own_id
