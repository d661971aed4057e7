"""Finds and installs the original servers with which this one is compared.

Shell.

`python -m conformance.oracle install` puts Apache ZooKeeper 3.8 (Debian's packages, with the C
client's cli_mt and Curator) and 3.9.3 (the jars inside the pyspark distribution) on a Debian
machine; `python -m conformance.oracle list` says what is there.  PYZK_ORACLE names the directory of
the jars, one folder per version; without it the user's cache is used.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Final

import attrs

from conformance import c_client
from conformance.servers import Launcher

SPARK: Final = "pyspark==4.0.1"
RELEASE: Final = "3.9.3"
JARS: Final = (
    *("zookeeper", "curator", "netty", "slf4j-api", "log4j", "jline-2", "snappy-java"),
    *("metrics-core", "commons-cli", "commons-io", "jackson-", "guava"),
    *("listenablefuture", "failureaccess"),
)
DEBIAN_PACKAGES: Final = (
    "default-jre-headless",
    "zookeeper",
    "zookeeper-bin",
    "libcurator-recipes-java",
    *c_client.PACKAGES,
)
DEBIAN_JARS: Final = Path("/usr/share/java")
DEBIAN_CLASS_PATH: Final = (
    *("zookeeper", "curator-recipes", "curator-framework", "curator-client", "guava"),
    "failureaccess",
    # For TLS.
    *(f"netty-{name}" for name in ("buffer", "codec", "common", "handler", "resolver")),
    *("netty-transport", "netty-transport-native-epoll", "netty-transport-native-unix-common"),
)
ADMIN_CLASS_PATH: Final = (
    *(f"jetty9-{name}" for name in ("server", "http", "io", "util", "servlet", "security")),
    *("jetty9-util-ajax", "servlet-api", "metrics-core"),
    *("jackson-annotations", "jackson-core", "jackson-databind"),
)
"""What the admin server needs beside; Debian's zookeeper depends on it."""
DEBIAN_LOGGER: Final = "slf4j-simple"
CLI_MT: Final = Path("/usr/lib/zookeeper/bin/cli_mt")
LOG4J: Final = Path(__file__).parent / "log4j"


class OracleMissingError(Exception):
    """The original of a version is not installed."""


@attrs.frozen
class Oracle:
    """An installed original: its version and the class path of its programs."""

    version: str
    class_path: str

    def java(
        self, main: str, *arguments: str, properties: dict[str, str] | None = None
    ) -> list[str]:
        """The command line that runs one of its classes."""
        flags = [f"-D{key}={value}" for key, value in (properties or {}).items()]
        quick = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        return ["java", *quick, *flags, "-cp", self.class_path, main, *arguments]

    def cli(self, address: tuple[str, int], properties: dict[str, str] | None = None) -> list[str]:
        """The command line of its interactive client."""
        server = f"{address[0]}:{address[1]}"
        main = "org.apache.zookeeper.ZooKeeperMain"
        return self.java(main, "-server", server, properties=properties)

    def txnlog(self, file: Path) -> list[str]:
        """The command line that prints a transaction log."""
        return self.java("org.apache.zookeeper.server.persistence.TxnLogToolkit", "-d", str(file))

    def snapshot(self, file: Path) -> list[str]:
        """The command line that prints a snapshot."""
        return self.java("org.apache.zookeeper.server.SnapshotFormatter", str(file))

    def admin_launcher(self) -> Launcher:
        """How to run it as a server that has an admin server: with Jetty, from Debian. Raises
        OracleMissingError if that is not there."""
        plain = self.launcher()
        jars = [DEBIAN_JARS / f"{name}.jar" for name in ADMIN_CLASS_PATH]
        missing = [jar.name for jar in jars if not jar.exists()]
        if missing:
            raise OracleMissingError(f"{DEBIAN_JARS} has no {', '.join(missing)} (Debian's Jetty)")
        path = ":".join([str(plain.java_class_path), *map(str, jars)])
        return attrs.evolve(plain, java_class_path=path)

    def launcher(self) -> Launcher:
        """How to run it as a server."""
        class_path = self.class_path
        if self.version.startswith("3.8"):
            class_path = f"{class_path}:{DEBIAN_JARS / DEBIAN_LOGGER}.jar"
        return Launcher(f"zookeeper-{self.version}", "", class_path)


def secure_cli_mt() -> Path:
    """Where the C client with TLS and SASL is."""
    return home() / "c-client" / "cli_mt"


def home() -> Path:
    """The directory with the jars."""
    named = os.environ.get("PYZK_ORACLE")
    return Path(named) if named else Path.home() / ".cache" / "pyzk-oracle"


def find(version: str = "3.9") -> Oracle:
    """Returns the installed original of a version. Raises OracleMissingError, which says what to
    do."""
    if shutil.which("java") is None:
        raise OracleMissingError(
            "there is no java on the PATH; `python -m conformance.oracle install`"
        )
    if version.startswith("3.8") and (DEBIAN_JARS / "zookeeper.jar").exists():
        jars = [str(DEBIAN_JARS / f"{name}.jar") for name in DEBIAN_CLASS_PATH]
        return Oracle("3.8.0", ":".join(jars))
    for folder in sorted(home().glob(f"{version}*"), reverse=True):
        if list(folder.glob("zookeeper-3*.jar")):
            jars = [str(jar) for jar in sorted(folder.glob("*.jar"))]
            return Oracle(folder.name, ":".join([str(LOG4J), *jars]))
    raise OracleMissingError(
        f"ZooKeeper {version} is not installed in {home()}; run"
        " `python -m conformance.oracle install` or set PYZK_ORACLE"
    )


def launcher(version: str = "3.9", template: str | None = None) -> Launcher:
    """Returns how to run the original as a server, from a command template if one is given."""
    template = template or os.environ.get("PYZK_ORACLE_COMMAND")
    return Launcher("oracle", template) if template else find(version).launcher()


def _installed(version: str) -> bool:
    try:
        find(version)
    except OracleMissingError:
        return False
    return True


def install_debian() -> str | None:
    """Installs ZooKeeper 3.8, cli_mt and Curator from Debian; returns the reason if it cannot."""
    if _installed("3.8") and CLI_MT.exists() and secure_cli_mt().exists():
        return None
    if shutil.which("apt-get") is None:
        return "this is not Debian: there is no apt-get"
    if os.geteuid() != 0:
        return f"apt-get needs root: install {' '.join(DEBIAN_PACKAGES)} by hand"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *DEBIAN_PACKAGES],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            return f"{' '.join(command)} failed:\n{done.stderr[-2000:]}"
    return None


def install_release() -> str | None:
    """Installs ZooKeeper 3.9.3 and Curator out of pyspark; returns the reason if it cannot."""
    if _installed("3.9"):
        return None
    with tempfile.TemporaryDirectory(prefix="pyzk-oracle-") as scratch:
        venv.create(scratch, with_pip=True)
        pip = [f"{scratch}/bin/pip", "install", "-q", "--no-deps", "--no-compile"]
        for extra in (["setuptools", "wheel", "packaging"], ["--no-build-isolation", SPARK]):
            done = subprocess.run([*pip, *extra], capture_output=True, text=True)
            if done.returncode:
                return f"pip install {' '.join(extra)} failed:\n{done.stderr[-2000:]}"
        found = list(Path(scratch).glob("lib/python*/site-packages/pyspark/jars"))
        if not found:
            return f"{SPARK} has no jars"
        target = home() / RELEASE
        target.mkdir(parents=True, exist_ok=True)
        for name in JARS:
            for jar in found[0].glob(f"{name}*.jar"):
                shutil.copy(jar, target)
    return None if _installed("3.9") else f"{target} is still incomplete"


def main(arguments: list[str] | None = None) -> int:
    """Installs or lists; returns the exit status: 1 when something is missing afterwards."""
    parser = argparse.ArgumentParser(prog="python -m conformance.oracle", description=__doc__)
    parser.add_argument("action", choices=("install", "list"))
    options = parser.parse_args(arguments)
    problems = []
    if options.action == "install":
        steps = (install_debian, install_release, lambda: c_client.install(secure_cli_mt()))
        problems = [reason for reason in (step() for step in steps) if reason]
    for version in ("3.8", "3.9"):
        try:
            print(f"ZooKeeper {find(version).version}: installed")
        except OracleMissingError as missing:
            problems.append(str(missing))
    for what, program in (("cli_mt", CLI_MT), ("cli_mt with TLS and SASL", secure_cli_mt())):
        print(f"{what}: {'installed' if program.exists() else 'not installed'}")
    for problem in problems:
        print(f"oracle: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
