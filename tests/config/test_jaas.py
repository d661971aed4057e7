"""JAAS login files: what the JDK reads, it reads; what the JDK refuses names its line."""

from __future__ import annotations

import pytest

from pyzk.config.jaas import Login, Module, login_of, parse_jaas
from pyzk.errors import ConfigError

DIGEST = "org.apache.zookeeper.server.auth.DigestLoginModule"
KERBEROS = "com.sun.security.auth.module.Krb5LoginModule"
ORDINARY = f"""\
// The users.
Server {{
    {DIGEST} required
    user_super="adminsecret"  /* not
                                 a line */
    user_bob="bob\\"s \\\\secret";
}};
Client {{ {DIGEST} Required username="bob" password="it"; }};
"""


def parse(text: str, **properties: str) -> dict[str, tuple[Module, ...]]:
    return parse_jaas(text.encode(), properties)


def options(text: str, **properties: str) -> dict[str, str]:
    """Return the options of the one module in the one section whose options are this text."""
    ((module,),) = parse(f"A {{ M required {text}; }};", **properties).values()
    return dict(module.options)


def login(body: str) -> Login:
    ((name, modules),) = parse(f"Server {{ {body} }};").items()
    return login_of(name, modules)


def test_an_ordinary_file() -> None:
    sections = parse(ORDINARY)
    assert list(sections) == ["Server", "Client"]
    (server,) = sections["Server"]
    assert server.line == 3
    assert server.class_name == "DigestLoginModule"
    assert server.flag == "required"
    assert server.options == {"user_super": "adminsecret", "user_bob": 'bob"s \\secret'}
    (client,) = sections["Client"]
    assert client.options == {"username": "bob", "password": "it"}


def test_a_section_may_have_several_modules_or_none() -> None:
    sections = parse("A { M required; N optional a=b; }; B { };")
    assert [module.name for module in sections["A"]] == ["M", "N"]
    assert sections["B"] == ()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=word", "word"),
        ("a=w0.r_d$-*x", "w0.r_d$-*x"),
        ("a = \n b", "b"),
        ('a=""', ""),
        ('a="#1 {};"', "#1 {};"),
        (r'a="\t\n\101\7z\x"', "\t\nA\x07zx"),
        (r'a="\400"', " 0"),  # three digits only up to \377
        ('a="it\'s"', "it's"),
        ('"a"="b"', "b"),
        ("a=b // a=c\n", "b"),
        ("a=b /c d\n", "b"),  # a single slash begins a comment, too
        ('a="no end\n', "no end"),  # a string ends with its line
        ("a=é", "é"),
        ("a=b a=c", "c"),  # the last one wins
    ],
)
def test_values(text: str, value: str) -> None:
    assert options(text)["a"] == value


def test_a_value_may_name_system_properties() -> None:
    text = 'keyTab="${user.home}${/}zk.keytab"'
    assert options(text, **{"user.home": "/home/zk"}) == {"keyTab": "/home/zk/zk.keytab"}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("Server", 1, "expected { behind the name Server, found the end of the file"),
        ("Server {", 1, "expected a login module or } in the section Server, found the end"),
        ("A { M required; }", 1, "expected ; behind the section A, found the end"),
        ("A { M required }", 1, "expected an option of M, or the ; behind the last one, found }"),
        ("A {\n M nonsense;};", 2, "optional behind M, found another word"),
        ("A { M required\na b;};", 2, "expected = behind the name of an option, found a word"),
        ("A { M required a=;};", 1, "expected a value for the option a"),
        ("A { M required\n a=1st;};", 2, "a word may not begin with '1' here"),
        ("A { M required a=-b;};", 1, "a word may not begin with '-' here"),
        ("A { M required keyTab=/etc/x; };", 1, "expected a value for the option keyTab"),
        ("A { M required a='b'; };", 1, '"\'" must stand in "'),
        ("# users\nA { };", 1, "# begins no comment in a login file; // does"),
        ("A { };\nA { };", 2, "the section A is there twice"),
        ("\r\n\r\r\n{", 4, "expected the name of a section, found {"),
        ("A { M required\n a=${gone};};", 2, "found {"),
        ('A { M required\n a="${gone}";};', 2, "the system property gone, which is not set"),
        ('A { M required a="${none}";};', 1, "the option a becomes empty"),
    ],
)
def test_what_is_refused_names_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, none="")
    assert caught.value.line == line
    assert message in caught.value.message


@pytest.mark.parametrize("option", ["user_bob", "password"])
def test_a_password_that_looks_like_a_property_is_not_shown(option: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f'A {{ M required {option}="se${{cr}}et"; }};')
    assert "cr}" not in caught.value.message.replace("${...}", "")
    assert f"the option {option} has a ${{...}}" in caught.value.message


@pytest.mark.parametrize(
    "users",
    [
        'user_bob "bobsecret"',
        "user_bob bobsecret",
        'user_bob="bobsecret" "bobsecret"',
        'user_bob="a" bobsecret',
        'user_bob="a"; user_carol bobsecret',
        'user_bob="a"; user_carol "bobsecret"',
        'user_bob="a"; "bobsecret"',
        'user_bob="a"; "bobsecret" required =',
        'user_bob="a"; }; "bobsecret"',
    ],
)
def test_a_password_in_the_wrong_place_is_not_shown(users: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"Server {{ DigestLoginModule required {users}; }};")
    assert "bobsecret" not in str(caught.value)


def test_a_file_that_is_not_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="line 2: the login file is not in UTF-8"):
        parse_jaas(b'A {\n "\xff"', {})


# --- what a section says ---------------------------------------------------------------------


def test_users_of_all_modules_count() -> None:
    found = login(f'{DIGEST} required user_a="1"; {DIGEST} optional user_b="2" user_a="3";')
    assert found.users == {"a": "3", "b": "2"}
    assert not found.is_kerberos
    assert found.user is None


def test_who_this_server_logs_in_as() -> None:
    found = login(f'{DIGEST} required username="learner" password="secret";')
    assert (found.user, found.password, dict(found.users)) == ("learner", "secret", {})


def test_a_kerberos_section() -> None:
    found = login(
        f'{KERBEROS} required useKeyTab=true keyTab="/etc/zk.keytab" storeKey=true'
        ' useTicketCache=false principal="zookeeper/host@REALM";'
    )
    assert found.is_kerberos
    assert found.principal == "zookeeper/host@REALM"
    assert found.uses_keytab
    assert (found.keytab, found.ticket_cache) == ("/etc/zk.keytab", None)


def test_a_kerberos_section_with_a_ticket_cache() -> None:
    found = login(
        f'{KERBEROS} required useTicketCache=true ticketCache="FILE:/tmp/cc" principal="bob";'
    )
    assert not found.uses_keytab
    assert found.ticket_cache == "/tmp/cc"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (f"{KERBEROS} required useKeyTab=true;", "has no principal"),
        (f'{KERBEROS} required principal="a/b@C";', "needs useKeyTab=true"),
        ("com.example.Custom required;", "the login module com.example.Custom is not known"),
    ],
)
def test_a_section_that_cannot_be_used(body: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        login(body)
    assert caught.value.line == 1


def test_passwords_are_not_shown() -> None:
    found = login(f'{DIGEST} required user_bob="hidden" username="x" password="hidden";')
    assert "bob" in repr(found)
    assert "hidden" not in repr(found)
