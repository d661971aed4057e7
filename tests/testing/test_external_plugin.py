"""The pytest plugin with --pyzk-connect and --pyzk-command: what of a test runs against another
server, and where the rest is skipped."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import pyzk.testing.external.command
import pyzk.testing.external.ensemble

# pytester forgets what an inner run imports: the modules must be there before.
import pyzk.testing.external.server
from pyzk.testing import ZooKeeperEnsemble, ZooKeeperServer
from tests.testing.test_plugin import Run, run

pytest.importorskip("kazoo.client")

__all__ = ["run"]

ANY_SERVER = """
@pytest.mark.parametrize("number", [1, 2])
def test_tree(zk_server, zk_client, number):
    assert zk_server.tree() == {}
    zk_server.load({"/a": {"b": b"x"}})
    zk_server.load({"/a/b": b"y"})
    assert zk_client.get("/a/b")[0] == b"y"
    zk_client.create("/a/c", b"z")
    assert zk_server.tree() == {"/a": b"", "/a/b": b"y", "/a/c": b"z"}
    assert zk_server.tree("/a", nested=True) == {"a": {"b": b"y", "c": b"z"}}
    zk_server.reset()
    assert zk_client.retry(zk_client.get_children, "/") in ([], ["zookeeper"])
def test_wait(zk_server, zk_client):
    zk_client.create_async("/a", b"x")
    zk_server.wait_for_node("/a", data=b"x")
    zk_client.delete_async("/a")
    zk_server.wait_for_node("/a", exists=False)
    with pytest.raises(TimeoutError, match="/a does not exist"):
        zk_server.wait_for_node("/a", timeout=0)
def test_expire(zk_server, zk_client):
    zk_client.create("/e", ephemeral=True)
    zk_server.expire_session(zk_client)
    zk_server.wait_for_node("/e", exists=False)
    assert zk_server.report()
"""
LOCAL_ONLY = """
def test_refused(zk_server):
    assert zk_server.tree() == {}
    zk_server.delay("create", 1)
def test_looked_at(zk_server):
    zk_server.sessions
@pytest.mark.zk(virtual_clock=True)
def test_time(zk_server):
    assert zk_server.tree() == {}
    zk_server.advance(1)
def test_wrong(zk_server):
    with pytest.raises(AttributeError):
        zk_server.no_such_thing
"""


def test_the_same_tests_here(run: Run) -> None:
    run(ANY_SERVER).assert_outcomes(passed=4)


def test_the_same_tests_against_a_server_that_runs(run: Run, zk_server: ZooKeeperServer) -> None:
    zk_server.load({"/other": b"kept"})
    result = run(ANY_SERVER + LOCAL_ONLY, "--pyzk-connect", zk_server.connect_string)
    result.assert_outcomes(passed=5, skipped=3)
    result.stdout.fnmatch_lines(
        [
            f"pyzk: external server, connect {zk_server.connect_string}",
            "pyzk: 3 tests were skipped *: advance 1, delay 1, sessions 1 (-rs says where)",
            # At the line of the test, not of the plugin.
            "SKIPPED*test_*.py:*delay is not available with an external server (--pyzk-con*",
            "SKIPPED*test_*.py:*sessions is not available with an external server (--pyzk-con*",
            "SKIPPED*test_*.py:*advance is not available with an external server (--pyzk-con*",
        ],
        consecutive=False,
    )
    assert zk_server.tree() == {"/other": b"kept"}


CLIENTS = """
def test_clients_are_asked_and_cut(zk_server, zk_client):
    zk_client.create("/a", ephemeral=True)
    session = zk_client.client_id[0]
    zk_client.get_children("/", watch=print)
    found = zk_server.wait_for_watch("/", client=zk_client)
    assert (found.path, found.kind, found.session_id) == ("/", "children", session)
    zk_server.drop_connection(zk_client)
    assert zk_client.retry(zk_client.exists, "/a")
    assert zk_client.client_id[0] == session
    assert zk_server.wait_for_session(session).session_id == session
    zk_server.wait_until(lambda: zk_server.tree() == {"/a": b""})
    zk_server.reset_faults()
    assert zk_server.faults == []
    zk_server.expire_session(zk_client)
    zk_server.wait_for_session(session, exists=False)
    assert zk_server.tree() == {}
@pytest.mark.zk(on_disk=True)
def test_directory(zk_server):
    assert zk_server.tree() == {}
    zk_server.data_dir
"""


def test_what_a_client_can_tell_or_do_needs_no_server_here(
    run: Run, zk_server: ZooKeeperServer
) -> None:
    result = run(CLIENTS, "--pyzk-connect", zk_server.connect_string)
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*test_*.py:*data_dir is not available with an external*"])
    run(CLIENTS).assert_outcomes(passed=2)


BY_TLS = """
def test_by_tls(zk_server, zk_client):
    zk_client.create("/a", b"1")
    assert zk_server.tree() == {"/a": b"1"}
    zk_server.expire_session(zk_client)
@pytest.mark.zk(tls=True)
def test_that_asks_for_tls(zk_server, zk_client):
    zk_client.create("/a", b"1")
    zk_server.tls
@pytest.mark.zk(sasl={"alice": "secret"})
def test_that_asks_for_users(zk_server):
    pass
"""


def test_a_server_that_runs_is_reached_by_tls(run: Run) -> None:
    with ZooKeeperServer(tls=True) as server:
        own = server.tls.client()
        assert own.cert_file is not None
        assert own.key_file is not None
        files = ["--pyzk-ca", own.ca_file, "--pyzk-cert", own.cert_file, "--pyzk-key", own.key_file]
        result = run(BY_TLS, "--pyzk-connect", server.connect_string, "--pyzk-tls", *files)
        result.assert_outcomes(passed=1, skipped=2)
        result.stdout.fnmatch_lines_random(
            [
                "SKIPPED*:*tls is not available with an external server (--pyzk-connect *",
                "SKIPPED*:*sasl is not available with an external server (--pyzk-connect)",
            ]
        )
    with ZooKeeperServer() as server:
        result = run(BY_TLS, "--pyzk-connect", server.connect_string)
        result.assert_outcomes(passed=1, skipped=2)
        result.stdout.fnmatch_lines(["SKIPPED*:*(--pyzk-connect) without --pyzk-tls"])


def test_clients_of_a_server_that_runs_log_in(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("puresasl", reason="kazoo logs in with pure-sasl")
    monkeypatch.setenv("PYZK_SASL_PASSWORD", "secret")
    options = {"sessionRequireClientSASLAuth": True}
    with ZooKeeperServer(sasl={"alice": "secret"}, options=options) as server:
        code = BY_TLS.partition("@pytest")[0]
        ways = ["--pyzk-connect", server.connect_string]
        run(code, *ways, "--pyzk-sasl", "digest:alice").assert_outcomes(passed=1)
        run(code, *ways).assert_outcomes(errors=1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--pyzk-tls"], "--pyzk-tls is for --pyzk-command and --pyzk-connect"),
        (["--pyzk-connect", "a:1", "--pyzk-ca", "x"], "--pyzk-ca is for TLS: it needs --pyzk-tls"),
        (["--pyzk-connect", "a:1", "--pyzk-sasl", "x"], "--pyzk-sasl 'x' is neither digest:USER"),
    ],
)
def test_wrong_options_about_tls_end_the_run(run: Run, options: list[str], said: str) -> None:
    result = run(BY_TLS, *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{said}*"])


def test_options_of_the_ini_file_skip_nothing(run: Run, zk_server: ZooKeeperServer) -> None:
    result = run(
        """
        def test(zk_server): pass
        @pytest.mark.zk(options={"tickTime": 50})
        def test_of_its_own(zk_server): pass
        def test_port(zk_server_factory):
            zk_server_factory(port=1)
        """,
        f"--pyzk-connect={zk_server.connect_string}",
        ini="pyzk_options = tickTime=70",
    )
    result.assert_outcomes(passed=1, skipped=2)


ENSEMBLE = """
def test_members(zk_ensemble, zk_client):
    assert len(zk_ensemble) == 3
    assert zk_ensemble.observers == []
    assert len(zk_ensemble.followers) == 2
    leader = zk_ensemble.wait_for_leader()
    assert (leader.role, leader.is_leader, leader.is_observer) == ("leader", True, False)
    assert repr(leader) == repr(zk_ensemble.leader)
    zk_ensemble.wait_until_serving()
    assert str(zk_ensemble.server_of(zk_client).port) in zk_client.connect_string_seen
def test_tree(zk_ensemble, zk_client_factory):
    zk_ensemble.load({"/a": "1"})
    assert [member.tree() for member in zk_ensemble] == [{"/a": b"1"}] * 3
    client = zk_client_factory(zk_ensemble.followers[0])
    client.create("/b", ephemeral=True)
    zk_ensemble.wait_for_node("/b")
    zk_ensemble.wait_until_synced()
    zk_ensemble.expire_session(client)
    zk_ensemble.wait_for_node("/b", exists=False)
    assert zk_ensemble.tree() == {"/a": b"1"}
def test_dies_here(zk_ensemble):
    zk_ensemble.load({"/a": "1"})
    zk_ensemble.leader.kill()
def test_stops_here(zk_ensemble):
    zk_ensemble.members[0].stop()
@pytest.mark.zk(voters=5)
def test_five(zk_ensemble): pass
def test_by_factory(zk_ensemble_factory):
    one, two = zk_ensemble_factory(3), zk_ensemble_factory()
    one.load({"/a": ""})
    assert two.tree() == {}
""".replace("zk_client.connect_string_seen", "str(zk_client.hosts)")


def test_an_ensemble_that_runs(run: Run, zk_ensemble: ZooKeeperEnsemble) -> None:
    result = run(ENSEMBLE, "--pyzk-connect", zk_ensemble.connect_string)
    result.assert_outcomes(passed=3, skipped=3)
    result.stdout.fnmatch_lines(
        [
            "pyzk: 3 tests were skipped *: kill 1, stop 1, this size 1 (-rs says where)",
            "SKIPPED*test_an_ensemble_that_runs.py:*kill is not available with an external server*",
            "SKIPPED*test_an_ensemble_that_runs.py:*stop is not available with an external server*",
        ]
    )
    assert zk_ensemble.tree() == {}


def test_one_server_is_no_ensemble(run: Run, zk_server: ZooKeeperServer) -> None:
    result = run(ENSEMBLE, "--pyzk-connect", zk_server.connect_string)
    result.assert_outcomes(skipped=6)
    result.stdout.fnmatch_lines(
        [
            "pyzk: 6 tests were skipped *: an ensemble 6 (-rs says where)",
            "*an ensemble is not available with an external server alone (*): name all members*",
        ]
    )


def test_chroots_below_a_chroot(run: Run, zk_server: ZooKeeperServer) -> None:
    result = run(ANY_SERVER, ini=f"pyzk_connect = {zk_server.connect_string}/below/here")
    result.assert_outcomes(passed=4)
    assert zk_server.tree() == {"/below": b"", "/below/here": b""}


def test_shared_servers_that_run_elsewhere_are_apart(run: Run, zk_server: ZooKeeperServer) -> None:
    result = run(
        """
        def test(zk_server, zk_server_module, zk_server_session):
            zk_server_session.load({"/s": b""})
            zk_server_module.load({"/m": b""})
            assert zk_server.tree() == {}
            assert zk_server_module.tree() == {"/m": b""}
        """,
        f"--pyzk-connect={zk_server.connect_string}",
    )
    result.assert_outcomes(passed=1)
    assert zk_server.tree() == {}


def test_nobody_answers(run: Run) -> None:
    with ZooKeeperServer() as server:
        address = server.connect_string
    result = run("def test(zk_server): pass", "--pyzk-connect", address)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*--pyzk-connect {address}: no server answers*"])


@pytest.mark.live
def test_the_same_tests_against_a_command(run: Run) -> None:
    root = Path(pyzk.testing.external.server.__file__).parents[2]
    command = f"env PYTHONPATH={root} {sys.executable} -m pyzk serve {{cfg}}"
    result = run(ANY_SERVER + CLIENTS + LOCAL_ONLY + LIVES, "--pyzk-command", command)
    result.assert_outcomes(passed=9, skipped=4)
    result.stdout.fnmatch_lines(["pyzk: external server, command env PYTHONPATH=*"])


LIVES = """
@pytest.mark.zk(options={"maxSessionTimeout": 5000})
def test_lives(zk_server, zk_client_factory):
    client = zk_client_factory()
    assert "maxSessionTimeout=5000" in client.command(b"conf")
    client.create("/a")
    zk_server.pause()
    assert zk_server.state == "paused"
    found = client.exists_async("/a")
    assert not found.ready()
    zk_server.resume()
    assert found.get(20)
    zk_server.kill()
    zk_server.restart()
    assert client.retry(client.exists, "/a")
@pytest.mark.zk(options={"jute.maxbuffer": 1000})
def test_property(zk_server): pass
def test_bad_use(zk_server):
    from pyzk.testing import FixtureError
    zk_server.kill()
    for use in (zk_server.tree, zk_server.pause, zk_server.kill):
        with pytest.raises(FixtureError, match="is killed"):
            use()
    for use in (zk_server.start, zk_server.resume):
        with pytest.raises(FixtureError):
            use()
"""


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("no-such-command {port}", "cannot run it: *No such file*"),
        ("x", "it names neither {port} nor {cfg}"),
        ("x {ports}", "KeyError('ports'); known are {port}, {host}, {data_dir} and {cfg}"),
        ("sh -c 'echo why not; exit 7' {port}", "it ended with status 7"),
    ],
)
def test_a_command_that_does_not_serve_is_told(run: Run, command: str, message: str) -> None:
    result = run("def test(zk_server): pass", "--pyzk-command", command)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"--pyzk-command *: {message}*", "ERROR *::test - Failed:*"])
    if "why not" in command:
        result.stdout.fnmatch_lines(["  why not"])
    assert "external_command.py" not in result.stdout.str()


def test_options_need_a_configuration_file(run: Run) -> None:
    result = run(
        "@pytest.mark.zk(options={'tickTime': 5})\ndef test(zk_server): pass",
        "--pyzk-command=x {port}",
    )
    result.stdout.fnmatch_lines(["*options need {cfg} in it"])
