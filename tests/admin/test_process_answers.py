"""What the admin server tells of the process: environment, properties, configuration."""

from __future__ import annotations

import pytest

from pyzk.admin.process_answers import is_secret
from pyzk.config.server import ServerConfig, parse_config
from pyzk.config.settings import Property
from pyzk.server.fourletter import ENVIRONMENT_KEYS, VERSION
from pyzk.server.host import Host
from tests.admin.asking import body_of
from tests.world import World

SECRET = "super:lK75jTNcA+U9vtVEw5vB51mj/w4="


def world_of(text: bytes, *properties: Property, path: str | None = "/zoo.cfg") -> World:
    return World(parse_config(text, properties, path=path))


def test_the_environment_has_the_names_of_envi() -> None:
    world = World()
    world.peer.run_on(Host(environment=lambda: {"os.name": "Linux", "host.name": "h"}))
    body = body_of(world.peer, "envi")
    assert list(body) == [*ENVIRONMENT_KEYS, "command", "error"]
    assert (body["zookeeper.version"], body["os.name"]) == (VERSION, "Linux")
    assert body["java.vendor"] == "<NA>"


def test_the_properties_are_those_given_and_those_that_the_file_makes() -> None:
    text = b"dataDir=/d\nclientPort=2181\nadmin.serverPort=1\nnosuch=x\n"
    world = world_of(text, Property("jute.maxbuffer", "9", "-D"), Property("a.b", "", "-D"))
    names = ("host.name", "java.compiler", "os.name", "user.dir", "os.memory.free")
    world.peer.run_on(Host(environment=lambda: dict.fromkeys(names, "v")))
    body = body_of(world.peer, "sysp")
    assert list(body.items()) == [
        ("a.b", ""),
        ("file.encoding", "UTF-8"),
        ("file.separator", "/"),
        ("jute.maxbuffer", "9"),
        ("line.separator", "\n"),
        ("os.name", "v"),
        ("path.separator", ":"),
        ("user.dir", "v"),
        ("zookeeper.admin.serverPort", "1"),
        ("zookeeper.nosuch", "x"),
        ("command", "system_properties"),
        ("error", None),
    ]


def test_the_lines_of_members_are_properties_too_and_the_file_that_has_them_is_not() -> None:
    text = b"dataDir=/d\nclientPort=2181\nserver.1=h:1:2;2181\n"
    assert "zookeeper.server.1" in body_of(world_of(text).peer, "sysp")
    text = b"dataDir=/d\nclientPort=2181\ndynamicConfigFile=/d/dynamic\n"
    files = {"/d/dynamic": b"server.1=h:1:2;2181"}
    config = parse_config(text, read_file=files.get, path="/zoo.cfg")
    assert not [name for name, _ in config.properties]


@pytest.mark.parametrize(
    ("name", "is_hidden"),
    [
        ("zookeeper.DigestAuthenticationProvider.superDigest", True),
        ("DigestAuthenticationProvider.superDigest", True),
        ("ssl.keyStore.password", True),
        ("zookeeper.ssl.quorum.trustStore.password", True),
        ("zookeeper.SASLAuthenticationProvider.superPassword", True),
        ("javax.net.ssl.keyStorePassword", True),
        ("my.passwd", True),
        ("my.secret", True),
        ("my.apiToken", True),
        ("my.api-key", True),
        ("MY_API_KEY", True),
        ("my.apikey", True),
        ("aws.credentials", True),
        ("my.credential", True),
        ("my.passphrase", True),
        ("my.privateKey", True),
        ("my.secrets", True),
        ("my.tokens", True),
        ("ssl.trustStore.passwor", True),
        ("zookeeper.ssl.quorum.keystore.pasword", True),
        ("SASLAuthenticationProvider.superPasswort", True),
        ("ssl.keyStore.passwordPath", False),
        ("zookeeper.ssl.keyStore.location", False),
        ("secretary", False),
        ("zookeeper.connection_throttle_tokens", False),
        ("connection_throttle_tokens", False),
    ],
)
def test_what_is_secret_is_known_by_its_name(name: str, is_hidden: bool) -> None:
    assert is_secret(name) is is_hidden


def test_no_secret_is_shown() -> None:
    text = (
        b"dataDir=/d\nclientPort=2181\n"
        + f"DigestAuthenticationProvider.superDigest={SECRET}\n".encode()
        + b"ssl.keyStore.password = hush \\\n   hush\nssl.trustStore.password=\n"
        + f"#DigestAuthenticationProvider.superDigest={SECRET}\n".encode()
        + b" ! ssl.keyStore.password: hush1\n# was -Dzookeeper.my.apiToken=hush2\n"
        + b"my.apiToken=hush3\nssl.keyStore.pasword=hush4\nssl .keyStore .password=hush5\n"
        + b"ssl.keyStore.location=/k.pem ssl.keyStore.password=hush6\n"
    )
    world = world_of(text, Property("my.secret", "hush", "-Dmy.secret"))
    for command in ("system_properties", "initial_configuration", "environment"):
        shown = str(body_of(world.peer, command))
        assert "hush" not in shown
        assert SECRET not in shown
    body = body_of(world.peer, "sysp")
    assert body["zookeeper.ssl.keyStore.password"] == "(hidden)"
    assert body["zookeeper.ssl.trustStore.password"] == ""
    assert body["zookeeper.my.apiToken"] == "(hidden)"


def test_the_initial_configuration_is_the_text_of_the_file() -> None:
    text = "# ä\r\ndataDir=/d\nclientPort=2181\n".encode()
    assert body_of(world_of(text).peer, "icfg")["initial_configuration"] == text.decode()
    broken = b"dataDir=/d\nclientPort=2181\n#\xff"
    shown = body_of(world_of(broken).peer, "icfg")["initial_configuration"]
    assert shown == "dataDir=/d\nclientPort=2181\n#\ufffd"


def test_without_a_file_there_is_no_initial_configuration() -> None:
    assert body_of(World().peer, "icfg")["initial_configuration"] is None
    world = world_of(b"dataDir=/d\nclientPort=2181\n", path=None)
    assert body_of(world.peer, "icfg")["initial_configuration"] is None


def test_what_was_given_does_not_make_a_configuration_another_one() -> None:
    one = parse_config(b"dataDir=/d\nclientPort=1\n", path="/z")
    assert one == parse_config(b"dataDir = /d\nclientPort=1\n", path="/z")
    assert "file_text" not in repr(one)
    assert ServerConfig().file_text is None
