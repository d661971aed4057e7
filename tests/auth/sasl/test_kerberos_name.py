"""Kerberos names and the rules of security.auth_to_local."""

from __future__ import annotations

import pytest

from pyzk.auth.sasl.kerberos_name import KerberosName, NameRules
from pyzk.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("bob", KerberosName("bob")),
        ("", KerberosName("")),
        ("a/b/c", KerberosName("a/b/c")),
        ("bob@R", KerberosName("bob", None, "R")),
        ("zk/host@R", KerberosName("zk", "host", "R")),
        ("/@", KerberosName("", "", "")),
        ("@", KerberosName("", None, "")),
        ("a@b@c", None),
        ("a/b/c@R", None),
        ("a@b/c", None),
    ],
)
def test_names(text: str, name: KerberosName | None) -> None:
    assert KerberosName.parse(text) == name


def short(rules: str, text: str, realm: str = "R") -> str | None:
    name = KerberosName.parse(text)
    assert name is not None
    return NameRules(rules, realm).short_name(name)


@pytest.mark.parametrize(
    ("rules", "text", "expected"),
    [
        ("DEFAULT", "bob", "bob"),
        ("DEFAULT", "a/b/c", "a/b/c"),  # without a realm no rule is asked
        ("DEFAULT", "bob@R", "bob"),
        ("DEFAULT", "zk/host@R", "zk"),
        ("DEFAULT", "bob@OTHER", None),
        ("", "bob@R", None),
        ("RULE:[1:$1]", "bob@OTHER", "bob"),
        ("RULE:[1:$1]", "zk/host@OTHER", None),
        ("RULE:[2:$1-$2]", "zk/host@OTHER", "zk-host"),
        ("RULE:[1:$1.$0]", "bob@OTHER", "bob.OTHER"),
        ("RULE:[1:$1@$0](.*@OTHER)s/@.*//", "bob@OTHER", "bob"),
        ("RULE:[1:$1@$0](.*@OTHER)s/@.*//\nDEFAULT", "bob@R", "bob"),
        ("RULE:[1:$1@$0](OTHER)s/@.*//", "bob@OTHER", None),  # the whole must match
        ("RULE:[1:$1]s/b/x/", "bob@R", "xob"),
        ("RULE:[1:$1]s/b/x/g", "bob@R", "xox"),
        ("RULE:[1:$1]s/(.)o(.)/$2$1\\$/", "xoy@R", "yx$"),
        ("RULE:[1:$1]s/(z)?b/[$1]/", "bob@R", "[]ob"),
        ("RULE:[1:$1]/L", "BOB@R", "bob"),
        ("RULE:[1:$1]s/B/c//L", "BOB@R", "cob"),
        ("RULE:[1:$1@$0] RULE:[1:$1]", "bob@R", None),  # a name with an @ ends the search
        ("RULE:[1:$1](z.*) RULE:[1:x$1]", "bob@R", "xbob"),
    ],
)
def test_rules(rules: str, text: str, expected: str | None) -> None:
    assert short(rules, text) == expected


@pytest.mark.parametrize(
    "rules",
    [
        "default",
        "DEFAULT x",
        "RULE:[1:$1",
        "RULE:[:$1]",
        "RULE:[1:$2]",
        "RULE:[1:$]",
        "RULE:[1:$1]([)",
        "RULE:[1:$1]s/(a/b/",
        "RULE:[1:$1]s/a/$1/",
        "RULE:[1:$1]s/a/b",
    ],
)
def test_rules_that_are_none(rules: str) -> None:
    with pytest.raises(ConfigError, match=r"security\.auth_to_local"):
        NameRules(rules)
