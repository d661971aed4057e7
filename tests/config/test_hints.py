"""Remarks on what an operator may have meant, in warnings and in refusals."""

from __future__ import annotations

import pytest

from pyzk.config.members import parse_membership
from pyzk.config.server import Property, ServerConfig, parse_config
from pyzk.errors import ConfigError

BASE = b"dataDir=/data\nclientPort=2181\n"
MEMBERS = b"initLimit=10\nsyncLimit=5\nserver.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n"
BOM = b"\xef\xbb\xbf"


def parse(text: bytes, *d_options: str) -> ServerConfig:
    given = [
        Property(name, value, f"-D{name}")
        for name, _, value in (each.partition("=") for each in d_options)
    ]
    return parse_config(text, given, (), {"/data/myid": b"1"}.get)


def refusal(text: bytes, *d_options: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, *d_options)
    return str(caught.value)


# --- keys -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "remark"),
    [
        ("snapcount", "did you mean snapCount? (upper and lower case count)"),
        ("datalogdir", "did you mean dataLogDir? (upper and lower case count)"),
        ("SnapCont", "did you mean snapCount?"),
        ("dynamicconfigfile", "did you mean dynamicConfigFile? (upper and lower case count)"),
        ("connectionmaxtokens", "did you mean connectionMaxTokens? (upper and lower case count)"),
        ("authprovider.1", "did you mean authProvider.1? (upper and lower case count)"),
        ("SSL.keyStore.location", "did you mean ssl.keyStore.location? (upper and lower case cou"),
        ("Server.1", "did you mean server.1?"),
        ("server1", "did you mean server.1?"),
        ("GROUPS.2", "did you mean group.2?"),
        ("zookeeper.snapCount", "in zoo.cfg it is snapCount"),
        ("zookeeper.snapcount", "did you mean snapCount? (upper and lower case count)"),
        ("jute.maxbuffer", "it is a system property: -Djute.maxbuffer=..."),
        ("zookeeper.jute.maxbuffer", "it is a system property: -Djute.maxbuffer=..."),
        ("jute.maxbufer", "did you mean the system property -Djute.maxbuffer?"),
        ("jute.maxBuffer", "did you mean the system property -Djute.maxbuffer? (upper and lower"),
    ],
)
def test_an_unknown_key_of_the_file_is_told_what_it_may_be(key: str, remark: str) -> None:
    (warning,) = parse(BASE + f"{key}=5\n".encode()).warnings
    assert warning[0] == 3
    assert warning[1].startswith(f"{key}: unknown, ignored; {remark}")


@pytest.mark.parametrize(
    ("name", "remark"),
    [
        ("jute.maxbufer", "did you mean -Djute.maxbuffer?"),
        ("jute.maxBuffer", "did you mean -Djute.maxbuffer? (upper and lower case count)"),
        ("zookeeper.jute.maxbuffer", "did you mean -Djute.maxbuffer?"),
        ("snapCount", "did you mean -Dzookeeper.snapCount?"),
        ("snapcount", "did you mean -Dzookeeper.snapCount? (upper and lower case count)"),
        ("zookeeper.snapCont", "did you mean -Dzookeeper.snapCount?"),
        ("zookeeper.authprovider.1", "did you mean -Dzookeeper.authProvider.1? (upper and lower"),
        ("zookeeper.tickTime", "it is a key of zoo.cfg: tickTime"),
        ("ticktime", "it is a key of zoo.cfg: tickTime"),
    ],
)
def test_an_unknown_system_property_is_told_what_it_may_be(name: str, remark: str) -> None:
    (warning,) = parse(BASE, f"{name}=5").warnings
    assert warning[0] is None
    assert warning[1].startswith(f"-D{name}: unknown, ignored; {remark}")


@pytest.mark.parametrize(
    "secret", ["ssl.keyStore.password", "SASLAuthenticationProvider.superPassword"]
)
def test_a_password_that_has_become_part_of_a_key_is_not_shown(secret: str) -> None:
    config = parse(BASE + f"{secret}geheim\n".encode(), f"zookeeper.{secret}geheimes=")
    assert sorted(text.partition(";")[0] for _, text in config.warnings) == [
        f"-Dzookeeper.{secret}...: unknown, ignored",
        f"{secret}...: unknown, ignored",
    ]
    assert "geheim" not in str(config.warnings)


def test_what_nobody_knows_gets_no_remark() -> None:
    config = parse(BASE + b"cluster.size=5\n", "java.io.tmpdir=/tmp")
    assert config.warnings == (
        (None, "-Djava.io.tmpdir: unknown, ignored"),
        (3, "cluster.size: unknown, ignored"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            b"dataDir=/data\nclientport=2181\n",
            "clientPort: is not set; 2181 is usual, 0 takes any free port; line 2: clientport: did"
            " you mean clientPort? (upper and lower case count)",
        ),
        (
            b"datadir=/data\nclientPort=2181\n",
            "dataDir: is not set; give the directory for snapshots and logs; line 1: datadir: did"
            " you mean dataDir? (upper and lower case count)",
        ),
        (
            BASE + MEMBERS.replace(b"syncLimit", b"synclimit"),
            "syncLimit: is not set; an ensemble needs it, 5 (ticks) is usual; line 4: synclimit:",
        ),
        (
            BASE + MEMBERS.replace(b"server.1", b"Server.1"),
            "myid: /data/myid holds 1, but there is no server.1, only 2, 3; add the line on every"
            " server, or correct the file; line 5: Server.1: did you mean server.1?",
        ),
        (
            b"dataDir=/dataclientPort=2181\n",
            "line 1: dataDir: a line break is missing in front of clientPort=, or a backslash ends"
            " the line before it",
        ),
        (
            b"dataDir=/data\\\nclientPort = 2181\n",
            "line 1: dataDir: a line break is missing in front of clientPort=, or a backslash ends",
        ),
        (
            b"dataDir=/data\nenforce.auth.schemes=digestclientPort=2181\n",
            "clientPort: is not set; 2181 is usual, 0 takes any free port; line 2: enforce.auth."
            "schemes: a line break is missing in front of clientPort=, or a backslash ends the line"
            " before it",
        ),
        (
            BOM + BASE,
            "dataDir: is not set; give the directory for snapshots and logs; line 1: \xef\xbb\xbf"
            "dataDir: a byte order mark (BOM) stands in front of dataDir, which is not read for"
            " that reason; save the file without one",
        ),
        (b"cluster.size=5\nclientPort=1", "dataDir: is not set; give the directory for snapshots"),
    ],
)
def test_what_stands_for_a_missing_key_is_named(text: bytes, message: str) -> None:
    assert refusal(text).startswith(message)


def test_of_a_missing_key_only_what_may_stand_for_it_is_named() -> None:
    assert refusal(BOM + b"tickTime=5\nsnapcount=7\ndataDir=/data\nfoo=a=b\n") == (
        "clientPort: is not set; 2181 is usual, 0 takes any free port"
    )


# --- values ---------------------------------------------------------------------------

COMMENT = "a comment takes a line of its own, here it is part of the value"
QUOTED = "the quotation marks are part of the value; leave them out"
IF_MEANT = "; if that is meant, make this directory first"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("clientPort = 2181 # x", f"'2181 # x' is not an integer from 0 to 65535; {COMMENT}"),
        ("tickTime=\t# x", f"'# x' is not an integer of at least 1 (milliseconds); {COMMENT}"),
        ("reconfigEnabled=true #x", f"'true #x' is not true or false; {COMMENT}"),
        ("enforceQuota=true\t# x", f"is not true or false; {COMMENT}"),
        ("server.1=a:1:2 # x", f"election port '2 # x' is not a number from 0 to 65535; {COMMENT}"),
        ("server.1=a:1:2:observer # x=y", COMMENT),
        (
            "tickTime=2000initLimit=10",
            "'2000initLimit=10' is not an integer of at least 1 (milliseconds); a line break is"
            " missing in front of initLimit=",
        ),
        ("syncLimit=5server.1=a:1:2", "a line break is missing in front of server.1="),
        ("server.1=a:1:2server.2=b:1:2", "server.1: a line break is missing in front of server.2="),
        ("server.1=a:1:2 server.2=b:1:2", "server.1: a line break is missing in front of server.2"),
        ("server.1=a:1:2:observerserver.2=b:1:2", "a line break is missing in front of server.2="),
        ("server.1=a:1:2;2181server.12=b:1:2", "a line break is missing in front of server.12="),
        ("server.1=a:1:2;h:2181group.1 =1:2", "a line break is missing in front of group.1="),
        ("server.1=server.2=b:1:2", "a line break is missing in front of server.2="),
        ("server.1=a:1:2clientPort=2181", "a line break is missing in front of clientPort="),
        ("server.1=a:1:2x=y", "election port '2x=y' is not a number"),
        ("server.1=a=b:1:2", "has blanks or '=' in it"),
        ("dynamicConfigFile=/x # y", f"it must hold the server lines; {COMMENT}"),
        ("weight.1=2weight.2=1", "a line break is missing in front of weight.2="),
        ('clientPort="2181"', f"'\"2181\"' is not an integer from 0 to 65535; {QUOTED}"),
        ("reconfigEnabled='true'", f"is not true or false; {QUOTED}"),
        ('server.1="a:1:2"', QUOTED),
    ],
)
def test_a_value_that_is_refused_for_what_else_is_in_it_says_so(line: str, message: str) -> None:
    text = refusal(BASE + line.encode())
    assert text.startswith("line 3: ")
    assert message in text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("clientPortAddress=127.0.0.1 #here", f"clientPortAddress: {COMMENT}"),
        ("enforce.auth.schemes=digest # ip", f"enforce.auth.schemes: {COMMENT}"),
        ("DigestAuthenticationProvider.superDigest=super:a #b", "superDigest: a comment takes a"),
        (
            "enforce.auth.schemes=ipautopurge.purgeInterval=1",
            "schemes: a line break is missing in front of autopurge.purgeInterval=, or a backslash",
        ),
        ("enforce.auth.schemes=ip\\\ntickTime=5", "a line break is missing in front of tickTime="),
        ('DigestAuthenticationProvider.superDigest="super:a"', f"superDigest: {QUOTED}"),
        ("DigestAuthenticationProvider.superDigest=super:\"a'", "superDigest: holds no digest"),
        ('DigestAuthenticationProvider.superDigest="', "superDigest: holds no digest"),
        ("dataLogDir=/lognosuch=1", ""),
        ("dataLogDir=/log#1", ""),
        ("maxCnxns=#10", ""),
        ("DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=", ""),
    ],
)
def test_a_text_with_more_in_it_than_a_value_is_a_warning(line: str, message: str) -> None:
    warnings = [text for at, text in parse(BASE + line.encode()).warnings if at == 3]
    assert [message in text for text in warnings] == ([True] if message else [])


@pytest.mark.parametrize("key", ["dataDir", "dataLogDir"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("/x # here", COMMENT),
        ("/x\t#here", COMMENT),
        ("# here", COMMENT),
        ("/xautopurge.purgeInterval=1", "a line break is missing in front of autopurge.purgeInter"),
        ("/x\\\ntickTime=5", "a line break is missing in front of tickTime="),
        ('"/x"', QUOTED),
        ("'/x'", QUOTED),
    ],
)
def test_a_directory_with_more_in_it_than_a_path_must_exist(
    key: str, value: str, message: str
) -> None:
    """Or the server would make it, and serve an empty tree from it."""
    text = f"tickTime=7\n{key}={value}\n".encode() + BASE.replace(b"dataDir", b"snapCount=9\n#")
    text += b"dataDir=/data\n" if key == "dataLogDir" else b""
    refused = refusal(text)
    assert refused.startswith(f"line 2: {key}: {message}")
    assert refused.endswith(IF_MEANT)
    name = value.replace("\\\n", "")
    config = parse_config(text, is_directory=[name].__contains__)
    assert config.data_log_dir == name
    assert any(at == 2 and message in said for at, said in config.warnings)


def test_where_myid_is_missing_a_slip_in_the_directory_comes_first() -> None:
    """An earlier server may have made the directory."""
    text = MEMBERS + b"dataDir=/d # data\nclientPort=2181\n"
    with pytest.raises(ConfigError) as caught:
        parse_config(text, is_directory=lambda _: True)
    assert str(caught.value).startswith(f"line 6: dataDir: {COMMENT}; there is no /d # data/myid;")
    assert str(caught.value).endswith("echo N > '/d # data/myid'")


@pytest.mark.parametrize("value", ["/x#1", "/x/a=b", '/x"', "it's"])
def test_a_directory_may_have_a_strange_name(value: str) -> None:
    text = f"dataDir=/{value}\nclientPort=2181\n".encode()
    assert parse_config(text).warnings == ()


def test_a_directory_of_the_command_line_is_taken_as_it_is() -> None:
    options = [Property("dataDir", "/x # 1", "--data-dir")]
    config = parse_config(b"clientPort=2181\n", (), options)
    assert (config.data_dir, config.warnings) == ("/x # 1", ())


# --- keys that are given twice ---------------------------------------------------------


def test_of_a_key_that_is_given_twice_the_last_line_counts_and_says_so() -> None:
    text = b"snapCount=5\n" + BASE + b"clientPort=2182\nfoo=1\nfoo=2\nsnapCount=6\nsnapCount=7\n"
    config = parse(text)
    assert (config.client_port, config.snap_count) == (2182, 7)
    assert config.warnings == (
        (4, "clientPort: given on line 3 already; this one counts"),
        (6, "foo: given on line 5 already; this one counts"),
        (6, "foo: unknown, ignored"),
        (7, "snapCount: given on line 1 already; this one counts"),
        (8, "snapCount: given on line 7 already; this one counts"),
    )


def test_a_key_is_given_once_where_an_option_or_property_says_it_too() -> None:
    options = [Property("clientPort", "7", "--port")]
    properties = [
        Property("zookeeper.snapCount", "7", "-D"),
        Property("zookeeper.snapCount", "8", "-D"),
    ]
    assert parse_config(BASE + b"snapCount=5\n", properties, options).warnings == ()


# --- byte order marks -----------------------------------------------------------------


def test_a_byte_order_mark_in_front_of_a_key_is_named() -> None:
    config = parse(BOM + b"tickTime=77\n" + BASE)
    assert config.tick_time_ms == 3000
    assert config.warnings == (
        (
            1,
            "\xef\xbb\xbftickTime: unknown, ignored; a byte order mark (BOM) stands in front of"
            " tickTime, which is not read for that reason; save the file without one",
        ),
    )


@pytest.mark.parametrize("first", [b"# a comment\n", b"#\n", b"! x\n", b"\n"])
def test_a_byte_order_mark_in_front_of_a_comment_is_a_note(first: bytes) -> None:
    config = parse(BOM + first + BASE)
    assert config.warnings == ()
    ((line, note),) = config.notes
    assert line == 1
    assert "a byte order mark (BOM) stands in front of a comment, where it does no harm" in note


def test_a_byte_order_mark_in_a_file_of_system_properties_is_named() -> None:
    name = "\xef\xbb\xbfzookeeper.snapCount"
    ((_, warning),) = parse_config(BASE, [Property(name, "5", f"p line 1: {name}")]).warnings
    assert "stands in front of zookeeper.snapCount, which is not read" in warning


@pytest.mark.parametrize(
    ("key", "remark"),
    [
        (BOM + b"server.1", "a byte order mark (BOM) stands in front of server.1, which is not"),
        (BOM + b"#", "a byte order mark (BOM) stands in front of a comment"),
        (b"Server.1", "did you mean server.1?"),
        (b"server1", "did you mean server.1?"),
    ],
)
def test_a_key_in_a_dynamic_file_is_told_what_it_may_be(key: bytes, remark: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_membership(key + b"=a:1:2\n")
    assert "is unknown here; expected server.N, group.N or weight.N; " + remark in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_a_file_in_utf_16_is_refused_as_such(encoding: str) -> None:
    text = BASE.decode().encode(encoding)
    if encoding == "utf-16-be":
        text = b"\xfe\xff" + text
    assert (
        refusal(text) == "line 1: the file is in UTF-16; save it as UTF-8 without a byte order mark"
    )
