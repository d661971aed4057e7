"""The units of deploy/systemd: that systemd reads them, and that pyzk knows what they say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pyzk.cli import main
from pyzk.runtime import systemd

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy" / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))
TIMERS = sorted(UNITS.glob("*.timer"))
ALL = [*SERVICES, UNITS / "pyzk.socket", *TIMERS]
NEEDS_ANALYZE = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze"
)


def values(unit: Path, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), re.MULTILINE)


def name_of(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("unit", SERVICES, ids=name_of)
def test_the_commands_exist_with_their_options(unit: Path) -> None:
    (line,) = values(unit, "ExecStart")
    program, command, _, *options = line.split()
    assert program == "/usr/bin/pyzk"
    shown = CliRunner().invoke(main, [command, "--help"]).output
    assert "Error" not in shown
    for option in options:
        assert option in shown


@pytest.mark.parametrize(
    ("name", "comments"), [("pyzk.service", 2), ("pyzk-purge.service", 1), ("pyzk-purge.timer", 1)]
)
def test_the_template_differs_in_its_places_only(name: str, comments: int) -> None:
    one = (UNITS / name).read_text().splitlines()[comments:]
    template = (UNITS / name.replace(".", "@.")).read_text().splitlines()[comments:]
    assert [line for line in template if "%i" in line]
    without = [line.replace("/%i", "").replace(" (%i)", "") for line in template]
    assert without == one


def test_the_server_writes_where_it_may(tmp_path: Path) -> None:
    config = (UNITS / "zoo.cfg").read_text()
    assert "\ndataDir=/var/lib/pyzk\n" in config
    unit = UNITS / "pyzk.service"
    assert values(unit, "StateDirectory") == ["pyzk"]
    assert values(unit, "User") == values(UNITS / "pyzk-purge.service", "User") == ["pyzk"]
    assert values(UNITS / "pyzk-purge.service", "ReadWritePaths") == ["/var/lib/pyzk"]
    path = tmp_path / "zoo.cfg"
    path.write_text(config.replace("/var/lib/pyzk", str(tmp_path)))
    result = CliRunner().invoke(main, ["config", "check", "--strict", str(path)])
    assert result.exit_code == 0, result.output
    (port,) = values(UNITS / "pyzk.socket", "ListenStream")
    assert f"\nclientPort={port}\n" in config
    assert values(UNITS / "pyzk.socket", "FileDescriptorName") == [systemd.CLIENT]


def test_codes_that_another_start_does_not_change_are_not_tried_again() -> None:
    from pyzk.exit_codes import ExitCode

    (codes,) = values(UNITS / "pyzk.service", "RestartPreventExitStatus")
    assert [int(code) for code in codes.split()] == [
        ExitCode.INVALID_INVOCATION,
        ExitCode.DATADIR_LOCKED,
        ExitCode.DATA_CORRUPT,
    ]


@pytest.mark.live
@NEEDS_ANALYZE
@pytest.mark.parametrize("unit", SERVICES, ids=name_of)
def test_systemd_calls_what_they_may_do_ok(unit: Path) -> None:
    """The number differs between versions of systemd: OK ends at 2.0."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.live
@NEEDS_ANALYZE
def test_systemd_understands_them(tmp_path: Path) -> None:
    for unit in ALL:
        text = unit.read_text().replace("/usr/bin/pyzk", sys.executable)
        # A machine of tests has no such user.
        text = re.sub(r"^(User|Group)=.*$", "", text, flags=re.MULTILINE)
        (tmp_path / unit.name.replace("@", "@1")).write_text(text)
    names = [f"./{unit.name.replace('@', '@1')}" for unit in ALL]
    done = subprocess.run(
        ["systemd-analyze", "verify", *names],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    # What it says of other units of the machine is not ours.
    assert not [line for line in done.stderr.splitlines() if "pyzk" in line]
