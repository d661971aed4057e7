"""Where `pyzk ensemble` keeps its members: what is made, what is found again, what is refused."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from pyzk.cli import main
from pyzk.cli.ensemble_layout import (
    LayoutError,
    MemberFolder,
    Ports,
    _chosen,
    _chosen_for_admin,
    admin_addresses,
    check_free,
    connect_string,
    prepare,
)
from pyzk.config.members import parse_membership
from pyzk.config.server import parse_config
from pyzk.persistence.config_files import ConfigFiles
from pyzk.runtime.files import FileDirectory
from pyzk.runtime.free_ports import free_ports


def make(directory: Path, voters: int | None = 3, observers: int | None = 1) -> list[MemberFolder]:
    return prepare(directory, voters, observers, 0)


def test_each_member_has_a_folder_that_serve_understands(tmp_path: Path) -> None:
    members = make(tmp_path / "new")
    assert [(member.sid, member.is_observer) for member in members] == [
        (1, False), (2, False), (3, False), (4, True),
    ]  # fmt: skip
    assert len({port for member in members for port in member.ports}) == 12
    for member in members:
        assert member.folder == tmp_path / "new" / str(member.sid)
        assert (member.data / "myid").read_text() == f"{member.sid}\n"
        text = member.config.read_text()
        assert f"dataDir={member.data}\n" in text
        assert [line for line in text.splitlines() if line.startswith("server.")] == [
            each.line for each in members
        ]


def test_a_members_file_is_without_complaint(tmp_path: Path) -> None:
    for member in make(tmp_path):
        lines = member.config.read_text().splitlines()
        alone = "\n".join(line for line in lines if not line.startswith("server.")).encode()
        config = parse_config(alone + b"\nclientPort=1\n")
        assert config.warnings == ()


def test_members_that_may_be_changed_say_so_in_their_files(tmp_path: Path) -> None:
    made = prepare(tmp_path / "a", 3, 0, 0, can_change=True)
    for member in made:
        text = member.config.read_bytes()
        config = parse_config(text, read_file=lambda name: b"1" if name.endswith("/myid") else None)
        assert config.ensemble is not None
        assert config.ensemble.reconfig_enabled
        assert not config.standalone_enabled
    assert prepare(tmp_path / "a", None, None, None, can_change=True) == made
    assert prepare(tmp_path / "a", None, None, None) == made
    members = make(tmp_path / "b")
    assert "reconfigEnabled" not in members[0].config.read_text()
    with pytest.raises(LayoutError, match=r"zoo\.cfg does not have reconfigEnabled=true; set it"):
        prepare(tmp_path / "b", None, None, None, can_change=True)


def test_the_option_of_the_command_reaches_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(supervisor: object) -> int:
        return 0

    monkeypatch.setattr("pyzk.cli.ensemble.Supervisor.run", run)
    arguments = ["ensemble", "2", "--base-port", "0", "--dir"]
    for name, options in (("a", []), ("b", ["--reconfig-enabled"])):
        place = tmp_path / name
        assert CliRunner().invoke(main, [*arguments, str(place), *options]).exit_code == 0
        text = (place / "1" / "zoo.cfg").read_text()
        assert ("reconfigEnabled=true\n" in text) is bool(options)


def test_what_is_there_is_used_again_as_it_is(tmp_path: Path) -> None:
    made = make(tmp_path)
    made[0].config.write_text(made[0].config.read_text() + "snapCount=1234\n")
    assert prepare(tmp_path, None, None, None) == made
    assert prepare(tmp_path, 3, 1, made[0].ports.client) == made
    assert "snapCount=1234" in made[0].config.read_text()


@pytest.mark.parametrize(
    ("voters", "observers", "base_port", "said"),
    [
        (5, None, None, "holds an ensemble of 3 voters and 1 observers; leave the numbers out"),
        (None, 0, None, "3 voters and 1 observers"),
        (None, None, 1, "whose client ports begin with"),
    ],
)
def test_what_differs_from_what_is_there_is_refused(
    tmp_path: Path, voters: int | None, observers: int | None, base_port: int | None, said: str
) -> None:
    make(tmp_path)
    with pytest.raises(LayoutError, match=said):
        prepare(tmp_path, voters, observers, base_port)


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LayoutError, match="holds something else"):
        make(tmp_path)
    with pytest.raises(LayoutError, match="is not a directory"):
        make(tmp_path / "file")


def test_a_folder_that_was_removed_is_missed(tmp_path: Path) -> None:
    made = make(tmp_path)
    made[1].config.unlink()
    with pytest.raises(LayoutError, match=r"names the servers 1, 2, 3, 4, but .* 1, 3, 4"):
        prepare(tmp_path, None, None, None)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("clientPort=2181", "a single server"),
        ("server.1=nonsense", "zoo.cfg: "),
        ("initLimit=1\nsyncLimit=1\nserver.1=h:1:2\nserver.2=h:3:4\nclientPort=9", "end the line"),
    ],
)
def test_a_file_that_says_something_else_is_told(tmp_path: Path, lines: str, said: str) -> None:
    for sid in (1, 2):
        (tmp_path / str(sid)).mkdir()
        (tmp_path / str(sid) / "zoo.cfg").write_text(lines)
    with pytest.raises(LayoutError, match=said):
        prepare(tmp_path, None, None, None)


def reconfigured(members: list[MemberFolder], lines: list[str], version: int) -> None:
    """Give these members a later configuration."""
    membership = parse_membership("\n".join([*lines, f"version={version:x}"]).encode())
    for member in members:
        directory = FileDirectory(str(member.folder))
        ConfigFiles(directory, member.config.name, member.sid).activate(membership)


def test_a_directory_works_again_after_a_reconfiguration(tmp_path: Path) -> None:
    made = make(tmp_path, 3, 0)
    lines = [each.line for each in made]
    reconfigured(made, lines, 0x100000000)
    assert prepare(tmp_path, None, None, None) == made
    # Server 3 was removed, and server 2 does not know it yet; server 1 has another role and port.
    ports = free_ports(3)
    first = made[0]._replace(is_observer=True, ports=Ports(*ports))
    reconfigured([made[0], made[2]], [first.line, made[1].line], 0x100000005)
    assert prepare(tmp_path, None, None, None) == [first, made[1]]
    assert prepare(tmp_path, 1, 1, ports[0]) == [first, made[1]]
    with pytest.raises(LayoutError, match="holds an ensemble of 1 voters and 1 observers"):
        prepare(tmp_path, 3, None, None)


def test_a_server_elsewhere_that_was_added_is_told(tmp_path: Path) -> None:
    made = make(tmp_path, 3, 0)
    lines = [*(each.line for each in made), "server.9=h:1:2;3"]
    reconfigured(made[:1], lines, 0x100000000)
    with pytest.raises(LayoutError, match="with the servers 9, which have no folder"):
        prepare(tmp_path, None, None, None)


def test_ports_follow_the_first_one() -> None:
    assert _chosen(2, 2181) == [Ports(2181, 3181, 4181), Ports(2182, 3182, 4182)]
    with pytest.raises(LayoutError, match="63533 is the highest for 3 servers"):
        _chosen(3, 63534)
    assert _chosen(3, 63533)[2] == Ports(63535, 64535, 65535)


def test_a_port_that_somebody_has_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = Ports(free_ports(1)[0], port, 0)
        member = MemberFolder(7, False, tmp_path, ports)
        with pytest.raises(LayoutError, match=f"port {port}, the quorum port of server 7: ") as new:
            check_free([member], is_new=True)
        assert str(new.value).endswith("or give another --base-port (0: ports that are free)")
        with pytest.raises(LayoutError, match=r"give another --base-port in another directory \(0"):
            check_free([member], is_new=False)


def test_the_connect_string_has_every_member(tmp_path: Path) -> None:
    members = make(tmp_path)
    ports = [member.ports.client for member in members]
    assert connect_string(members) == ",".join(f"127.0.0.1:{port}" for port in ports)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("1",), "'[N]': '1' is not a number of servers; give 2 to 50."),
        (("two",), "'[N]': 'two' is not a number of servers; give 2 to 50."),
        (("--observers", "-1"), "'--observers': '-1' is not a number of servers; give 0 to 50."),
        (("--base-port", "x"), "'--base-port': 'x' is not a port; give 0 to 65535."),
        (("--base-port", "65536"), "'--base-port': '65536' is not a port; give 0 to 65535."),
        (("--base-port", "65000"), "is the highest for 3 servers"),
    ],
)
def test_wrong_arguments_are_code_2(arguments: tuple[str, ...], said: str) -> None:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    result = CliRunner().invoke(main, ["ensemble", *arguments])
    assert result.exit_code == 2
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask
    assert said in result.output


# --- admin servers --------------------------------------------------------------------


def test_each_member_may_have_an_admin_server(tmp_path: Path) -> None:
    made = prepare(tmp_path, 3, 0, 0, has_admin=True)
    ports = [member.admin_port for member in made]
    assert len(set(ports)) == 3
    for member in made:
        text = member.config.read_text()
        assert f"admin.serverAddress=127.0.0.1\nadmin.serverPort={member.admin_port}\n" in text
    assert prepare(tmp_path, None, None, None) == made
    assert prepare(tmp_path, None, None, None, has_admin=True) == made
    assert admin_addresses(made).split(",")[2] == f"http://127.0.0.1:{ports[2]}"


def test_members_without_one_do_not_get_it(tmp_path: Path) -> None:
    made = prepare(tmp_path, 3, 0, 0)
    assert [member.admin_port for member in made] == [None] * 3
    with pytest.raises(LayoutError, match=r"has admin\.enableServer=false"):
        prepare(tmp_path, None, None, None, has_admin=True)


def test_the_ports_of_admin_servers_follow_the_others() -> None:
    assert _chosen_for_admin(2, 2181) == range(5181, 5183)
    with pytest.raises(LayoutError, match="62534 is the highest"):
        _chosen_for_admin(2, 62535)


def test_a_taken_admin_port_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        free = free_ports(3)
        with pytest.raises(LayoutError, match=f"port {port}, the admin port of server 7"):
            check_free([MemberFolder(7, False, tmp_path, Ports(*free), port)], is_new=True)
