"""Arguments to a configuration; the server itself is replaced."""

from __future__ import annotations

import importlib.util
import json
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from pyzk import __version__
from pyzk.cli import COMMANDS, ephemeral, main, sources
from pyzk.config.admin import AdminConfig
from pyzk.config.server import ServerConfig
from pyzk.four_letter_words import FOUR_LETTER_WORDS
from pyzk.testing import ZooKeeperServer
from tests.certificates import Authority, Issued, write
from tests.cli.served import Served, check, zoo_cfg


def test_without_arguments_it_serves_this_machine_only(serve: Served) -> None:
    assert serve().exit_code == 0
    assert serve.config == ServerConfig(
        data_dir="./pyzk-data",
        client_port=2181,
        client_port_address="127.0.0.1",
        admin=AdminConfig(server_address="127.0.0.1"),
    )
    assert serve.logs == ("info", "text")
    assert serve.loop == "auto"
    assert serve.announcement == (False, False)


def test_options_are_keys_of_the_file_and_win_over_it(serve: Served, tmp_path: Path) -> None:
    path = zoo_cfg(tmp_path, "dataDir=/d\nclientPort=1\ntickTime=7\nmaxClientCnxns=3\n")
    result = serve(
        *(path, "--port", "0", "--host", "::1", "--data-dir", "/e", "--data-log-dir", "/l"),
        *("--tick-time", "8", "--max-client-cnxns", "4", "--whitelist", "*", "--no-fsync"),
        *("--log-level", "debug", "--log-format", "json", "--loop", "asyncio"),
    )
    assert result.exit_code == 0, result.output
    config = serve.config
    assert (config.client_port, config.client_port_address) == (0, "::1")
    assert (config.data_dir, config.data_log_dir) == ("/e", "/l")
    assert (config.tick_time_ms, config.max_client_cnxns) == (8, 4)
    assert config.four_letter_whitelist == tuple(sorted(FOUR_LETTER_WORDS))
    assert not config.force_sync
    assert serve.logs == ("debug", "json")
    assert serve.loop == "asyncio"


def test_options_for_the_admin_server(serve: Served, tmp_path: Path) -> None:
    path = zoo_cfg(tmp_path, "dataDir=/d\nclientPort=1\nadmin.enableServer=false\n")
    asked = AdminConfig(is_required=True, server_port=0, server_address="::1")
    everywhere = AdminConfig(server_address="0.0.0.0")
    for arguments, expected in (
        ((path,), None),
        ((path, "--admin-port", "0", "--admin-host", "::1"), asked),
        (("--no-admin",), None),
        (("-Dzookeeper.admin.serverAddress=0.0.0.0",), everywhere),
    ):
        assert serve(*arguments).exit_code == 0
        assert serve.config.admin == expected
    refused = serve("--no-admin", "--admin-port", "1")
    assert (refused.exit_code, refused.output) == (
        2,
        "pyzk: --no-admin does not go with --admin-port\n",
    )


def test_later_configurations_of_the_ensemble_may_be_kept_with_the_data(
    serve: Served, tmp_path: Path
) -> None:
    (tmp_path / "myid").write_text("1\n")
    path = zoo_cfg(tmp_path, f"dataDir={tmp_path}\nclientPort=0\nreconfigEnabled=true\n{MEMBERS}")
    assert serve(path).exit_code == 0
    assert serve.config.ensemble is not None
    assert not serve.config.ensemble.keeps_files
    assert serve(path, "--config-in-data-dir").exit_code == 0
    assert serve.config.ensemble is not None
    assert serve.config.ensemble.keeps_files


def test_system_properties_by_d_and_by_file(serve: Served, tmp_path: Path) -> None:
    path = tmp_path / "jvm.properties"
    path.write_text("jute.maxbuffer=7\nzookeeper.snapCount=8\n")
    assert serve("-Dzookeeper.snapCount=9", "--properties", str(path)).exit_code == 0
    assert serve.config.jute_max_buffer == 7
    assert serve.config.snap_count == 9
    assert serve("-D", "zookeeper.skipACL=yes").exit_code == 0
    assert serve.config.skip_acl


def test_the_positional_form(serve: Served) -> None:
    assert serve("0", "/d").exit_code == 0
    assert (serve.config.client_port, serve.config.data_dir) == (0, "/d")
    assert serve.config.max_client_cnxns == 0
    assert serve("0", "/d", "500").exit_code == 0
    assert (serve.config.tick_time_ms, serve.config.max_client_cnxns) == (500, 0)
    assert serve("0", "/d", "500", "5").exit_code == 0
    assert serve.config.max_client_cnxns == 5


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--port", "x"], "pyzk: --port: 'x' is not an integer from 0 to 65535"),
        (["-Djute.maxbuffer=x"], "pyzk: -Djute.maxbuffer: 'x' is not an integer of at least 1"),
        (["-Dreadonlymode.enabled"], "-Dreadonlymode.enabled: empty; expected true or false"),
        (["0"], "pyzk: expected: pyzk serve [ZOO_CFG], or pyzk serve PORT DATADIR"),
        (["0", "d", "1", "2", "3"], "pyzk: expected: pyzk serve [ZOO_CFG], or"),
        (["a.cfg", "b.cfg"], "pyzk: one ZOO_CFG expected, not 2 arguments"),
        (["/no/such.cfg"], "pyzk: cannot read /no/such.cfg: No such file or directory"),
        (["--properties", "/no/p"], "pyzk: cannot read /no/p: No such file or directory"),
        (["--control-port", "0"], "pyzk: --control-port is for tests: it needs --ephemeral"),
        (["--virtual-clock"], "pyzk: --virtual-clock is for tests: it needs --ephemeral"),
        (["--audit-log", "f"], "pyzk: --audit-log needs audit.enable=true, in zoo.cfg or as -D"),
        (
            ["--audit-log", "/no/f", "-Dzookeeper.audit.enable=true"],
            "pyzk: cannot write the audit log, /no/f: No such file or directory",
        ),
    ],
)
def test_a_wrong_argument_is_one_line_and_code_2(
    serve: Served, arguments: list[str], reason: str
) -> None:
    result = serve(*arguments)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--data-dir", "d"], "--ephemeral does not go with --data-dir; in memory there is none"),
        (
            ["--data-log-dir", "d"],
            "--ephemeral does not go with --data-log-dir; in memory there is",
        ),
        (["--config-in-data-dir"], "--ephemeral does not go with --config-in-data-dir; in mem"),
        (
            ["--audit-log", "f"],
            "--ephemeral does not go with --audit-log; its audit log is a logger",
        ),
        (["--no-fsync"], "--ephemeral does not go with --no-fsync; in memory there is nothing"),
        (["--loop", "auto"], "--ephemeral does not go with --loop"),
        (["zoo.cfg"], "--ephemeral does not go with ZOO_CFG; give -D and options instead"),
        (["2181", "d"], "--ephemeral does not go with ZOO_CFG; give -D and options instead"),
        (["--virtual-clock"], "--virtual-clock needs --control-port: otherwise time would never"),
        (["--port", "x"], "--port: 'x' is not an integer from 0 to 65535"),
        (["--port", "65536"], "--port: '65536' is not an integer from 0 to 65535"),
        (["--control-port", "-1"], "--control-port: '-1' is not an integer from 0 to 65535"),
        (["--tick-time", "x"], "--tick-time: 'x' is not an integer of at least 1"),
        (["-Djute.maxbuffer=x"], "-Djute.maxbuffer: 'x' is not an integer of at least 1"),
        (["-Dzookeeper.snapCount=x"], "-Dzookeeper.snapCount: 'x' is not an integer"),
        (["-Dzookeeper.snapCont=1"], "option snapCont: unknown; did you mean snapCount?"),
        (["--properties", "/no/p"], "cannot read /no/p: No such file or directory"),
    ],
)
def test_what_makes_no_sense_in_memory_is_one_line_and_code_2(
    serve: Served, arguments: list[str], reason: str
) -> None:
    result = serve("--ephemeral", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"pyzk: {reason}")
    assert result.stderr.count("\n") == 1


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    runs: list[dict[str, object]] = []

    def run(server: ZooKeeperServer, **how: object) -> int:
        runs.append({"server": server, **how})
        return 0

    monkeypatch.setattr(ephemeral, "run", run)
    return runs


def test_a_server_in_memory(serve: Served, in_memory: list[dict[str, object]]) -> None:
    assert serve("--ephemeral").exit_code == 0
    (how,) = in_memory
    server = how.pop("server")
    assert isinstance(server, ZooKeeperServer)
    assert "127.0.0.1:2181 not started" in repr(server)
    assert how == {"control_port": None, "connect_string_only": False, "with_parent": False}
    assert serve.logs == ("warning", "text")


def test_a_server_in_memory_with_everything(
    serve: Served, in_memory: list[dict[str, object]]
) -> None:
    result = serve(
        *("--ephemeral", "--port", "0", "--host", "::1", "--print-connect-string"),
        *("--exit-with-parent", "--control-port", "0", "--virtual-clock", "--log-level", "info"),
        *("--tick-time", "500", "-Dzookeeper.snapCount=9", "-Djute.maxbuffer=77"),
    )
    assert result.exit_code == 0, result.output
    (how,) = in_memory
    server = how.pop("server")
    assert isinstance(server, ZooKeeperServer)
    config = server._engine.config
    assert (config.client_port, config.client_port_address) == (0, "::1")
    assert (config.tick_time_ms, config.snap_count, config.jute_max_buffer) == (500, 9, 77)
    assert config.extended_types_enabled, "a default for tests"
    assert server._engine.time.is_virtual
    assert how == {"control_port": 0, "connect_string_only": True, "with_parent": True}
    assert serve.logs == ("info", "text")


def tls_cfg(directory: Path, own: Issued, *lines: str) -> str:
    keys = write(directory / "k.pem", own.pem("geheim"))
    trust = write(directory / "t.pem", Authority().certificate_pem)
    return zoo_cfg(
        directory,
        f"dataDir=/d\nsecureClientPort=2281\nssl.keyStore.location={keys}\n"
        f"ssl.keyStore.password=geheim\nssl.trustStore.location={trust}\n"
        f"ssl.trustStore.password=geheim\n" + "\n".join(lines),
    )


def test_config_check_shows_no_password_of_a_store(tmp_path: Path) -> None:
    path = tls_cfg(tmp_path, Authority().issue())
    for option in ((), ("--all",), ("--output", "json")):
        result = check(path, *option)
        assert result.exit_code == 0
        assert "ssl.keyStore.password" in result.stdout
        assert "geheim" not in result.output
    assert "ssl.trustStore.password=(set)\n" in check(path).stdout


def test_config_check_opens_the_stores(tmp_path: Path) -> None:
    old = tls_cfg(tmp_path, Authority().issue("old", days=(-9, -1)))
    result = check(old)
    assert result.exit_code == 0
    assert "warning: ssl.keyStore.location: " in result.stderr
    assert "the certificate of CN=old is valid from" in result.stderr
    assert result.stderr.endswith("ok, 1 warning: standalone, on 0.0.0.0:2281 (TLS), data in /d\n")
    assert check(old, "--strict").exit_code == 2
    (tmp_path / "k.pem").unlink()
    result = check(old)
    assert result.exit_code == 2
    assert result.stderr == (
        f"pyzk: {old}: ssl.keyStore.location: {tmp_path}/k.pem cannot be read: No such file or"
        " directory\n"
    )


def test_config_check_sees_that_the_library_for_tls_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tls_cfg(tmp_path, Authority().issue())
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "cryptography" else find_spec(name),
    )
    result = check(path)
    assert result.exit_code == 2
    assert result.stderr == (
        f"pyzk: {path}: ssl.keyStore.location: needs the extra tls (in a clone of pyzk: pip install"
        " '.[tls]')\n"
    )


def test_config_check_leaves_out_what_is_usual_of_sasl(tmp_path: Path) -> None:
    (tmp_path / "jaas.conf").write_text(
        'Server { org.apache.zookeeper.server.auth.DigestLoginModule required user_bob="s"; };\n'
    )
    (tmp_path / "jaas.conf").chmod(0o600)
    path = zoo_cfg(tmp_path, "dataDir=/d\nclientPort=0\nallowSaslFailedClients=true\n")
    result = check(path, f"-Djava.security.auth.login.config={tmp_path}/jaas.conf")
    assert result.stdout.splitlines() == [
        "dataDir=/d",
        "dataLogDir=/d",
        "clientPort=0",
        "allowSaslFailedClients=true",
    ]
    shown = check(path, "--all", f"-Djava.security.auth.login.config={tmp_path}/jaas.conf").stdout
    assert "sasl.serverconfig=Server\n" in shown


def test_config_check_prints_what_is_set_then_remarks_then_the_verdict(tmp_path: Path) -> None:
    path = zoo_cfg(
        tmp_path,
        "dataDir=/d\nclientPort=0\ntickTime=3000\nsnapcount=1\nflushDelay=1\n"
        "4lw.commands.whitelist=ruok\nskipACL=yes\nenforceQuota=true\n"
        "DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=\n"
        "authProvider.1=org.apache.zookeeper.server.auth.IPAuthenticationProvider\n",
    )
    result = check(path, "-Djute.maxbuffer=9")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "dataDir=/d",
        "dataLogDir=/d",
        "clientPort=0",
        "jute.maxbuffer=9",
        "jute.maxbuffer.extrasize=1024",
        "4lw.commands.whitelist=ruok,srvr",
        "flushDelay=1",
        "enforceQuota=true",
        "skipACL=yes",
        "DigestAuthenticationProvider.superDigest=(set)",
        "authProvider.1=org.apache.zookeeper.server.auth.IPAuthenticationProvider",
    ]
    assert result.stderr.splitlines() == [
        "note: line 5: flushDelay: has no effect in pyzk",
        "warning: line 4: snapcount: unknown, ignored; did you mean snapCount?"
        " (upper and lower case count)",
        f"{path}: ok, 1 warning, 1 note: standalone, on 0.0.0.0:0, data in /d",
    ]


def test_config_check_prints_the_defaults_when_asked(tmp_path: Path) -> None:
    path = zoo_cfg(tmp_path, "dataDir=/d\nclientPort=0\nclientPortAddress=::1\n")
    few, all_of_them = check(path), check("--all", path)
    assert all_of_them.stderr == few.stderr
    assert few.stderr == f"{path}: ok, no warnings: standalone, on [::1]:0, data in /d\n"
    lines = all_of_them.stdout.splitlines()
    assert set(few.stdout.splitlines()) < set(lines)
    assert {"tickTime=3000", "forceSync=yes", "skipACL=no", "digest.enabled=true"} < set(lines)
    lines = check("--all", zoo_cfg(tmp_path, "dataDir=/d\nclientPort=0")).stdout.splitlines()
    assert {"clientPortAddress=0.0.0.0", "secureClientPort=", "secureClientPortAddress="} < set(
        lines
    )


def test_config_check_prints_all_of_it_as_json(tmp_path: Path) -> None:
    path = zoo_cfg(
        tmp_path, "dataDir=/d\nclientPort=1\nskipACL=yes\noraclePath=/o\npathStats.delay=1\n"
    )
    result = check("--output", "json", path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {
        "place": "standalone, on 0.0.0.0:1, data in /d",
        "values": {"dataDir": "/d", "dataLogDir": "/d", "clientPort": "1", "skipACL": "yes"},
        "warnings": [{"line": 4, "text": "oraclePath: not supported yet, ignored"}],
        "notes": [{"line": 5, "text": "pathStats.delay: has no effect in pyzk"}],
    }


def test_config_check_without_a_file_tells_the_defaults() -> None:
    assert check().stderr == (
        "the defaults: ok, no warnings: standalone, on 127.0.0.1:2181, data in ./pyzk-data\n"
    )


def test_config_check_strict_refuses_warnings_but_not_notes(tmp_path: Path) -> None:
    path = zoo_cfg(tmp_path, "dataDir=/d\nclientPort=0\nflushDelay=1\nmaxBatchSize=1\n")
    result = check("--strict", path)
    assert result.exit_code == 0
    assert result.stderr.splitlines()[-1].startswith(f"{path}: ok, 2 notes: standalone, on")
    path = zoo_cfg(tmp_path, "dataDir=/d\nclientPort=0\nsnapcount=1\nx=y\n")
    result = check(path)
    assert result.exit_code == 0
    assert result.stderr.splitlines()[-1].startswith(f"{path}: ok, 2 warnings: standalone, on")
    result = check("--strict", path)
    assert result.exit_code == 2
    assert result.stdout.startswith("dataDir=/d\n")
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == [
        *("warning", "warning", "pyzk"),
    ]
    assert result.stderr.endswith("pyzk: refused: 2 warnings, and --strict was given\n")


def test_config_check_refuses_as_serve_does(tmp_path: Path) -> None:
    path = zoo_cfg(tmp_path, "dataDir=/d\nclientPort=-1\n")
    result = check(path)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"pyzk: {path}: line 2: clientPort: '-1' is not")
    assert result.stderr.count("\n") == 1


MEMBERS = "initLimit=10\nsyncLimit=5\nserver.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2:observer\n"


def test_config_check_shows_the_place_in_the_ensemble(tmp_path: Path) -> None:
    (tmp_path / "myid").write_text("3\n")
    path = zoo_cfg(tmp_path, f"dataDir={tmp_path}\nclientPort=0\ncnxTimeout=900\n{MEMBERS}")
    result = check(path)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert {"initLimit=10", "syncLimit=5", "cnxTimeout=900", "myid=3"} <= set(lines)
    assert "server.3=c:1:2:observer" in lines
    assert "leaderServes=yes" not in lines
    assert {"leaderServes=yes", "electionPortBindRetry=3", *lines} <= set(
        check("--all", path).stdout.splitlines()
    )
    assert f"server 3 of 3, observer, on 0.0.0.0:0, data in {tmp_path}\n" in result.stderr
    assert "server.2: two participants: if either fails" not in result.stderr
    assert "server.1: two participants: if either fails" in result.stderr


def test_config_check_knows_the_files_of_a_reconfiguration(tmp_path: Path) -> None:
    (tmp_path / "myid").write_text("3\n")
    lines = MEMBERS.partition("syncLimit=5\n")[2]
    dynamic = tmp_path / "zoo.cfg.dynamic.100000005"
    dynamic.write_text(lines)
    proposed = tmp_path / "zoo.cfg.dynamic.next"
    proposed.write_text(lines + "server.4=d:1:2\nversion=100000009")
    path = zoo_cfg(
        tmp_path,
        f"dataDir={tmp_path}\nclientPort=0\ninitLimit=10\nsyncLimit=5\nreconfigEnabled=true\n"
        f"dynamicConfigFile={dynamic}\n",
    )
    result = check(path)
    assert result.exit_code == 0
    shown = set(result.stdout.splitlines())
    assert {
        "version=100000005",
        f"dynamicConfigFile={dynamic}",
        "server.1=a:1:2:participant",
    } <= shown
    assert f"{proposed}: a reconfiguration to version 100000009 was under way" in result.stderr
    assert "server 3 of 3, observer" in result.stderr
    (tmp_path / "myid").write_text("4\n")
    assert "server 4, being added to 3 servers, participant" in check(path).stderr
    (tmp_path / "myid").write_text("5\n")
    refused = check(path)
    assert refused.exit_code == 2
    assert "server 5 was removed, or stopped before it was added" in refused.stderr
    (tmp_path / "myid").write_text("3\n")
    proposed.write_text("server.1=a:1:2")
    refused = check(path)
    assert refused.exit_code == 2
    assert f"(in {proposed}, the configuration that was proposed last" in refused.stderr


def test_a_member_is_served_as_its_files_say(serve: Served, tmp_path: Path) -> None:
    (tmp_path / "myid").write_text("2")
    (tmp_path / "zoo.dynamic").write_text(MEMBERS.partition("syncLimit=5\n")[2])
    path = zoo_cfg(
        tmp_path,
        f"dataDir={tmp_path}\nclientPort=2181\ninitLimit=10\nsyncLimit=5\n"
        f"dynamicConfigFile={tmp_path}/zoo.dynamic\n",
    )
    assert serve(path, "--port", "2999").exit_code == 0
    ensemble = serve.config.ensemble
    assert ensemble is not None
    assert (ensemble.my_sid, ensemble.membership.voters) == (2, (1, 2))
    assert serve.config.client_port == 2999


def test_the_client_address_may_be_a_name_here_and_a_number_there(
    serve: Served, tmp_path: Path
) -> None:
    (tmp_path / "myid").write_text("1")
    members = MEMBERS.replace("server.1=a:1:2", "server.1=a:1:2;127.0.0.1:2181")
    text = f"dataDir={tmp_path}\nclientPort=2181\nclientPortAddress=localhost\n{members}"
    assert serve(zoo_cfg(tmp_path, text)).exit_code == 0
    assert serve.config.client_port_address == "127.0.0.1"


def test_a_host_stands_for_the_address_that_java_would_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert sources.resolve("localhost") == "127.0.0.1"
    assert sources.resolve("127.1") == "127.0.0.1"
    assert sources.resolve("::1") == "::1"
    assert sources.resolve("a" * 64 + ".example") is None

    def both(host: str, port: None, *, type: int) -> list[tuple[object, ...]]:
        return [(type, 0, 0, "", (address, 0)) for address in ("::1", "127.0.0.1")]

    def none(host: str, port: None, *, type: int) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", both)
    assert sources.resolve("localhost") == "127.0.0.1"
    monkeypatch.setattr(socket, "getaddrinfo", none)
    assert sources.resolve("localhost") is None


def test_a_member_without_myid_is_refused_with_the_command_to_make_it(
    serve: Served, tmp_path: Path
) -> None:
    result = serve(zoo_cfg(tmp_path, f"dataDir={tmp_path}\nclientPort=0\n{MEMBERS}"))
    assert result.exit_code == 2
    assert f"there is no {tmp_path}/myid" in result.stderr
    assert f"echo N > {tmp_path}/myid" in result.stderr


def test_a_directory_that_would_be_made_by_a_slip_is_refused(serve: Served, tmp_path: Path) -> None:
    path = zoo_cfg(tmp_path, f"dataDir={tmp_path}/d # data\nclientPort=0\n{MEMBERS}")
    for result in (serve(path), check(path)):
        assert result.exit_code == 2
        assert "line 1: dataDir: a comment takes a line of its own" in result.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["zoo.cfg"]
    (tmp_path / "d # data").mkdir()
    (tmp_path / "d # data" / "myid").write_text("1")
    assert serve(path).exit_code == 0
    assert serve.config.data_dir == f"{tmp_path}/d # data"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["config", "zoo.cfg"],
            "There is no command 'zoo.cfg'; did you mean: pyzk config check zoo.cfg",
        ),
        (
            ["config", "my zoo.cfg"],
            "There is no command 'my zoo.cfg'; did you mean: pyzk config check 'my zoo.cfg'",
        ),
        (["config", "chekc", "zoo.cfg"], "There is no command 'chekc'; there is check."),
        (["srve"], f"There is no command 'srve'; there is {', '.join(COMMANDS)}."),
        *(
            (
                arguments,
                "It belongs behind `status`, `health`, `purge`, `config check` or a"
                " command of `members`.",
            )
            for arguments in (
                ["--output", "json", "status"],
                ["ensemble", "--output", "json"],
                ["config", "--output", "json", "check"],
            )
        ),
        (["status", "--timeout", "x"], "'x' is not a number of seconds; give 0.1 to 600."),
        (["status", "--timeout", "nan"], "'nan' is not a number of seconds; give 0.1 to 600."),
        (["status", "--timeout", "601"], "'601' is not a number of seconds; give 0.1 to 600."),
        (["status", "--max-lag", "1.5"], "'1.5' is not a number of transactions; give 0 or more."),
        (["status", "--max-lag", "-1"], "'-1' is not a number of transactions; give 0 or more."),
    ],
)
def test_what_is_refused_is_said_in_plain_words(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_status_of_a_file_says_what_it_wants_instead(tmp_path: Path) -> None:
    path = zoo_cfg(tmp_path, "")
    result = CliRunner().invoke(main, ["status", path])
    assert result.exit_code == 2
    assert result.stderr == (
        f"pyzk: {path} is a file; expected HOST:PORT[,HOST:PORT...], where the servers take"
        " clients\n"
    )


def test_config_check_says_what_it_does_not_look_at(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no directory")
    path = zoo_cfg(tmp_path, f"dataDir={tmp_path}/data\nclientPort=0\n")
    assert ": ok, no warnings" in check(path).stderr
    text = " ".join(check("--help").stdout.split())
    assert "whether its values are right" in text
    assert "opens no ports and reads no data but myid" in text


def test_no_option_speaks_of_ranges() -> None:
    for name in COMMANDS:
        help_text = CliRunner().invoke(main, [name, "--help"]).output
        assert "RANGE" not in help_text
        assert "<=" not in help_text


def test_version_and_help() -> None:
    assert CliRunner().invoke(main, ["--version"]).stdout == f"pyzk {__version__}\n"
    text = CliRunner().invoke(main, ["-h"]).stdout
    assert all(f"  {name} " in text for name in COMMANDS)
    assert CliRunner().invoke(main, ["nosuch"]).exit_code == 2
    for name in COMMANDS:
        assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0
