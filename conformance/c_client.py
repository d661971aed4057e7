"""Builds the C client with TLS and SASL, which Debian's package is built without.

Shell.

From the source that Debian's package is made of, with its own compiler for the records; apt's
settings and lists on this machine stay as they are.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final

PACKAGES: Final = ("gcc", "libc6-dev", "libssl-dev", "libsasl2-dev", "libsasl2-modules")
JUTE: Final = Path("/usr/share/java/zookeeper-jute.jar")
KEYS: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
LIBRARY: Final = (
    *("zookeeper.c", "recordio.c", "zk_log.c", "zk_hashtable.c", "addrvec.c", "mt_adaptor.c"),
    *("zk_sasl.c", "hashtable/hashtable.c", "hashtable/hashtable_itr.c"),
)
DEFINED: Final = (
    *("_GNU_SOURCE", "THREADED", "HAVE_OPENSSL_H", "HAVE_CYRUS_SASL_H"),
    # OpenSSL 3 has it under another name.
    "FIPS_mode()=0",
)
OPTION: Final = re.compile(r"#cmakedefine (HAVE_\w+).*")


def install(target: Path) -> str | None:
    """Builds the program at ``target`` if it is not there; returns the reason if it cannot."""
    if target.exists():
        return None
    with tempfile.TemporaryDirectory(prefix="pyzk-c-client-") as scratch:
        try:
            folder = _source(Path(scratch))
            target.parent.mkdir(parents=True, exist_ok=True)
            _build(folder, target)
        except subprocess.CalledProcessError as error:
            return f"{' '.join(error.cmd[:3])} … failed:\n{error.stderr[-2000:]}"
        except FileNotFoundError as missing:
            return f"{missing.filename} is not there to build the C client with"
    return None


def _source(scratch: Path) -> Path:
    """Fetches the source of Debian's package; returns the folder with the release in it."""
    lists, sources = scratch / "lists", scratch / "sources.list"
    (lists / "partial").mkdir(parents=True)
    sources.write_text(_suites(scratch))
    apt = [
        *("apt-get", "-qq", "-o", f"Dir::Etc::sourcelist={sources}"),
        *("-o", "Dir::Etc::sourceparts=-", "-o", f"Dir::State::lists={lists}"),
        *("-o", f"Dir::Cache={scratch}", "-o", "APT::Sandbox::User=root"),
    ]
    for command in (("update",), ("source", "--download-only", "zookeeper")):
        _run([*apt, *command], scratch)
    (archive,) = scratch.glob("zookeeper_*.orig.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(scratch, filter="data")
    (folder,) = scratch.glob("apache-zookeeper-*")
    return folder


def _suites(folder: Path) -> str:
    """Returns lines for apt: the sources of what this machine has its packages from."""
    place = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    told = _run(["apt-get", "indextargets", "--format", place, "Created-By: Packages"], folder)
    return "".join(f"deb-src [signed-by={KEYS}] {each}\n" for each in sorted({*told.splitlines()}))


def _build(release: Path, target: Path) -> None:
    """Compiles the client with threads."""
    client = release / "zookeeper-client/zookeeper-client-c"
    made = client / "generated"
    made.mkdir()
    records = release / "zookeeper-jute/src/main/resources/zookeeper.jute"
    compiler = ["java", "-cp", str(JUTE), "org.apache.jute.compiler.generated.Rcc"]
    _run([*compiler, "-l", "c", str(records)], made)
    options = OPTION.findall((client / "cmake_config.h.in").read_text())
    lines = [f"#define {name} 1" for name in options]
    (made / "config.h").write_text("\n".join([*lines, '#define PACKAGE_STRING "zookeeper"', ""]))
    sources = [f"src/{name}" for name in (*LIBRARY, "cli.c")]
    flags = ["-O1", "-w", *(f"-D{name}" for name in DEFINED)]
    folders = ("include", "generated", "src", "src/hashtable")
    command = [shutil.which("gcc") or "gcc", *flags, *(f"-I{name}" for name in folders)]
    command += [*sources, "generated/zookeeper.jute.c", "-o", str(target)]
    _run([*command, "-lssl", "-lcrypto", "-lsasl2", "-lpthread", "-lm"], client)


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout
