"""Environments of the two images to settings: defaults, what wins, what is refused."""

from __future__ import annotations

import pytest

from pyzk.config.container import (
    OFFICIAL_DEFAULTS,
    config_paths,
    data_dir_of,
)
from pyzk.config.container_variables import VARIABLES, Image, unknown_variables
from tests.config.environments import FOUR, OPEN, asked, config, given, refusal, values

# ---- defaults


def test_an_empty_environment_is_a_lone_server_with_the_official_defaults() -> None:
    made = asked()
    assert values(made) == OFFICIAL_DEFAULTS | {"clientPort": "2181"}
    assert (made.my_id, made.my_id_label, made.log_level, made.log_format) == (
        1,
        "",
        "info",
        "text",
    )
    assert (made.login, made.properties, made.warnings) == ("", (), ())
    whole = config(made)
    assert whole.ensemble is None
    assert (whole.client_port, whole.client_port_address, whole.warnings) == (2181, None, ())
    assert (whole.data_dir, whole.data_log_dir) == ("/data", "/datalog")


@pytest.mark.parametrize(
    "name", ["ALLOW_ANONYMOUS_LOGIN", "ALLOW_EMPTY_PASSWORD", "ZOO_SERVER_ID", "ZOO_ENABLE_AUTH"]
)
def test_an_environment_for_bitnamis_image_has_its_defaults(name: str) -> None:
    users = {"ZOO_SERVER_USERS": "a", "ZOO_SERVER_PASSWORDS": "b"}
    made = asked({name: "1", **(users if name == "ZOO_ENABLE_AUTH" else {})})
    assert made.is_bitnami
    found = values(made)
    assert found["initLimit"] == "10"
    assert found["syncLimit"] == "5"
    assert found["dataDir"] == "/bitnami/zookeeper/data"
    assert "dataLogDir" not in found
    assert found["4lw.commands.whitelist"] == "srvr, mntr"
    assert found["admin.enableServer"] == "false"
    assert config(made).four_letter_whitelist == ("mntr", "srvr")


def test_an_empty_variable_is_none() -> None:
    assert asked(ZOO_TICK_TIME="", ZOO_SERVERS="", ALLOW_ANONYMOUS_LOGIN="").options == (
        asked().options
    )


# ---- anything else


def test_extra_lines() -> None:
    made = asked(ZOO_CFG_EXTRA="snapCount=5 tickTime=3000\nleader.nodelay=x=y", ZOO_TICK_TIME="1")
    assert given(made) == {
        "clientPort": "2181", "snapCount": "5", "tickTime": "3000", "leader.nodelay": "x=y",
    }  # fmt: skip
    assert "ZOO_CFG_EXTRA: tickTime gives tickTime; ZOO_TICK_TIME has no effect" in made.notes


def test_a_blank_in_extra_lines_is_named() -> None:
    made = asked(ZOO_CFG_EXTRA="4lw.commands.whitelist=srvr, mntr")
    assert values(made)["4lw.commands.whitelist"] == "srvr,"
    assert made.warnings == (
        "ZOO_CFG_EXTRA: a word of it has no '=', ignored: mntr; it is split at blanks, so no value"
        " can have one",
    )


def test_keys_in_variables_of_their_own() -> None:
    made = asked(ZOO_CFG_snapshot_trust_empty="true", ZOO_CFG_request_throttle_max_requests="5")
    found = values(made)
    assert found["snapshot.trust.empty"] == "true"
    assert found["request_throttle_max_requests"] == "5"
    assert config(made).snapshot_trust_empty


def test_the_flags_of_a_jvm() -> None:
    flags = "-Xmx1g -Dzookeeper.snapCount=7 -Djute.maxbuffer=4194304 '-Da=b c' -server"
    made = asked(JVMFLAGS=flags, SERVER_JVMFLAGS="-Djute.maxbuffer=1 -Dx")
    found = {each.name: each.value for each in made.properties}
    assert found == {
        "zookeeper.snapCount": "7", "jute.maxbuffer": "4194304", "a": "b c", "x": "",
    }  # fmt: skip
    assert [note for note in made.notes if "JVMFLAGS" in note] == [
        "JVMFLAGS: -Xmx1g has no effect: there is no JVM",
        "JVMFLAGS: -server has no effect: there is no JVM",
    ]
    assert config(made).jute_max_buffer == 4194304


def test_an_agent_of_a_jvm_is_a_warning() -> None:
    made = asked(JVMFLAGS="-javaagent:/jmx.jar=8080:/config.yml")
    assert len(made.warnings) == 1
    assert "-javaagent has no effect" in made.warnings[0]


def test_an_open_quotation_mark() -> None:
    assert refusal(JVMFLAGS="-Da='b").key == "JVMFLAGS"


@pytest.mark.parametrize(
    ("variables", "level"),
    [
        ({"ZOO_LOG_LEVEL": "DEBUG"}, "debug"),
        ({"ZOO_LOG_LEVEL": "WARN"}, "warning"),
        ({"ZOO_LOG_LEVEL": "OFF"}, "error"),
        ({"ZOO_LOG4J_PROP": "ERROR,CONSOLE"}, "error"),
    ],
)
def test_the_level_of_the_log(variables: dict[str, str], level: str) -> None:
    assert asked(variables).log_level == level


def test_the_log() -> None:
    assert asked(PYZK_LOG_FORMAT="json").log_format == "json"
    assert refusal(PYZK_LOG_FORMAT="xml").key == "PYZK_LOG_FORMAT"
    assert refusal(ZOO_LOG_LEVEL="loud").key == "ZOO_LOG_LEVEL"


def test_what_has_no_effect_is_a_note() -> None:
    made = asked(ZOO_HEAP_SIZE="1024", ZOO_CLIENT_PASSWORD="geheim")
    assert "ZOO_HEAP_SIZE: has no effect: there is no JVM" in made.notes
    assert "geheim" not in repr((made.notes, made.warnings))


def test_unknown_variables_are_named() -> None:
    made = asked(ZOO_TICKTIME="5", ZOO_FOO="1", HOME="/")
    assert made.warnings == (
        "ZOO_FOO: unknown, ignored",
        "ZOO_TICKTIME: unknown, ignored; did you mean ZOO_TICK_TIME?",
    )


def test_variables_that_an_orchestrator_makes_for_a_service_are_none() -> None:
    environment = {
        "ZOO_SERVICE_HOST": "10.0.0.1",
        "ZOO_SERVICE_PORT": "2181",
        "ZOO_SERVICE_PORT_CLIENT": "2181",
        "ZOO_PORT": "tcp://10.0.0.1:2181",
        "ZOO_PORT_2181_TCP": "tcp://10.0.0.1:2181",
        "ZOO_PORT_2181_TCP_ADDR": "10.0.0.1",
        "ZOO_HEADLESS_SERVICE_HOST": "None",
    }
    assert unknown_variables(environment) == []
    assert asked(environment).options == asked().options


# ---- seen from outside


def test_the_admin_server_of_bitnamis_image() -> None:
    without = asked(OPEN)
    assert "admin.serverAddress" not in values(without)
    assert config(without).admin is None
    assert not any("admin" in text for _, text in config(without).notes)
    found = config(asked(OPEN, ZOO_ENABLE_ADMIN_SERVER="yes")).admin
    assert found is not None
    assert (found.server_address, found.server_port) == ("127.0.0.1", 8080)
    variables = {"ZOO_ADMIN_SERVER_ADDRESS": "127.0.0.9", "ZOO_ADMIN_SERVER_PORT_NUMBER": "81"}
    found = config(asked(OPEN | variables, ZOO_ENABLE_ADMIN_SERVER="yes")).admin
    assert found is not None
    assert (found.server_address, found.server_port) == ("127.0.0.9", 81)


def test_metrics_on_a_port_of_their_own() -> None:
    made = asked(ZOO_ENABLE_PROMETHEUS_METRICS="yes", ZOO_PROMETHEUS_METRICS_PORT_NUMBER="7070")
    found = values(made)
    assert found["metricsProvider.httpPort"] == "7070"
    assert found["metricsProvider.className"].endswith(".PrometheusMetricsProvider")
    assert not any("metricsProvider" in name for name in values(asked()))


# ---- a zoo.cfg that is there


def test_where_a_zoo_cfg_may_lie() -> None:
    assert config_paths({}) == ("/conf/zoo.cfg",)
    assert config_paths({"ZOO_CONF_DIR": "/etc/zk/"}) == ("/etc/zk/zoo.cfg",)
    assert config_paths(OPEN) == ("/conf/zoo.cfg", "/opt/bitnami/zookeeper/conf/zoo.cfg")


def test_a_zoo_cfg_that_is_there_counts() -> None:
    made = asked(
        has_config=True,
        ZOO_MY_ID="2",
        ZOO_TICK_TIME="5",
        ZOO_SERVERS="?",
        ZOO_CFG_a="b",
        JVMFLAGS="-Djute.maxbuffer=9",
        ZOO_LOG_LEVEL="WARN",
    )
    assert made.options == ()
    assert [each.name for each in made.properties] == ["jute.maxbuffer"]
    assert (made.my_id, made.log_level) == (2, "warning")
    assert made.notes == (
        "zoo.cfg is there, so it counts, and not: ZOO_SERVERS, ZOO_TICK_TIME, ZOO_CFG_a",
    )


def test_the_data_directory_of_a_zoo_cfg() -> None:
    assert data_dir_of(b"dataDir=/a\n#dataDir=/b\ndataDir = /c \n") == "/c"
    assert data_dir_of(b"tickTime=1\n") is None


def test_every_image_is_in_the_table() -> None:
    assert {each.image for each in VARIABLES} == set(Image)


def test_what_an_address_is_changed_by() -> None:
    usual = asked().called(None)
    assert usual["clientPort"] == "ZOO_PORT or ZOO_PORT_NUMBER"
    assert usual["clientPortAddress"] == "clientPortAddress=... in ZOO_CFG_EXTRA"
    assert usual["secureClientPort"] == "ZOO_TLS_PORT_NUMBER"
    assert asked(ZOO_PORT_NUMBER="1").called(None)["clientPort"] == "ZOO_PORT_NUMBER"
    extra = asked(ZOO_CFG_EXTRA="clientPort=1").called(None)
    assert extra["clientPort"] == "ZOO_CFG_EXTRA: clientPort"
    told = asked(ZOO_ENABLE_PROMETHEUS_METRICS="yes").called(None)
    assert told["metricsProvider.httpPort"] == "ZOO_PROMETHEUS_METRICS_PORT_NUMBER"
    member = asked(ZOO_MY_ID="4", ZOO_SERVERS=FOUR).called(None)
    assert member["server.4"] == (
        "behind the ; of server.4 in ZOO_SERVERS, or ZOO_PORT or ZOO_PORT_NUMBER where that has"
        " no ;"
    )
    own = asked(has_config=True).called("/conf/zoo.cfg")
    assert own["clientPort"] == "clientPort in /conf/zoo.cfg"
