"""The markers `zk` and `zk_ensemble`: their arguments, and the fixtures that take them.

Shell. It is imported when a test uses one of the fixtures. No argument of a marker is ignored
silently: one that none of the test's fixtures takes fails the test before anything is started.

    zk_ensemble   is for ensembles
    zk            is for servers and ensembles, whichever the test uses

The marker nearest to the test wins: test before class before module. At one place zk_ensemble wins
over zk.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple, NoReturn

import pytest

SERVER: Final = "server"
ENSEMBLE: Final = "ensemble"


class Made(NamedTuple):
    """What a fixture makes, and how long it lives."""

    kind: str
    scope: str


FIXTURES: Final[Mapping[str, Made]] = {
    "zk_server": Made(SERVER, "function"),
    "zk_server_module": Made(SERVER, "module"),
    "zk_server_session": Made(SERVER, "session"),
    "zk_server_factory": Made(SERVER, "function"),
    "zk_ensemble": Made(ENSEMBLE, "function"),
    "zk_ensemble_factory": Made(ENSEMBLE, "function"),
}
_FACTORIES: Final = ("zk_server_factory", "zk_ensemble_factory")
_CLIENTS: Final = ("zk_client", "zk_client_factory")
ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    SERVER: ("options", "virtual_clock", "on_disk", "leaks", "tls", "sasl"),
    ENSEMBLE: ("voters", "observers", "options", "on_disk", "leaks", "tls", "sasl"),
}
MARKERS: Final[Mapping[str, tuple[str, ...]]] = {
    "zk": (*ARGUMENTS[SERVER], "voters", "observers"),
    "zk_ensemble": ARGUMENTS[ENSEMBLE],
}
_REACH: Final = {"function": "a test", "class": "a class", "module": "a module"}
_BOOLEAN: Final = ("virtual_clock", "on_disk")

_was_read = pytest.StashKey[bool]()
"""Set on a test when one of its fixtures has read its markers."""


class _Said(NamedTuple):
    """One argument of one marker."""

    marker: str
    name: str
    value: object
    level: str
    """What has the marker: a function, a class or a module; a package counts as a module."""


# --- what is said ---------------------------------------------------------------------


def settings_of(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the arguments that markers give to the fixture of a request."""
    fixture = request.fixturename
    assert fixture is not None
    made = FIXTURES[fixture]
    if made.scope == "function":
        request.node.stash[_was_read] = True
        check(request.node, {*used_by(request.node), fixture})
    settings: dict[str, Any] = {}
    options: dict[str, object] = {}
    for said in _said(request.node):
        if said.name not in ARGUMENTS[made.kind] or said.marker not in _markers_for(made.kind):
            continue
        if said.name == "options":
            options.update(said.value if isinstance(said.value, Mapping) else {})
        else:
            settings[said.name] = said.value
    return {**settings, "options": options} if options else settings


def _markers_for(kind: str) -> tuple[str, ...]:
    return ("zk",) if kind == SERVER else ("zk", "zk_ensemble")


def _said(node: pytest.Item) -> Iterator[_Said]:
    """Yield the arguments of all markers of a test, or of a module or the session, the nearest
    last. A wrong argument fails the test."""
    chain = node.listchain()
    found = [(at, mark) for at, mark in node.iter_markers_with_node() if mark.name in MARKERS]
    found.reverse()
    found.sort(key=lambda one: (chain.index(one[0]), one[1].name == "zk_ensemble"))
    for at, mark in found:
        unknown = [name for name in mark.kwargs if name not in MARKERS[mark.name]]
        if mark.args or unknown:
            _fail(
                f"the marker {mark.name} does not take"
                f" {', '.join(map(repr, [*mark.args, *unknown]))};"
                f" it takes {', '.join(MARKERS[mark.name])} by name"
            )
        for name, value in mark.kwargs.items():
            _check_value(mark.name, name, value)
            yield _Said(mark.name, name, value, _level(at))


def _check_value(marker: str, name: str, value: object) -> None:
    expected = ""
    if name in _BOOLEAN and not isinstance(value, bool):
        expected = "True or False"
        if name == "on_disk":
            expected += (
                "; the directory is made for the test, data_dir names it"
                " (a directory of yours: zk_server_factory(data_dir=...))"
            )
    elif name == "sasl" and not isinstance(value, Mapping | None):
        expected = "a dictionary of users and passwords"
    elif name == "options" and not isinstance(value, Mapping | None):
        expected = "a dictionary of keys of zoo.cfg"
    if expected:
        _fail(f"the marker {marker} says {name}={value!r}; give {expected}")


def _level(node: object) -> str:
    if isinstance(node, pytest.Item):
        return "function"
    return "class" if isinstance(node, pytest.Class) else "module"


# --- which fixtures take it -----------------------------------------------------------


def used_by(item: pytest.Item) -> set[str]:
    """Return the fixtures that a test uses, itself or through other fixtures."""
    names = set(getattr(item, "fixturenames", ()))
    used = names & FIXTURES.keys()
    if not used and names & set(_CLIENTS):
        used = {"zk_server"}
    return used


def check(item: pytest.Item, used: Collection[str]) -> None:
    """Fail a test with these fixtures if an argument of its markers would have no effect."""
    for mark in item.iter_markers():
        if mark.name in (*FIXTURES, *_CLIENTS) and mark.name not in MARKERS and mark.kwargs:
            _fail(f"there is no marker {mark.name}; write @pytest.mark.zk(...)")
    # The nearest marker counts: a test may take back what its module says.
    effective = {(said.marker, said.name): said for said in _said(item)}
    for said in effective.values():
        if said.value:
            _check_reach(said, used)


def _check_reach(said: _Said, used: Collection[str]) -> None:
    kinds = {name: FIXTURES[name] for name in FIXTURES if name in used}
    has_ensemble = any(made.kind == ENSEMBLE for made in kinds.values())
    if said.marker == "zk_ensemble" and said.level != "function" and not has_ensemble:
        return  # It is only for those tests of the module or class that use an ensemble.
    takers = {
        name: made
        for name, made in kinds.items()
        if said.name in ARGUMENTS[made.kind] and said.marker in _markers_for(made.kind)
    }
    if any(_reaches(said.level, made.scope) for made in takers.values()):
        return
    what = f"the marker {said.marker} of {_REACH[said.level]}"
    if not takers:
        _fail(
            f"{what} says {said.name}={said.value!r}, but {' and '.join(kinds)}"
            f" {'does' if len(kinds) == 1 else 'do'} not take it: {_whose(said)}"
        )
    shared = ", ".join(takers)
    instead = "mark the module"
    if "zk_server_module" not in takers:
        instead = "set pyzk_options in the ini file"
    _fail(f"{what} does not change {shared}, which others use too; use zk_server, or {instead}")


def _whose(said: _Said) -> str:
    if said.name == "virtual_clock":
        return "it is for single servers, ensembles have no virtual clock"
    if said.name in ARGUMENTS[SERVER]:
        return "the marker of single servers is zk"
    return "it is for zk_ensemble and zk_ensemble_factory"


def _reaches(level: str, scope: str) -> bool:
    if scope == "function":
        return True
    return scope == "module" and level == "module"


def check_afterwards(item: pytest.Item) -> None:
    """Fail a test with a marker that no fixture has read, as the test uses none of them. A marker
    with other arguments belongs to another plugin."""
    names = getattr(item, "fixturenames", ())
    if item.stash.get(_was_read, False) or any(name in FIXTURES for name in names):
        return
    for mark in item.own_markers:
        known = MARKERS.get(mark.name, ())
        if mark.kwargs and not mark.args and all(name in known for name in mark.kwargs):
            _fail(
                f"the marker {mark.name} of this test does nothing: it is for"
                f" {', '.join(FIXTURES)}, and the test uses none of them"
            )


# --- clients --------------------------------------------------------------------------


def server_of_clients(request: pytest.FixtureRequest, client: str) -> str:
    """Return the fixture whose client a test gets that does not name a server: the fixture that the
    test names, else the one that its other fixtures use, else zk_server. A choice of two fails."""
    import inspect

    function = getattr(request.node, "function", None)
    direct = set(inspect.signature(function).parameters) if function is not None else set()
    for names in (direct, set(request.fixturenames)):
        found = [name for name in FIXTURES if name in names]
        made = [name for name in found if name not in _FACTORIES]
        if len(made) == 1:
            return made[0]
        if found:
            example = made[0] if made else "server"
            _fail(
                f"{client} beside {' and '.join(found)}: whose client is meant?"
                f" Use zk_client_factory({example}), with what it is to be a client of"
            )
    return "zk_server"


def _fail(text: str) -> NoReturn:
    pytest.fail(text, pytrace=False)
