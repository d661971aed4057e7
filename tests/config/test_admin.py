"""What the keys `admin.*` ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyzk.cli.sources import read_config
from pyzk.config.admin import AdminConfig
from pyzk.config.server import Property, ServerConfig, effective_values, parse_config
from pyzk.errors import ConfigError

BASE = "dataDir=/d\nclientPort=2181\n"
KEYS = "ssl.quorum.keyStore.location=/k.p12\nssl.quorum.trustStore.location=/t.p12\n"


def parse(text: str, *properties: tuple[str, str]) -> ServerConfig:
    given = [Property(name, value, f"-D{name}") for name, value in properties]
    return parse_config((BASE + text).encode(), given)


def admin(text: str, *properties: tuple[str, str]) -> AdminConfig:
    found = parse(text, *properties).admin
    assert found is not None
    return found


def test_the_defaults_are_those_of_the_original() -> None:
    config = admin("")
    assert config == AdminConfig()
    assert (config.server_address, config.server_port) == ("0.0.0.0", 8080)
    assert config.host is None
    assert (config.idle_timeout_ms, config.command_url) == (30_000, "/commands")
    assert config.snapshot_enabled
    assert config.restore_enabled
    assert config.rate_limiter_interval_ms == 300_000
    assert not config.takes_tls
    assert not config.is_required


def test_all_of_them() -> None:
    config = admin(
        "admin.enableServer=TRUE\nadmin.serverAddress=::1\nadmin.serverPort=0x10\n"
        "admin.idleTimeout=0\nadmin.commandURL=/a/b/\nadmin.httpVersion=10\n"
        "admin.snapshot.enabled=false\nadmin.restore.enabled=false\n"
        "admin.rateLimiterIntervalInMS=5\nIPAuthenticationProvider.usexforwardedfor=true\n"
    )
    assert config == AdminConfig(
        is_required=True,
        server_address="::1",
        server_port=16,
        idle_timeout_ms=0,
        command_url="/a/b",
        http_version=10,
        snapshot_enabled=False,
        restore_enabled=False,
        rate_limiter_interval_ms=5,
        use_x_forwarded_for=True,
    )


def test_they_are_properties_too_and_the_file_wins() -> None:
    names = ("zookeeper.admin.serverPort", "1"), ("zookeeper.admin.idleTimeout", "2")
    config = admin("admin.serverPort=3\n", *names)
    assert (config.server_port, config.idle_timeout_ms) == (3, 2)


def test_without_a_server_each_of_the_others_is_a_note() -> None:
    config = parse("admin.enableServer=false\nadmin.serverPort=1\nadmin.forceHttps=true\n")
    assert config.admin is None
    assert config.warnings == ()
    assert config.notes == (
        (4, "admin.serverPort: has no effect with admin.enableServer=false"),
        (5, "admin.forceHttps: has no effect with admin.enableServer=false"),
    )


def test_no_note_is_made_about_a_default_that_nobody_gave() -> None:
    off = [Property("admin.enableServer", "false", "--no-admin")]
    assert read_config(None, (), off).notes == ()
    given = [Property("zookeeper.admin.serverAddress", "::1", "-Da")]
    assert read_config(None, given, off).notes == (
        (None, "-Da: has no effect with admin.enableServer=false"),
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("admin.enableServer=no", "line 3: admin.enableServer: 'no' is not true or false"),
        ("admin.serverPort=x", "line 3: admin.serverPort: 'x' is not an integer from 0 to 65535"),
        ("admin.serverAddress=", "line 3: admin.serverAddress: empty; expected a host name"),
        ("admin.idleTimeout=5s", "admin.idleTimeout: '5s' is not an integer (milliseconds)"),
        ("admin.commandURL=commands", "'commands' is not a path that begins with /"),
        ("admin.commandURL=/", "'/' is not a path that begins with /"),
        ("admin.commandURL=/{x}", "'/{x}' is not a path that begins with /"),
        ("admin.httpVersion=20", "'20' is not 10 or 11, for HTTP 1.0 and 1.1"),
        ("admin.forceHttps=1", "'1' is not true or false"),
    ],
)
def test_a_wrong_value_is_refused(line: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(line)
    assert message in str(caught.value)


# ---- TLS


@pytest.mark.parametrize("key", ["admin.forceHttps", "admin.portUnification"])
def test_tls_is_told_by_the_keys_of_members(key: str) -> None:
    config = admin(f"{KEYS}{key}=true\n")
    assert config.takes_tls
    assert config.tls is not None
    assert config.tls.prefix == "ssl.quorum."
    assert (config.tls.key_store, config.tls.trust_store) == ("/k.p12", "/t.p12")
    assert config.tls.client_auth == "none"
    assert not config.tls.verifies_clients
    needed = admin(f"{KEYS}{key}=true\nadmin.needClientAuth=true\n")
    assert needed.tls is not None
    assert needed.tls.client_auth == "need"


def test_tls_needs_keys() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("admin.forceHttps=true\n")
    assert str(caught.value).startswith(
        "ssl.quorum.keyStore.location: is not set, and admin.forceHttps=true needs it"
    )


def test_a_certificate_that_nobody_asks_for_is_a_note() -> None:
    assert parse("admin.needClientAuth=true\n").notes == (
        (
            3,
            "admin.needClientAuth: has no effect without admin.forceHttps or admin.portUnification",
        ),
    )


def test_the_values_are_shown() -> None:
    values = dict(effective_values(parse("admin.serverPort=9\n")))
    assert values["admin.serverPort"] == 9
    assert values["admin.enableServer"] is True
    assert dict(effective_values(ServerConfig()))["admin.enableServer"] is False


def test_a_member_has_one_too(tmp_path: Path) -> None:
    text = (
        f"dataDir={tmp_path}\ninitLimit=5\nsyncLimit=5\nadmin.serverPort=7\n"
        "server.1=a:1:2;3\nserver.2=b:1:2;3\n"
    )
    config = parse_config(text.encode(), read_file=lambda _: b"1\n")
    assert config.ensemble is not None
    assert config.admin == AdminConfig(server_port=7)
