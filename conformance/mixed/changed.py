"""What must be so when the members of an ensemble have changed: roles, configuration, files.

Shell.

ZooKeeper keeps the configuration in three places: in the znode /zookeeper/config, whose mzxid is
its version; in a dynamic file with the version in its name; and zoo.cfg names that file, and no
member any more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from conformance import wire
from conformance.mixed import compare
from conformance.mixed.changing import CONFIG_NODE, ChangingEnsemble, ChangingMember
from conformance.mixed.members import NOT_SERVING, MixedError, MixedMember, check, eventually

OF_MEMBERS: Final = ("server.", "group.", "weight.", "peerType", "clientPort", "dynamicConfigFile")
"""Beginnings of the keys that zoo.cfg has no longer once there is a dynamic file."""


def settings(file: Path) -> dict[str, str]:
    """Returns what a zoo.cfg or a dynamic file says."""
    lines = [line.strip() for line in file.read_text().splitlines()]
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {key: value for key, _, value in pairs}


def wrong_files(member: ChangingMember, text: str, version: int) -> str:
    """Returns what is wrong with the files of a member; empty if nothing is.

    They have a configuration if zoo.cfg names a dynamic file of its version that has its lines, and
    no other has been proposed since.
    """
    names = sorted(path.name for path in member.root.glob("zoo.cfg.*"))
    dynamic = member.root / f"zoo.cfg.dynamic.{version:x}"
    if not dynamic.exists():
        return f"{member} has no {dynamic.name}, but {names}"
    if "zoo.cfg.dynamic.next" in names:
        return f"{member} still has a proposed configuration: {names}"
    # The last line may end or not.
    if dynamic.read_text().rstrip("\n") != "\n".join(sorted(text.splitlines())):
        return f"{member} has in {dynamic.name}:\n{dynamic.read_text()}"
    backup = settings(member.root / "zoo.cfg.bak")
    wanted = {key: backup[key] for key in backup if not key.startswith(OF_MEMBERS)}
    wanted["dynamicConfigFile"] = str(dynamic)
    found = settings(member.zoo_cfg)
    if found != wanted:
        return f"{member} has in zoo.cfg {sorted(found.items())}, not {sorted(wanted.items())}"
    return ""


def said(member: MixedMember) -> tuple[list[str], int, int]:
    """Returns the configuration that a member says: its lines, and the version and the mzxid of its
    znode.

    A Java leader and its followers may have the lines in different orders; they are sorted here.
    """
    client = member.new_session()
    answer = client.call("getData", wire.path_watch(CONFIG_NODE))
    client.close_session()
    check(not answer.err, f"{member} has no {CONFIG_NODE}: error {answer.err}")
    reader = wire.Reader(answer.body)
    text, stat = (reader.buffer() or b"").decode(), reader.stat()
    return sorted(text.split("\n")), int(str(stat["version"])), int(str(stat["mzxid"]), 16)


def wait_roles(ensemble: ChangingEnsemble, timeout: float = 60.0) -> None:
    """Waits until one voter leads, the others follow and the observers observe; who is no member
    must serve, too, as the original does until it is stopped."""
    seen: dict[int, str] = {}

    def are_right() -> bool:
        seen.clear()
        for member in ensemble.running:
            member.check_running()
            seen[member.sid] = member.mode()
        voters = sorted(role for sid, role in seen.items() if ensemble.votes(sid))
        observers = {role for sid, role in seen.items() if ensemble.observes(sid)}
        wanted = ["follower"] * (len(voters) - 1) + ["leader"]
        return voters == wanted and observers <= {"observer"} and NOT_SERVING not in seen.values()

    try:
        eventually("every member serves in its role", are_right, timeout)
    except MixedError as error:
        raise MixedError(f"{error}: {seen}; the configuration is\n{ensemble.text}") from error


def settle(ensemble: ChangingEnsemble) -> None:
    """Waits until every running server serves in its role, and says and has on its disk what the
    configuration is."""
    wait_roles(ensemble)
    lines = sorted([*ensemble.text.split("\n"), f"version={ensemble.version:x}"])
    wanted = (lines, -1, ensemble.version)
    seen: dict[str, object] = {}

    def all_say_so() -> bool:
        try:
            seen.update((str(member), said(member)) for member in ensemble.running)
        except OSError:  # its role has just changed
            return False
        return all(words == wanted for words in seen.values())

    def files_are_right() -> bool:
        seen.clear()
        for member in ensemble.running:
            # A pyzk server that is not a member yet keeps the files with which it can start again.
            if member.is_pyzk and member.sid not in ensemble.lines:
                continue
            if wrong := wrong_files(member, ensemble.text, ensemble.version):
                seen[str(member)] = wrong
        return not seen

    for what, holds in (("says", all_say_so), ("has on its disk", files_are_right)):
        try:
            eventually(f"every member {what} the configuration", holds)
        except MixedError as error:
            raise MixedError(f"{error}: {wanted}\n{seen}") from error
    wait_roles(ensemble)


def all_agree(ensemble: ChangingEnsemble) -> str:
    """Checks the configuration, the trees, the logs with their digests; returns a few words."""
    settle(ensemble)
    words = compare.all_agree(ensemble)
    settle(ensemble)
    return f"version {ensemble.version:x} everywhere, {words}"
