"""The pytest plugin, used as its users do: small test files, run by pytest inside of a test."""

from __future__ import annotations

import sys
import textwrap

import pytest

# pytester forgets what an inner run imports: the module must be there before.
import pyzk.testing.kazoo_harness  # noqa: F401
from pyzk.testing import pytest_plugin
from tests.processes import python
from tests.testing.raw import PATIENCE_S

pytest.importorskip("kazoo.client")


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(pytest_plugin, "_GRACE_S", 0.1)
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider --strict-markers -Werror")
    return Run(pytester)


class Run:
    """Runs a test file."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self._pytester = pytester

    def __call__(self, source: str, *arguments: str, ini: str = "") -> pytest.RunResult:
        if ini:
            self._pytester.makeini(f"[pytest]\naddopts = -p no:cacheprovider\n{ini}")
        self._pytester.makepyfile("import pytest\n" + textwrap.dedent(source))
        return self._pytester.runpytest_inprocess("-rA", *arguments)


# --- what it costs --------------------------------------------------------------------


def test_the_plugin_imports_nothing_but_pytest() -> None:
    code = (
        "import pytest, sys; before = set(sys.modules); import pyzk.testing.pytest_plugin;"
        "print(*sorted(set(sys.modules) - before))"
    )
    result = python("-c", code)
    assert result.stdout.split() == ["pyzk", "pyzk.testing", "pyzk.testing.pytest_plugin"]


def test_it_comes_by_the_entry_point_and_nothing_is_imported_until_it_is_used(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import sys
        def loaded():
            return {name for name in sys.modules if name.startswith(("pyzk", "kazoo"))}
        def test_unused():
            assert loaded() == {"pyzk", "pyzk.testing", "pyzk.testing.pytest_plugin"}
        def test_used(zk_server):
            assert "pyzk.testing.server" in loaded()
            # pytest leaves the server's asserts alone.
            assert "rewrite" not in type(sys.modules["pyzk.server.server"].__loader__).__module__
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=PATIENCE_S)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["plugins:*pyzk*"])


def test_the_fixtures_are_listed_with_what_they_are(run: Run) -> None:
    result = run("def test(): pass", "--fixtures")
    result.stdout.fnmatch_lines(
        ["*zk_server -- *", "*zk_server_module *module scope* -- *", "*zk_client -- *"],
        consecutive=False,
    )


# --- servers --------------------------------------------------------------------------


def test_each_test_has_a_server_of_its_own_with_an_empty_tree(run: Run) -> None:
    result = run(
        """
        seen = []
        @pytest.mark.parametrize("number", [1, 2])
        def test(zk_server, number):
            assert zk_server.tree() == {}
            zk_server.load({"/a": b"x"})
            assert zk_server not in seen
            assert all(server.state == "stopped" for server in seen)
            seen.append(zk_server)
        """
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("scope", ["module", "session"])
def test_a_shared_server_is_the_same_until_it_is_reset(run: Run, scope: str) -> None:
    result = run(
        f"""
        seen = []
        def test_one(zk_server_{scope}):
            zk_server_{scope}.load({{"/a": b"x"}})
            seen.append(zk_server_{scope}.port)
        def test_two(zk_server_{scope}):
            assert zk_server_{scope}.port == seen[0]
            assert zk_server_{scope}.tree() == {{"/a": b"x"}}
            zk_server_{scope}.reset()
            assert zk_server_{scope}.tree() == {{}}
        """
    )
    result.assert_outcomes(passed=2)


def test_as_many_as_a_test_needs(run: Run) -> None:
    result = run(
        """
        made = []
        @pytest.mark.zk(options={"maxSessionTimeout": 5000, "minSessionTimeout": 4000})
        def test(zk_server_factory, zk_client_factory):
            one = zk_server_factory()
            two = zk_server_factory(virtual_clock=True, options={"maxSessionTimeout": 6000})
            assert one.port != two.port
            for server, timeout in ((one, 5), (two, 6)):
                zk_client_factory(server, timeout=60)
                assert server.sessions[0].timeout == timeout
            made.extend([one, two])
        def test_they_are_stopped():
            assert [server.state for server in made] == ["stopped"] * 2
        """
    )
    result.assert_outcomes(passed=2)


# --- settings -------------------------------------------------------------------------


def test_the_nearest_marker_wins_and_the_ini_file_comes_last(run: Run) -> None:
    result = run(
        """
        pytestmark = pytest.mark.zk(options={"maxSessionTimeout": 7000, "tickTime": 50})
        def timeout(make, server):
            make(server, timeout=60)
            return server.sessions[-1].timeout
        def test_module(zk_server, zk_client_factory):
            assert timeout(zk_client_factory, zk_server) == 7
        @pytest.mark.zk(virtual_clock=True, options={"maxSessionTimeout": 8000})
        def test_near(zk_server, zk_client_factory):
            assert timeout(zk_client_factory, zk_server) == 8
            zk_server.advance(9)
            assert zk_server.sessions == []
        def test_shared(zk_server_module, zk_client_factory):
            assert timeout(zk_client_factory, zk_server_module) == 7
        """,
        ini="pyzk_options =\n  maxSessionTimeout = 6000\n  jute.maxbuffer=100000\n",
    )
    result.assert_outcomes(passed=3)


def test_the_ini_file_reaches_the_server_of_the_session(run: Run) -> None:
    result = run(
        """
        def test_session(zk_server_session, zk_client_factory):
            zk_client_factory(zk_server_session, timeout=60)
            assert zk_server_session.sessions[-1].timeout == 6
        """,
        ini="pyzk_options = maxSessionTimeout=6000",
    )
    result.assert_outcomes(passed=1)


def test_a_data_directory_on_request(run: Run) -> None:
    result = run(
        """
        @pytest.mark.zk(on_disk=True)
        def test(zk_server, tmp_path_factory):
            assert zk_server.data_dir.startswith(str(tmp_path_factory.getbasetemp()))
        def test_memory(zk_server):
            assert zk_server.data_dir is None
        """
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("virtual=True", "the marker zk does not take 'virtual'; it takes options, virtual_clock,"),
        ("True", "the marker zk does not take True"),
        ("options={'tickTme': 1}", "*tickTme: unknown*did you mean*"),
        ("leaks='no'", "*leaks is 'no'; give one of warn, error, ignore"),
    ],
)
def test_a_wrong_marker_is_told(run: Run, mark: str, message: str) -> None:
    result = run(f"@pytest.mark.zk({mark})\ndef test(zk_server): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{message}*"])


@pytest.mark.parametrize(
    ("ini", "arguments", "message"),
    [
        ("pyzk_leaks = never", (), "pyzk_leaks is 'never'; give one of warn, error, ignore"),
        ("pyzk_command = x", ("--pyzk-connect", "a:1"), "pyzk_connect: give one of them"),
    ],
)
def test_a_wrong_setting_is_told(
    run: Run, ini: str, arguments: tuple[str, ...], message: str
) -> None:
    result = run("def test(): pass", *arguments, ini=ini)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{message}*"])


def test_a_wrong_option_in_the_ini_file_is_told(run: Run) -> None:
    result = run("def test(zk_server): pass", ini="pyzk_options = tickTime")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*pyzk_options: 'tickTime' is not name=value*"])


# --- leaks ----------------------------------------------------------------------------

LEAK = """
clients = []
def test_leak(zk_server):
    from kazoo.client import KazooClient
    clients.append(KazooClient(zk_server.connect_string))
    clients[0].start()
def test_after():
    clients[0].stop()
    clients[0].close()
"""


def test_a_leaked_client_is_a_warning_with_the_name_of_the_test(run: Run) -> None:
    result = run(LEAK, "-Walways")
    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.fnmatch_lines(["*LeakedClientsWarning: 1 client(s) still connected*test_leak*"])


def test_a_leaked_client_may_be_an_error(run: Run) -> None:
    result = run(LEAK, "--pyzk-leaks", "error")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*LeakedClientsError: 1 client(s)*connected in *::test_leak*"])


def test_a_leaked_client_may_be_ignored(run: Run) -> None:
    run(LEAK, ini="pyzk_leaks = ignore").assert_outcomes(passed=2)


@pytest.mark.parametrize("end", ["assert False", "pytest.skip('enough')"])
def test_a_test_that_ends_early_may_leave_its_clients(run: Run, end: str) -> None:
    result = run(LEAK.replace("def test_after", f"    {end}\ndef test_after"), "--pyzk-leaks=error")
    outcome = {"failed": 1} if "assert" in end else {"skipped": 1}
    result.assert_outcomes(passed=1, **outcome)


# --- reports --------------------------------------------------------------------------


def test_a_failed_test_shows_sessions_and_events(run: Run) -> None:
    result = run(
        """
        def test_bad(zk_server, zk_client):
            zk_client.create("/e", b"", ephemeral=True)
            for _ in range(50):
                zk_client.exists("/e")
            zk_server.fail("create", "NoAuth")
            assert False
        def test_good(zk_server): pass
        """
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*- ZooKeeper server zk_server -*",
            "server on 127.0.0.1:*, running",
            "  session 0x* (127.0.0.1:*), ephemerals /e",
            "  in force: fail create with no auth (-102)",
            "last events (* earlier ones left out):",
            "*ordered: fail create with no auth (-102)",
        ]
    )
    assert str(result.stdout).count("server on 127.0.0.1") == 1


def test_very_verbose_shows_all_events(run: Run) -> None:
    result = run(
        """
        def test_bad(zk_server, zk_client):
            for _ in range(50):
                zk_client.exists("/e")
            assert False
        """,
        "-vv",
    )
    result.stdout.fnmatch_lines(["last events:", "*serving on*"])


def test_a_server_of_another_fixture_is_reported_too(run: Run) -> None:
    result = run(
        """
        from pyzk.testing import ZooKeeperServer
        @pytest.fixture
        def mine():
            with ZooKeeperServer() as server:
                yield server
        @pytest.fixture
        def shared(zk_server_module):
            zk_server_module.load({"/shared": b""})
        @pytest.fixture
        def broken(mine):
            raise OSError
        def test_call(mine, shared):
            assert False
        def test_setup(broken): pass
        """
    )
    result.assert_outcomes(failed=1, errors=1)
    assert str(result.stdout).count("- ZooKeeper server mine -") == 1
    assert str(result.stdout).count("- ZooKeeper server zk_server_module -") == 1


def test_a_report_that_fails_hides_nothing(run: Run) -> None:
    result = run(
        """
        def test(zk_server):
            zk_server._engine.report = None
            assert False, "the reason"
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the reason*", "no report: TypeError*"])


def test_a_test_case_of_kazoos_harness_is_reported(run: Run) -> None:
    result = run(
        """
        from pyzk.testing.kazoo_harness import KazooTestCase
        class TestIt(KazooTestCase):
            def test(self):
                self.client.create("/e", ephemeral=True)
                assert False
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*- ZooKeeper server cluster[[]0[]] -*", "*sent create /kazootests*/e"]
    )


# --- clients --------------------------------------------------------------------------


def test_a_client_survives_restarts_and_goes_before_its_server(run: Run) -> None:
    result = run(
        """
        def test(zk_server, zk_client):
            zk_client.create("/a")
            zk_server.restart()
            assert zk_client.retry(zk_client.exists, "/a")
            zk_server.kill()
            zk_server.restart()
            assert zk_client.retry(zk_client.exists, "/a")
        def test_made_late(zk_client_factory):
            assert zk_client_factory().create("/a") == "/a"
        def test_made_in_between(zk_client_factory, zk_server):
            assert zk_client_factory().create("/a") == "/a"
            assert zk_client_factory(timeout=3)._session_timeout == 3000
        """,
        "--pyzk-leaks=error",
    )
    result.assert_outcomes(passed=3)


def test_a_client_ends_whatever_was_done_to_its_server(run: Run) -> None:
    result = run(
        """
        @pytest.mark.parametrize("fault", [
            lambda server: server.pause(),
            lambda server: server.kill(),
            lambda server: server.stop(leaks="ignore"),
            lambda server: server.stall_disk(),
            lambda server: server.delay("any", 100),
            lambda server: server.no_response("any", executed=False),
            lambda server: server.no_response("closeSession"),
            lambda server: (server.reject_connections(), server.drop_connections()),
        ])
        def test(zk_server, zk_client, fault):
            zk_client.create("/a")
            fault(zk_server)
            zk_client.exists_async("/a")
        """,
        "--pyzk-leaks=error",
    )
    result.assert_outcomes(passed=8)


def test_without_kazoo_a_client_is_skipped(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kazoo.client", None)
    result = run("def test(zk_client): pass")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*zk_client needs kazoo: pip install kazoo*"])
