"""Login files of the Java platform (JAAS): text to sections, and what a section says.

Pure. Answers to ConfigFile of the JDK and the StreamTokenizer under it, to DigestLoginModule and
Krb5LoginModule:

    Server {
        org.apache.zookeeper.server.auth.DigestLoginModule required
        user_bob="bobsecret";   // option=value, as many as wanted
    };

Comments are //, /* */ and whatever stands behind a single slash. A word is letters, digits and
``. _ $ - *``, and begins with no digit; anything else stands in quotation marks, with the escapes
of C, and ends with its line. ``${name}`` in a value is a system property.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pyzk.errors import ConfigError

FLAGS: Final = ("required", "requisite", "sufficient", "optional")
_SCANNER: Final = re.compile(
    r"""
      (?P<blank>    [\x00-\x20]+ | /\*.*?(?:\*/|\Z) | /[^\r\n]* )
    | (?P<quoted>   "(?P<text>(?:[^"\\\r\n]|\\[^\r\n])*\\?)(?:"|(?=[\r\n])|\Z) )
    | (?P<word>     [A-Za-z_$*\xa0-\U0010ffff][A-Za-z0-9_$*.\-\xa0-\U0010ffff]* )
    | (?P<mark>     [{};=] )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\([0-3][0-7]{0,2}|[4-7][0-7]?|.)", re.DOTALL)
_ESCAPES: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_PROPERTY: Final = re.compile(r"\$\{([^}]*)\}")
_END: Final = "the end of the file"


class Module(NamedTuple):
    """One line of a section: a login module and its options."""

    line: int
    name: str
    """The Java class."""
    flag: str
    options: Mapping[str, str]

    @property
    def class_name(self) -> str:
        """The name without its package."""
        return self.name.rpartition(".")[2]

    def is_on(self, option: str) -> bool:
        """Return whether an option has the value true."""
        return self.options.get(option, "").lower() == "true"


class _Token(NamedTuple):
    kind: str
    """``word`` for a word or a quoted string, a mark for itself, ``end``."""
    text: str
    line: int
    is_quoted: bool = False

    @property
    def shown(self) -> str:
        """The text for a message. What stood in quotation marks may be a misplaced password."""
        return "a word" if self.is_quoted else self.text


def parse_jaas(data: bytes, properties: Mapping[str, str]) -> dict[str, tuple[Module, ...]]:
    """Return the modules of each section by the name of the section.

    ``properties`` are the system properties that ``${name}`` stands for. Raises ConfigError with
    the line.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError("the login file is not in UTF-8", line) from None
    return _Parser(text, properties).sections()


class _Parser:
    def __init__(self, text: str, properties: Mapping[str, str]) -> None:
        self._tokens = _tokens(text)
        self._next = next(self._tokens)
        self._properties = {"/": "/", **properties}

    def sections(self) -> dict[str, tuple[Module, ...]]:
        found: dict[str, tuple[Module, ...]] = {}
        while self._next.kind != "end":
            line = self._next.line
            shown = self._next.shown
            name = self._take("word", "the name of a section")
            self._take("{", f"{{ behind the name {shown}")
            modules = []
            while self._next.kind != "}":
                modules.append(self._module(shown))
            self._take("}", "}")
            self._take(";", f"; behind the section {shown}")
            if name in found:
                raise ConfigError(f"the section {shown} is there twice", line)
            found[name] = tuple(modules)
        return found

    def _module(self, section: str) -> Module:
        line = self._next.line
        shown = self._next.shown
        name = self._take("word", f"a login module or }} in the section {section}")
        flag_line = self._next.line
        flag = self._take("word", f"{', '.join(FLAGS)} behind {shown}").lower()
        if flag not in FLAGS:
            raise ConfigError(
                f"expected {', '.join(FLAGS)} behind {shown}, found another word", flag_line
            )
        options = {}
        while self._next.kind != ";":
            key = self._take("word", f"an option of {shown}, or the ; behind the last one")
            self._take("=", "= behind the name of an option")
            value_line = self._next.line
            value = self._take("word", f'a value for the option {key}, in " if it is no word')
            options[key] = self._expanded(value, key, value_line)
        self._take(";", ";")
        return Module(line, name, flag, options)

    def _take(self, kind: str, expected: str) -> str:
        token = self._next
        if token.kind != kind:
            # A word may be a password that is in the wrong place: it is not shown.
            found = "a word" if token.kind == "word" else token.text
            raise ConfigError(f"expected {expected}, found {found}", token.line)
        if kind != "end":
            self._next = next(self._tokens)
        return token.text

    def _expanded(self, value: str, key: str, line: int) -> str:
        def replaced(match: re.Match[str]) -> str:
            name = match.group(1)
            if name not in self._properties:
                if key == "password" or key.startswith(USER):
                    raise ConfigError(
                        f"the option {key} has a ${{...}} that names no system property which is"
                        " set; if it belongs to the password, choose another one",
                        line,
                    )
                raise ConfigError(
                    f"the option {key} names the system property {name}, which is not set; give it"
                    f" with -D{name}=...",
                    line,
                )
            return self._properties[name]

        expanded = _PROPERTY.sub(replaced, value)
        if value and not expanded:
            raise ConfigError(f"the option {key} becomes empty: {value}", line)
        return expanded


def _tokens(text: str) -> Iterator[_Token]:
    at, line = 0, 1
    while at < len(text):
        match = _SCANNER.match(text, at)
        if match is None:
            raise ConfigError(_misplaced(text, at), line)
        kind, found = match.lastgroup, match.group()
        if match.group("quoted") is not None:
            yield _Token("word", _ESCAPE.sub(_unescaped, match.group("text")), line, is_quoted=True)
        elif kind == "word":
            yield _Token("word", found, line)
        elif kind == "mark":
            yield _Token(found, found, line)
        line += len(re.findall(r"\r\n|\r|\n", found))
        at = match.end()
    while True:
        yield _Token("end", _END, line)


def _misplaced(text: str, at: int) -> str:
    char = text[at]
    if char == "#":
        return "# begins no comment in a login file; // does"
    if char in "0123456789.-":
        return f'a word may not begin with {char!r} here; put it in "'
    return f'{char!r} must stand in "'


def _unescaped(match: re.Match[str]) -> str:
    found = match.group(1)
    return chr(int(found, 8)) if found[0] in "01234567" else _ESCAPES.get(found, found)


# --- what a section says ---------------------------------------------------------------------

USER: Final = "user_"
"""What the options of DigestLoginModule that define a user begin with."""


@dataclass(frozen=True, kw_only=True)
class Login:
    """What a section is good for. Passwords are not shown."""

    section: str
    users: Mapping[str, str]
    """Name -> password of those who may log in here, with DIGEST-MD5."""
    user: str | None = None
    """The name under which this server logs in elsewhere, with DIGEST-MD5."""
    password: str = ""
    principal: str | None = None
    """The Kerberos principal; if there is one, the mechanism is GSSAPI."""
    keytab: str | None = None
    """The file with the keys; None stands for that of the system."""
    uses_keytab: bool = False
    ticket_cache: str | None = None
    """The file with tickets; None stands for that of the user."""
    path: str = field(default="", compare=False)
    """The login file that has the section; "" if there is none."""

    @property
    def is_kerberos(self) -> bool:
        """Whether the mechanism is GSSAPI, and not DIGEST-MD5."""
        return self.principal is not None

    def __repr__(self) -> str:
        return f"Login({self.section!r}, {self.principal or sorted(self.users) or self.user!r})"


def login_of(section: str, modules: tuple[Module, ...]) -> Login:
    """Return what the modules of a section say together. Raises ConfigError with the line."""
    values: dict[str, object] = {}
    users: dict[str, str] = {}
    for module in modules:
        options = module.options
        users |= {
            key.removeprefix(USER): value for key, value in options.items() if key.startswith(USER)
        }
        if module.class_name == "DigestLoginModule":
            if "username" in options:
                values |= {"user": options["username"], "password": options.get("password", "")}
        elif module.class_name == "Krb5LoginModule":
            values |= _of_kerberos(module)
        else:
            raise ConfigError(
                f"the login module {module.name} is not known here; DigestLoginModule and"
                " Krb5LoginModule are",
                module.line,
            )
    return Login(section=section, users=users, **values)  # type: ignore[arg-type]


def _of_kerberos(module: Module) -> dict[str, object]:
    options = module.options
    principal = options.get("principal")
    if not principal:
        raise ConfigError("Krb5LoginModule has no principal", module.line)
    uses_keytab, uses_cache = module.is_on("useKeyTab"), module.is_on("useTicketCache")
    if not uses_keytab and not uses_cache:
        raise ConfigError(
            "Krb5LoginModule needs useKeyTab=true with a keyTab, or useTicketCache=true: nobody can"
            " be asked for a password",
            module.line,
        )
    return {
        "principal": principal,
        "keytab": _file(options.get("keyTab")),
        "uses_keytab": uses_keytab,
        "ticket_cache": _file(options.get("ticketCache")),
    }


def _file(value: str | None) -> str | None:
    """Return the path in an option, which may be written as ``file:/path``."""
    return None if not value else value.removeprefix("FILE:").removeprefix("file:")
