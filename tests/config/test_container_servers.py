"""Lists of servers in an environment, and which of them this one is."""

from __future__ import annotations

import pytest

from pyzk.errors import ConfigError
from tests.config.environments import FOUR, OPEN, asked, config, given, refusal, values


def test_the_official_server_list() -> None:
    made = asked(ZOO_MY_ID="4", ZOO_SERVERS=FOUR)
    assert given(made) == {
        "server.1": "zk1:2888:3888;2181",
        "server.2": "zk2:2888:3888;2181",
        "server.3": "zk3:2888:3888;2181",
        "server.4": "zk4:2888:3888:observer;2181",
    }
    assert (made.my_id, made.my_id_label) == (4, "ZOO_MY_ID")
    whole = config(made, b"4")
    assert whole.ensemble is not None
    assert (whole.ensemble.my_sid, whole.ensemble.is_observer) == (4, True)
    assert whole.client_port == 2181
    assert whole.warnings == ()


def test_groups_and_weights_are_lines_too() -> None:
    made = asked(ZOO_SERVERS=f"{FOUR} group.1=1:2:3 weight.1=2")
    assert values(made)["group.1"] == "1:2:3"
    assert values(made)["weight.1"] == "2"


def test_server_lines_without_a_client_port_get_the_usual_one() -> None:
    lines = "server.1=a:2888:3888 server.2=b:2888:3888 server.3=c:2888:3888"
    assert values(asked(ZOO_SERVERS=lines))["clientPort"] == "2181"
    secure = asked(ZOO_SERVERS=lines, ZOO_CFG_EXTRA="secureClientPort=2281")
    assert "clientPort" not in values(secure)
    assert values(asked(ZOO_SERVERS=lines, ZOO_PORT="2182"))["clientPort"] == "2182"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a:2888:3888,b:2888:3888", ["server.1=a:2888:3888;2190", "server.2=b:2888:3888;2190"]),
        ("a:1:2; b:1:2 c:1:2:observer", [
            "server.1=a:1:2;2190", "server.2=b:1:2;2190", "server.3=c:1:2:observer;2190",
        ]),
        ("a:1:2::4 b:1:2:observer::7", ["server.4=a:1:2;2190", "server.7=b:1:2:observer;2190"]),
        ("[fd00::1]:1:2::1,[fd00::2]:1:2::2", [
            "server.1=[fd00::1]:1:2;2190", "server.2=[fd00::2]:1:2;2190",
        ]),
    ],
)  # fmt: skip
def test_bitnamis_server_list(text: str, lines: list[str]) -> None:
    made = asked(OPEN, ZOO_SERVERS=text, ZOO_PORT_NUMBER="2190")
    found = [f"{name}={value}" for name, value in values(made).items() if "server." in name]
    assert [line for line in found if line.startswith("server.")] == lines


def test_bitnamis_list_of_one_is_a_lone_server() -> None:
    made = asked(OPEN, ZOO_SERVERS="zookeeper:2888:3888::1")
    assert not any(name.startswith("server.") for name in values(made))
    assert values(made)["clientPort"] == "2181"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("server.1=a:1:2;3 b:1:2", "b:1:2 is no server line"),
        ("server.1=a:1:2;3 tickTime=5", "tickTime=… is no server line"),
        ("server.1=a:1:2;3 server.1=b:1:2;3", "server.1 is there twice"),
        ("a:1:2::1 b:1:2::1", "server.1 is there twice"),
        ("a:1:2::1 b:1:2", "b:1:2 is not understood beside addresses with ::N: the two forms must"),
        ("a:1:2,b:1:2::5", "a:1:2 is not understood beside addresses with ::N: the two forms must"),
        ("a:1:2::1 b:1", "b:1 is not understood; expected"),
        ("a:1", "a:1 is not understood"),
        ("zk1", "zk1 is not understood"),
    ],
)
def test_a_server_list_that_is_not_understood(text: str, part: str) -> None:
    error = refusal(ZOO_SERVERS=text)
    assert error.key == "ZOO_SERVERS"
    assert part in str(error)


def test_what_is_wrong_with_a_server_line_is_said_of_the_variable() -> None:
    made = asked(ZOO_SERVERS="server.1=a:1:2;3 server.2=b:x:2;3")
    with pytest.raises(ConfigError, match=r"^ZOO_SERVERS: server\.2: "):
        config(made)
    two = config(asked(ZOO_SERVERS="server.1=a:1:2;3 server.2=b:1:2;3"))
    assert [line for line, _ in two.warnings] == [None]
    assert "two participants" in two.warnings[0][1]


def test_a_lone_member_of_an_ensemble() -> None:
    made = asked(ZOO_STANDALONE_ENABLED="false", ZOO_MY_ID="2")
    assert values(made)["server.2"] == "localhost:2888:3888;2181"
    assert config(made, b"2").ensemble is not None


@pytest.mark.parametrize(
    ("host_name", "my_id"), [("zk-0", 1), ("zk-0.zk.ns.svc.cluster.local", 1), ("my-zk-12", 13)]
)
def test_the_id_of_a_pod(host_name: str, my_id: int) -> None:
    made = asked(host_name=host_name, PYZK_FIRST_ID="1")
    assert (made.my_id, made.my_id_label) == (my_id, "PYZK_FIRST_ID")


def test_a_host_name_without_a_number_has_no_id() -> None:
    assert "PYZK_FIRST_ID: the host name 'box' does not end in" in str(refusal(PYZK_FIRST_ID="1"))


def test_two_variables_must_agree_on_the_id() -> None:
    assert asked(ZOO_MY_ID="2", ZOO_SERVER_ID="2").my_id == 2
    error = refusal(ZOO_MY_ID="2", ZOO_SERVER_ID="3")
    assert str(error) == "ZOO_SERVER_ID: makes this server 3, and ZOO_MY_ID makes it 2"
    with pytest.raises(ConfigError, match="PYZK_FIRST_ID: makes this server 4, and ZOO_MY_ID"):
        asked(host_name="zk-3", ZOO_MY_ID="2", PYZK_FIRST_ID="1")


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "٣"])
def test_an_id_is_a_number(value: str) -> None:
    assert refusal(ZOO_MY_ID=value).key == "ZOO_MY_ID"


def test_two_variables_must_agree_on_a_key() -> None:
    error = refusal(ZOO_AUTOPURGE_PURGEINTERVAL="1", ZOO_AUTOPURGE_INTERVAL="2")
    assert "they differ" in str(error)
    made = asked(ZOO_AUTOPURGE_PURGEINTERVAL="1", ZOO_AUTOPURGE_INTERVAL="1")
    assert values(made)["autopurge.purgeInterval"] == "1"


def test_later_configurations_are_kept_beside_the_data() -> None:
    made = asked(ZOO_SERVERS=FOUR, ZOO_CFG_EXTRA="reconfigEnabled=true")
    assert made.is_reconfigurable
    whole = config(made)
    assert whole.ensemble is not None
    assert whole.ensemble.config_in_data_dir
    assert whole.warnings == ()
    assert not asked(ZOO_SERVERS=FOUR).is_reconfigurable


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({}, "127.0.0.1:2181"),
        ({"ZOO_PORT_NUMBER": "2190"}, "127.0.0.1:2190"),
        ({"ZOO_SERVERS": FOUR}, "127.0.0.1:2181"),
        ({"ZOO_SERVERS": "server.1=a:1:2;3 server.2=b:1:2;127.0.0.7:9"}, "127.0.0.7:9"),
        ({"ZOO_SERVERS": "server.1=a:1:2;3 server.2=b:1:2;0.0.0.0:9"}, "127.0.0.1:9"),
        ({"ZOO_SERVERS": "server.1=a:1:2;3 server.2=b:1:2;[fd00::1]:9"}, "[fd00::1]:9"),
        ({"ZOO_CFG_EXTRA": "clientPortAddress=10.0.0.1"}, "10.0.0.1:2181"),
        ({"ZOO_TLS_CLIENT_ENABLE": "yes"}, "127.0.0.1:3181"),
    ],
)
def test_where_the_health_check_asks(variables: dict[str, str], place: str) -> None:
    assert asked(variables).client_place(2) == place
