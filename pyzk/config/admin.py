"""What the `admin.*` keys ask for: one frozen `AdminConfig`.

Pure. The rows are in `pyzk/config/keys.py`; here their values become one record, and what concerns
more than one of them is checked. The server itself is `pyzk/runtime/admin_port.py`.
ZooKeeper: AdminServerFactory, JettyAdminServer, RateLimiter in CommandBase
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pyzk.config.keys import ADMIN
from pyzk.config.security_keys import X_FORWARDED_FOR

if TYPE_CHECKING:
    from pyzk.config.settings import Setting, Settings
    from pyzk.config.tls import Say, TlsConfig

EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - the original's default
DEFAULT_PORT: Final = 8080


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdminConfig:
    """What the admin server is told; the defaults are ZooKeeper's."""

    is_required: bool = False
    """Whether admin.enableServer=true is written out: then there is no start without what the
    admin server needs to run."""
    server_address: str = EVERYWHERE
    """The host or address to listen on; 0.0.0.0 stands for all addresses of the machine."""
    server_port: int = DEFAULT_PORT
    """The port; 0 stands for any free port."""
    idle_timeout_ms: int = 30_000
    """After so long without a byte a connection is closed; 0 or less means never."""
    command_url: str = "/commands"
    """The path below which the commands are; it begins with a slash and ends with none."""
    http_version: int = 11
    port_unification: bool = False
    """Whether the port takes TLS beside plaintext."""
    force_https: bool = False
    """Whether the port takes TLS only."""
    need_client_auth: bool = False
    """Whether who connects with TLS must show a certificate."""
    snapshot_enabled: bool = True
    restore_enabled: bool = True
    rate_limiter_interval_ms: int = 300_000
    use_x_forwarded_for: bool = False
    """Whether the ip id of who asks is what the header X-Forwarded-For says."""
    cert_reload: bool = False
    """Whether changed files of keys and certificates are read again."""
    tls: TlsConfig | None = None
    """What TLS on the port is told, by the keys of members; None if it takes none."""

    @property
    def host(self) -> str | None:
        """Return the host to listen on; None stands for all addresses of the machine."""
        return None if self.server_address in (EVERYWHERE, "") else self.server_address

    @property
    def takes_tls(self) -> bool:
        """Return whether the port takes TLS, alone or beside plaintext."""
        return self.force_https or self.port_unification


_FIELDS: Final = {
    "admin.serverAddress": "server_address",
    "admin.serverPort": "server_port",
    "admin.idleTimeout": "idle_timeout_ms",
    "admin.commandURL": "command_url",
    "admin.httpVersion": "http_version",
    "admin.portUnification": "port_unification",
    "admin.forceHttps": "force_https",
    "admin.needClientAuth": "need_client_auth",
    "admin.snapshot.enabled": "snapshot_enabled",
    "admin.restore.enabled": "restore_enabled",
    "admin.rateLimiterIntervalInMS": "rate_limiter_interval_ms",
    "IPAuthenticationProvider.usexforwardedfor": "use_x_forwarded_for",
}
"""Key -> field of AdminConfig."""
_SWITCH: Final = "admin.enableServer"


def read_admin(
    settings: Settings, values: Mapping[str, Any], warn: Say, note: Say
) -> AdminConfig | None:
    """Return what the admin server is told; None if there is none, and then a note names each key
    that somebody has given for nothing. ``values`` are those of a ServerConfig so far. Raises
    ConfigError."""
    found: dict[str, Any] = {}
    given: dict[str, Setting] = {}
    is_enabled: object = None
    for key in (*ADMIN, X_FORWARDED_FOR):
        setting = settings.find(key)
        if setting is None:
            continue
        value = settings.read(key, setting, key.kind)
        if key.name == _SWITCH:
            is_enabled = value
        else:
            found[_FIELDS[key.name]] = value
        given[key.name] = setting
    if is_enabled is False:
        for name, setting in given.items():
            if name != _SWITCH and setting.label:
                note(setting, "has no effect with admin.enableServer=false")
        return None
    config = AdminConfig(is_required=is_enabled is True, **found)
    if not config.takes_tls:
        if config.need_client_auth:
            note(
                given["admin.needClientAuth"],
                "has no effect without admin.forceHttps or admin.portUnification",
            )
        return config
    reload = settings.known.get("sslQuorumReloadCertFiles")
    reloads = reload is not None and reload.value.lower() == "true"
    return dataclasses.replace(
        config,
        cert_reload=reloads or values.get("client_cert_reload", False),
        tls=_tls(config, settings, values, warn),
    )


def _tls(
    config: AdminConfig, settings: Settings, values: Mapping[str, Any], warn: Say
) -> TlsConfig:
    """Return what TLS on the port is told: by the keys ssl.quorum.*, as in the original. Raises
    ConfigError."""
    from pyzk.config.security_keys import QUORUM_TLS
    from pyzk.config.tls import NEED, NONE, TlsConfig, TlsReader

    why = "admin.forceHttps=true" if config.force_https else "admin.portUnification=true"
    fips_mode = values.get("fips_mode", TlsConfig.fips_mode)
    told = TlsReader(settings, QUORUM_TLS, warn).config(why, fips_mode=fips_mode)
    # Who asks by HTTP is no member: nobody has a certificate for the host of a browser.
    return dataclasses.replace(
        told,
        client_auth=NEED if config.need_client_auth else NONE,
        client_hostname_verification=False,
    )


def effective_values(config: AdminConfig | None) -> list[tuple[str, object]]:
    """Return (key, value) of what the admin server is told, in the order of the table."""
    if config is None:
        return [(_SWITCH, False)]
    switch: list[tuple[str, object]] = [(_SWITCH, True)]
    return switch + [(name, getattr(config, field)) for name, field in _FIELDS.items()]


def usual_values() -> list[tuple[str, object]]:
    """Return (key, value) of what the admin server is told where nobody says anything."""
    return effective_values(AdminConfig())
