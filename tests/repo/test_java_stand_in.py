"""scripts/java: which java command lines become a server of this project, and which are refused."""

from __future__ import annotations

import pytest

from scripts.java_stand_in import SERVERS, RefusedError, main, translate

QUORUM_PEER_MAIN, ZOOKEEPER_SERVER_MAIN = SERVERS


def test_what_kazoo_starts_becomes_pyzk_serve() -> None:
    words = [
        *("-cp", "/usr/share/java/zookeeper.jar:/usr/share/java/log4j.jar"),
        *("-Dfile.encoding=UTF-8", "-Dreadonlymode.enabled=true"),
        *("-Dlog4j.configuration=file:/tmp/log4j.properties", "-Djava.awt.headless=true"),
        "-Dzookeeper.DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=",
        *(QUORUM_PEER_MAIN, "/tmp/zoo.cfg"),
    ]
    assert translate(words) == [
        "serve",
        "-Dreadonlymode.enabled=true",
        "-Dzookeeper.DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=",
        "/tmp/zoo.cfg",
    ]


def test_what_is_the_virtual_machines_own_is_left_out() -> None:
    words = ["-Xmx1g", "-XX:+UseSerialGC", "-ea", "-server", "--add-opens", "java.base/java=ALL"]
    machine = ["-Dcom.sun.management.jmxremote", "-Dlogback.configurationFile=x", "-Dsun.net=1"]
    assert translate([*words, *machine, QUORUM_PEER_MAIN, "zoo.cfg"]) == ["serve", "zoo.cfg"]


def test_a_standalone_server_by_port_and_directory() -> None:
    words = [ZOOKEEPER_SERVER_MAIN, "2181", "/data", "2000"]
    assert translate(words) == ["serve", "2181", "/data", "2000"]


def test_where_logins_and_kerberos_are_reaches_pyzk() -> None:
    words = ["-Djava.security.auth.login.config=/jaas.conf", "-Djava.security.krb5.conf=/krb5.conf"]
    assert translate([*words, QUORUM_PEER_MAIN, "zoo.cfg"]) == ["serve", *words, "zoo.cfg"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "zoo.cfg"),
        (["-version"], "-version"),
        (["-jar", "server.jar"], "-jar"),
        (["@arguments"], "@arguments"),
        (["-cp"], "-cp needs a value"),
        (["-cp", "x", "org.apache.zookeeper.ZooKeeperMain"], "org.apache.zookeeper.ZooKeeperMain"),
        ([QUORUM_PEER_MAIN], "needs a zoo.cfg"),
    ],
)
def test_everything_else_is_refused_by_name(words: list[str], named: str) -> None:
    with pytest.raises(RefusedError) as refused:
        translate(words)
    assert named in str(refused.value)


def test_a_refusal_is_one_line_and_the_status_of_a_failed_java(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["-jar", "x"])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("java: -jar")
    assert said.count("\n") == 1
