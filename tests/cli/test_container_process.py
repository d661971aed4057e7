"""`pyzk container` as a process: an ensemble by environment variables, and life as process 1."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from pyzk.runtime.free_ports import free_ports
from tests.cli.namespaces import (
    LIKE_A_POD,
    children_of,
    inside,
    need_namespaces,
    need_python,
    process_1,
)
from tests.cli.test_process import ask
from tests.processes import Child, end, python

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("at_a_terminal")]

COMMAND = (sys.executable, "-m", "pyzk", "container")
ON_LOOPBACK = "clientPortAddress=127.0.0.1"
LOOPBACK = {"ZOO_PORT": "0", "ZOO_CFG_EXTRA": ON_LOOPBACK}

LOG_IN = """
import sys
from kazoo.client import KazooClient
from kazoo.security import make_acl
options = {"mechanism": "DIGEST-MD5", "username": "bob", "password": sys.argv[2]}
client = KazooClient(f"127.0.0.1:{sys.argv[1]}", sasl_options=options, timeout=20)
client.start(timeout=30)
client.create("/own", b"", acl=[make_acl("auth", "", all=True)])
print(client.get_acls("/own")[0][0].id.id)
client.stop()
"""

Run = Callable[..., Child]


def bare(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what a container would be told."""
    return {
        name: value for name, value in environment.items() if not name.startswith(("ZOO_", "PYZK_"))
    }


@pytest.fixture
def run(tmp_path: Path, environment: dict[str, str]) -> Iterator[Run]:
    """Starts the command with these variables; logs go to a file for each."""
    with contextlib.ExitStack() as stack:

        def run(name: str = "one", command: tuple[str, ...] = COMMAND, **variables: str) -> Child:
            places = {
                "ZOO_CONF_DIR": str(tmp_path / "conf"),
                "ZOO_DATA_DIR": str(tmp_path / name / "data"),
                "ZOO_DATA_LOG_DIR": str(tmp_path / name / "datalog"),
                "ZOO_ADMINSERVER_ENABLED": "false",
            }
            child = subprocess.Popen(
                command,
                env=bare(environment) | places | variables,
                cwd=tmp_path,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stack.enter_context(open(tmp_path / f"{name}.log", "w")),
                text=True,
            )
            stack.callback(end, child)
            return child

        yield run


def line(child: Child) -> str:
    """The next line on standard output."""
    assert child.stdout is not None
    return child.stdout.readline()


def port_of(text: str) -> int:
    match = re.search(r"ready on [^ ]*:(\d+), ", text)
    assert match is not None, text
    return int(match[1])


def until(is_so: Callable[[], object], patience: float) -> None:
    deadline = time.monotonic() + patience
    while not is_so():
        assert time.monotonic() < deadline
        select.select([], [], [], 0.01)


def stop(child: Child, patience: float) -> None:
    child.send_signal(signal.SIGTERM)
    assert child.wait(patience) == 0


# ---- a server


def test_a_lone_server(run: Run, tmp_path: Path, patience: float) -> None:
    child = run(**LOOPBACK)
    said = line(child)
    assert said.endswith(f", standalone, data in {tmp_path}/one/data\n")
    assert b"Mode: standalone" in ask(port_of(said), b"srvr")
    assert (tmp_path / "one" / "data" / "myid").read_text() == "1\n"
    assert (tmp_path / "one" / "datalog" / "version-2").is_dir()
    stop(child, patience)
    assert not (tmp_path / "conf").exists()


def test_three_of_them_are_an_ensemble(run: Run, tmp_path: Path, patience: float) -> None:
    """Two of them start when the first has found nobody yet; the leader dies."""
    ports = free_ports(9)
    servers = " ".join(
        f"server.{n}=127.0.0.1:{ports[3 * n - 3]}:{ports[3 * n - 2]};127.0.0.1:{ports[3 * n - 1]}"
        for n in (1, 2, 3)
    )
    members = {}
    for sid in (1, 2, 3):
        members[sid] = run(f"zk{sid}", ZOO_MY_ID=str(sid), ZOO_SERVERS=servers, ZOO_TICK_TIME="200")
        assert f"server {sid} of 3, participant, looking for a leader" in line(members[sid])
    said = {sid: line(member) for sid, member in members.items()}
    leader = next(sid for sid, text in said.items() if "leader," in text)
    hosts = ",".join(f"127.0.0.1:{port_of(text)}" for text in said.values())
    client = KazooClient(hosts, timeout=10)
    client.start(patience)
    try:
        client.create("/a", b"x")
        members[leader].kill()
        assert client.retry(client.get, "/a")[0] == b"x"
        client.retry(client.set, "/a", b"y")
    finally:
        client.stop()
        client.close()
    for sid, member in members.items():
        if sid != leader:
            stop(member, patience)
            assert (tmp_path / f"zk{sid}" / "data" / "myid").read_text() == f"{sid}\n"
    log = (tmp_path / "zk1.log").read_text()
    assert "defaults are those of the official image" in log
    assert "WARNING pyzk.cli" not in log
    assert "configuration:" not in log


def test_clients_log_in_and_no_password_is_shown(run: Run, tmp_path: Path, patience: float) -> None:
    (tmp_path / "secret").write_text("geheim#1\n")
    child = run(
        **LOOPBACK,
        ZOO_ENABLE_AUTH="yes",
        ZOO_SERVER_USERS="bob",
        ZOO_SERVER_PASSWORDS_FILE=str(tmp_path / "secret"),
        ZOO_LOG_LEVEL="DEBUG",
    )
    port = str(port_of(line(child)))
    for password, expected in (("geheim#1", "bob\n"), ("falsch", "")):
        made = python("-c", LOG_IN, port, password, timeout=patience, check=False)
        assert made.stdout == expected, made.stderr
    stop(child, patience)
    assert "geheim" not in (tmp_path / "one.log").read_text()
    found = subprocess.run(["grep", "-r", "geheim", tmp_path / "one"], check=False)
    assert found.returncode == 1


def test_myid_stays_and_another_id_is_a_warning(run: Run, tmp_path: Path, patience: float) -> None:
    (tmp_path / "one" / "data").mkdir(parents=True)
    (tmp_path / "one" / "data" / "myid").write_text("7\n")
    child = run(**LOOPBACK, ZOO_MY_ID="2")
    line(child)
    stop(child, patience)
    assert (tmp_path / "one" / "data" / "myid").read_text() == "7\n"
    log = (tmp_path / "one.log").read_text()
    assert "ZOO_MY_ID makes this server 2, but" in log
    assert "holds '7'" in log


def test_a_zoo_cfg_that_is_there_counts(run: Run, tmp_path: Path, patience: float) -> None:
    (tmp_path / "conf").mkdir()
    own = tmp_path / "own"
    text = f"dataDir={own}\nclientPort=0\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n"
    (tmp_path / "conf" / "zoo.cfg").write_text(text)
    child = run(ZOO_TICK_TIME="5", ZOO_MY_ID="3")
    assert f"data in {own}\n" in line(child)
    stop(child, patience)
    assert (own / "myid").read_text() == "3\n"
    assert not (tmp_path / "one").exists()
    log = (tmp_path / "one.log").read_text()
    assert "zoo.cfg is there, so it counts, and not:" in log
    assert "ZOO_TICK_TIME" in log


@pytest.mark.parametrize(
    ("variables", "code", "text"),
    [
        ({"ZOO_MY_ID": "x"}, 2, "pyzk: ZOO_MY_ID: 'x' is not a number\n"),
        ({"ZOO_TICK_TIME": "x"}, 2, "pyzk: ZOO_TICK_TIME: 'x' is not an integer"),
        ({"ZOO_SERVERS": "server.1=a server.2=b"}, 2, "pyzk: ZOO_SERVERS: server.1: "),
        ({"ZOO_DATA_DIR": "/dev/null/x"}, 3, "pyzk: cannot write /dev/null/x/myid: "),
    ],
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path, environment: dict[str, str], variables: dict[str, str], code: int, text: str
) -> None:
    own = {"ZOO_DATA_DIR": str(tmp_path), "ZOO_CONF_DIR": str(tmp_path)} | variables
    env = bare(environment) | own
    done = python("-m", "pyzk", "container", env=env, check=False)
    assert done.returncode == code
    last = done.stderr.splitlines()[-1]
    assert f"{last}\n".startswith(text)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("is_printed", [False, True])
@pytest.mark.parametrize(
    ("variables", "text"),
    [
        (
            {"ZOO_TICK_TIME": "abc"},
            "pyzk: ZOO_TICK_TIME: 'abc' is not an integer of at least 1 (milliseconds)\n",
        ),
        (
            {"ZOO_ADMINSERVER_ENABLED": "yes"},
            "pyzk: ZOO_ADMINSERVER_ENABLED: 'yes' is not true or false\n",
        ),
    ],
)
def test_print_refuses_what_the_start_refuses(
    tmp_path: Path,
    environment: dict[str, str],
    variables: dict[str, str],
    text: str,
    is_printed: bool,
) -> None:
    own = {"ZOO_DATA_DIR": str(tmp_path), "ZOO_CONF_DIR": str(tmp_path)} | variables
    words = ["--print"] if is_printed else []
    env = bare(environment) | own
    done = python("-m", "pyzk", "container", *words, env=env, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(text)


def test_print_shows_the_warnings_of_the_configuration_and_the_id_that_counts(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    servers = " ".join(f"server.{n}=127.0.0.{n}:2888:3888;2181" for n in (1, 2, 3))
    own = {"ZOO_CONF_DIR": str(tmp_path), "ZOO_DATA_DIR": f"{tmp_path}/", "ZOO_SERVERS": servers}
    env = bare(environment) | own | {"ZOO_CFG_EXTRA": "tickTim=5", "ZOO_MY_ID": "3"}
    done = python("-m", "pyzk", "container", "--print", env=env)
    assert done.stdout.startswith("# myid: 3\n")
    assert "\nwarning: ZOO_CFG_EXTRA: tickTim: " in done.stderr
    assert not list(tmp_path.iterdir())
    (tmp_path / "myid").write_text("1\n")
    done = python("-m", "pyzk", "container", "--print", env=env)
    assert done.stdout.startswith("# myid: 1\n")
    assert f"\nwarning: ZOO_MY_ID makes this server 3, but {tmp_path}/myid, which" in done.stderr


def test_print_shows_the_warnings_of_a_zoo_cfg_that_counts(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    lines = "".join(f"server.{n}=127.0.0.{n}:2888:3888;2181\n" for n in (1, 2, 3))
    (tmp_path / "zoo.cfg").write_text(
        f"dataDir={tmp_path}/d\ntickTim=5\ninitLimit=5\nsyncLimit=2\n{lines}"
    )
    env = bare(environment) | {"ZOO_CONF_DIR": str(tmp_path), "ZOO_MY_ID": "2"}
    done = python("-m", "pyzk", "container", "--print", env=env)
    assert done.stdout == f"# myid: 2\n# {tmp_path}/zoo.cfg counts\n"
    assert "\nwarning: line 2: tickTim: " in f"\n{done.stderr}"
    assert not (tmp_path / "d").exists()


def test_a_port_that_is_taken_is_told_by_its_variable(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        child = run(ZOO_PORT=str(taken.getsockname()[1]), ZOO_CFG_EXTRA=ON_LOOPBACK)
        assert child.wait() == 1
        log = (tmp_path / "one.log").read_text()
        assert log.endswith("choose another one, 0 for any that is free: ZOO_PORT\n")


def test_what_it_would_do(tmp_path: Path, environment: dict[str, str]) -> None:
    own = {"ZOO_CONF_DIR": str(tmp_path), "ZOO_DATA_DIR": str(tmp_path / "d"), "ZOO_FOO": "1"}
    env = bare(environment) | own
    done = python("-m", "pyzk", "container", "--print", env=env)
    assert f"dataDir={tmp_path}/d\ndataLogDir=/datalog\n" in done.stdout
    assert "warning: ZOO_FOO: unknown, ignored\n" in done.stderr
    assert not (tmp_path / "d").exists()


def test_the_health_check_asks_where_the_variables_say(
    run: Run, tmp_path: Path, environment: dict[str, str], patience: float
) -> None:
    (port,) = free_ports(1)
    told = LOOPBACK | {"ZOO_PORT": str(port)}
    places = {
        "ZOO_CONF_DIR": str(tmp_path / "conf"),
        "ZOO_DATA_DIR": str(tmp_path / "one" / "data"),
    }

    def health() -> tuple[int, str]:
        env = bare(environment) | told | places
        done = python("-m", "pyzk", "container", "--health", env=env, check=False)
        return done.returncode, done.stdout

    child = run(**told)
    line(child)
    assert health() == (0, f"127.0.0.1:{port} is ready: standalone\n")
    stop(child, patience)
    assert health()[0] == 3


# ---- as in a container


def test_as_process_1_it_obeys_sigterm_and_leaves_no_dead_processes(
    run: Run, patience: float
) -> None:
    need_namespaces()
    child = run(command=inside(command=COMMAND), **LOOPBACK)
    line(child)
    pid = process_1(child)
    # The orphan of a process that has joined the namespace, as `docker exec` makes them.
    orphan = "import os\nif os.fork(): os._exit(0)\nwhile os.getppid() != 1: pass\nprint('gone')"
    joined = ("nsenter", f"--target={pid}", "--pid", "--mount", sys.executable, "-c", orphan)
    done = subprocess.run(joined, capture_output=True, text=True, check=True, timeout=patience)
    assert done.stdout == "gone\n"
    until(lambda: children_of(pid) == [], patience)
    os.kill(pid, signal.SIGTERM)
    assert child.wait(patience) == 0


def test_it_runs_without_privileges_on_a_root_that_is_read_only(
    run: Run, tmp_path: Path, patience: float
) -> None:
    need_namespaces()
    need_python(LIKE_A_POD)
    volumes = [tmp_path / "one" / name for name in ("data", "datalog")]
    for volume in volumes:
        volume.mkdir(parents=True)
        os.chown(volume, 1000, 1000)
    before = ["mount -t tmpfs none /mnt", "mkdir /mnt/data /mnt/datalog"]
    before += [f"mount --bind {volume} /mnt/{volume.name}" for volume in volumes]
    before += ["mount -o remount,bind,ro /mnt", "mount -o remount,bind,ro /"]
    places = {"ZOO_DATA_DIR": "/mnt/data", "ZOO_DATA_LOG_DIR": "/mnt/datalog"}
    child = run(command=inside(*before, command=(*LIKE_A_POD, *COMMAND)), **LOOPBACK, **places)
    said = line(child)
    assert "ready" in said, (tmp_path / "one.log").read_text()
    assert b"Mode: standalone" in ask(port_of(said), b"srvr")
    os.kill(process_1(child), signal.SIGTERM)
    assert child.wait(patience) == 0
    assert (volumes[0] / "myid").stat().st_uid == 1000


def test_names_that_nobody_knows_yet(run: Run, tmp_path: Path, patience: float) -> None:
    """As pods are: each one's own name is known some time after it has started."""
    need_namespaces()
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n")
    (tmp_path / "nsswitch.conf").write_text("hosts: files\n")
    before = (
        f"mount --bind {hosts} /etc/hosts",
        f"mount --bind {tmp_path}/nsswitch.conf /etc/nsswitch.conf",
    )
    ports = free_ports(9)
    servers = " ".join(
        f"server.{n + 1}=zk-{n}.zk:{ports[3 * n]}:{ports[3 * n + 1]};127.0.0.1:{ports[3 * n + 2]}"
        for n in range(3)
    )
    members = []
    for number in range(3):
        command = inside(*before, f"hostname zk-{number}", command=COMMAND)
        command = (command[0], "--uts", *command[1:])
        variables = {"ZOO_SERVERS": servers, "PYZK_FIRST_ID": "1", "ZOO_TICK_TIME": "500"}
        members.append(run(f"zk-{number}", command, **variables))
        assert f"server {number + 1} of 3, participant, looking" in line(members[-1])
    log = tmp_path / "zk-2.log"
    until(lambda: "the name zk-2.zk is not known here" in log.read_text(), patience)
    with hosts.open("a") as file:
        file.writelines(f"127.0.0.1 zk-{number}.zk\n" for number in range(3))
    said = [line(member) for member in members]
    assert sum("leader," in text for text in said) == 1, said
    assert sum("follower of server" in text for text in said) == 2, said
    for member in members:
        os.kill(process_1(member), signal.SIGTERM)
        assert member.wait(patience) == 0
