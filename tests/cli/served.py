"""What `pyzk serve` would run, and a file for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner, Result

from pyzk.cli import main
from pyzk.config.server import ServerConfig


class Served:
    """What `pyzk serve` would have run with."""

    def __init__(self) -> None:
        self.config = ServerConfig()
        self.loop = ""
        self.logs: tuple[str, str] = ("", "")
        self.announcement = (False, False)
        self.level = ""
        self.read_level: Callable[[], str] | None = None

    def __call__(self, *args: str) -> Result:
        return CliRunner().invoke(main, ["serve", *args])


def zoo_cfg(directory: Path, text: str) -> str:
    path = directory / "zoo.cfg"
    path.write_text(text)
    return str(path)


def check(*args: str) -> Result:
    return CliRunner().invoke(main, ["config", "check", *args])
