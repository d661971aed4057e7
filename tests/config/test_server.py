"""zoo.cfg and system properties to ServerConfig: names, defaults, precedence, refusals."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import fields, replace

import pytest

from pyzk.config.admin import AdminConfig
from pyzk.config.keys import ADMIN, KEYS
from pyzk.config.kinds import Key, Status
from pyzk.config.security_keys import X_FORWARDED_FOR
from pyzk.config.server import DEFAULTS, Property, ServerConfig, effective_values, parse_config
from pyzk.constants import MAX_REQUEST_BYTES, MAX_TXN_BYTES
from pyzk.errors import ConfigError
from pyzk.four_letter_words import FOUR_LETTER_WORDS

BASE = b"dataDir=/data\nclientPort=2181\n"

JAVA = "org.apache.zookeeper.server.auth."
IP = f"{JAVA}IPAuthenticationProvider"


JAVA = "org.apache.zookeeper.server.auth."
IP = f"{JAVA}IPAuthenticationProvider"


def parse(
    text: str = "",
    *d_options: str,
    options: dict[str, str] | None = None,
    has_provider: Callable[[str], bool] = lambda name: False,
) -> ServerConfig:
    """BASE is lines 1 and 2."""
    properties = [
        Property(name, value, f"-D{name}")
        for name, _, value in (each.partition("=") for each in d_options)
    ]
    given = [Property(name, value, f"--{name}") for name, value in (options or {}).items()]
    return parse_config(BASE + text.encode("latin-1"), properties, given, has_provider=has_provider)


def refusal(text: str, *d_options: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text, *d_options)
    return caught.value


# ---- the table


def test_names_in_the_table_are_unique() -> None:
    names = [key.name for key in KEYS]
    assert len(names) == len(set(names))
    properties = [name for key in KEYS for name in key.properties]
    assert len(properties) == len(set(properties))


def test_every_field_has_one_row() -> None:
    rows = [key.field for key in KEYS if key.field]
    names = {field.name for field in fields(ServerConfig)}
    assert len(rows) == len(set(rows))
    others = {"auth_providers", "client_tls", "ensemble", "initialize", "warnings", "notes"}
    others |= {"admin", "custom_providers", "file_text", "other_properties", "properties", "sasl"}
    assert names - set(rows) == others


@pytest.mark.parametrize(
    "key", [k for k in KEYS if k.field is k.member is None], ids=lambda key: key.name
)
def test_a_default_without_field_is_accepted_silently(key: Key) -> None:
    if key.kind.accepts != "text":
        key.kind.parse(key.default)
    if key.default and key.status is Status.LATER and key.default in key.same:
        assert parse(f"{key.name}={key.default}").warnings == ()


def test_the_defaults_are_the_originals() -> None:
    config = parse()
    assert config == replace(
        DEFAULTS,
        data_dir="/data",
        data_log_dir="/data",
        client_port=2181,
        admin=AdminConfig(),
    )
    assert config.tick_time_ms == 3000
    assert (config.min_session_timeout_ms, config.max_session_timeout_ms) == (6000, 60000)
    assert config.jute_max_buffer == config.jute_max_buffer_extra == 1048575
    assert config.four_letter_whitelist == ("srvr",)
    assert config.snap_count == 100000
    assert config.max_client_cnxns == 60


# ---- sources and precedence


def test_keys_of_the_file() -> None:
    config = parse(
        "tickTime=2000\ndataLogDir=/log\nmaxClientCnxns=0\nsnapCount=7\n"
        "4lw.commands.whitelist=ruok, stat\nskipACL=yes\nforceSync=yes\nenforceQuota=TRUE\n"
        f"snapshot.compression.method=gz\nauthProvider.1={IP}\nclientPortAddress=::1\n"
    )
    assert config.tick_time_ms == 2000
    assert config.min_session_timeout_ms == 4000
    assert config.data_log_dir == "/log"
    assert config.max_client_cnxns == 0
    assert config.snap_count == 7
    assert config.four_letter_whitelist == ("ruok", "srvr", "stat")
    assert config.skip_acl
    assert config.force_sync
    assert config.enforce_quota
    assert config.snapshot_compression == "gz"
    assert config.auth_providers == (("1", IP),)
    assert config.client_port_address == "::1"
    assert config.warnings == config.notes == ()


def test_the_last_duplicate_wins() -> None:
    assert parse("tickTime=1\ntickTime=2").tick_time_ms == 2


def test_a_key_of_the_file_beats_the_system_property_and_an_option_beats_both() -> None:
    assert parse("", "zookeeper.snapCount=5").snap_count == 5
    assert parse("snapCount=6", "zookeeper.snapCount=5").snap_count == 6
    assert parse("snapCount=6", options={"snapCount": "7"}).snap_count == 7


def test_jute_maxbuffer_is_no_more_than_a_transaction_may_have() -> None:
    config = parse("", "jute.maxbuffer=2147483647", "zookeeper.jute.maxbuffer.extrasize=2147483647")
    assert config.jute_max_buffer == MAX_REQUEST_BYTES
    assert config.max_txn_bytes == MAX_TXN_BYTES
    ((_, warning),) = config.warnings
    assert warning == f"-Djute.maxbuffer: lowered to the greatest value, {MAX_REQUEST_BYTES}"
    assert parse("").max_txn_bytes == 2 * 1048575


def test_properties_with_a_name_of_their_own_come_by_d_only() -> None:
    config = parse(
        "",
        "jute.maxbuffer=0x3fffff",
        "readonlymode.enabled=true",
        "znode.container.checkIntervalMs=10",
        "fsync.warningthresholdms=20",
    )
    assert config.jute_max_buffer == config.jute_max_buffer_extra == 0x3FFFFF
    assert config.readonlymode_enabled
    assert config.four_letter_whitelist == ("isro", "srvr")
    assert config.container_check_interval_ms == 10
    assert config.fsync_warning_threshold_ms == 20
    in_file = parse("jute.maxbuffer=5")
    assert in_file.jute_max_buffer == 1048575
    assert in_file.warnings == (
        (3, "jute.maxbuffer: unknown, ignored; it is a system property: -Djute.maxbuffer=..."),
    )


def test_the_zookeeper_name_beats_the_plain_one() -> None:
    config = parse("", "fsync.warningthresholdms=1", "zookeeper.fsync.warningthresholdms=2")
    assert config.fsync_warning_threshold_ms == 2


def test_documented_names_that_the_original_does_not_read_are_aliases() -> None:
    assert parse("connectionMaxTokens=9").connection_throttle_tokens == 9
    assert parse("requestThrottleLimit=9").request_throttle_max_requests == 9


def test_a_key_of_the_file_may_have_another_name_as_a_property() -> None:
    assert parse("", "zookeeper.observer.syncEnabled=false").warnings == ()
    (warning,) = parse("", "zookeeper.syncEnabled=false").warnings
    assert "it is a key of zoo.cfg: syncEnabled" in warning[1]


def test_all_four_letter_words() -> None:
    assert parse("4lw.commands.whitelist=*").four_letter_whitelist == tuple(
        sorted(FOUR_LETTER_WORDS)
    )
    config = parse("4lw.commands.whitelist=ruok,rouk,mntr")
    assert config.four_letter_whitelist == ("mntr", "ruok", "srvr")
    assert config.warnings == ((3, "4lw.commands.whitelist: no such four-letter word: rouk"),)


def test_ratios_and_digests() -> None:
    assert parse("connectionDropIncrease=0.5").connection_throttle_drop_increase == 0.5
    assert parse("largeRequestThreshold=-1").large_request_threshold == -1
    assert parse("largeRequestThreshold=0x400").large_request_threshold == 1024
    assert parse("DigestAuthenticationProvider.digestAlg=SHA3-512").digest_alg == "SHA3-512"


def test_session_timeouts() -> None:
    config = parse("minSessionTimeout=100\nmaxSessionTimeout=200")
    assert (config.min_session_timeout_ms, config.max_session_timeout_ms) == (100, 200)
    config = parse("tickTime=10\nminSessionTimeout=-1\nmaxSessionTimeout=-1")
    assert (config.min_session_timeout_ms, config.max_session_timeout_ms) == (20, 200)


def test_sasl_for_sessions_is_enforced_authentication() -> None:
    config = parse("sessionRequireClientSASLAuth=true\nenforce.auth.schemes=digest")
    assert config.enforce_auth_enabled
    assert config.enforce_auth_schemes == ("sasl",)


# ---- warnings and notes


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ("metricsProvider.httpsPort=1", "metricsProvider.httpsPort: not supported yet, ignored"),
        ("cluster.size=5", "cluster.size: unknown, ignored"),
        ("snapCount=1", "snapCount: raised to the least value, 2"),
        ("commitLogCount=1", "commitLogCount: raised to the least value, 500"),
        ("autopurge.snapRetainCount=1", "autopurge.snapRetainCount: raised to the least value, 3"),
        (
            "dataLogDir=logs",
            "dataLogDir: is relative to where the server is started; begin it with ./",
        ),
        (
            "forceSync=no",
            "forceSync: writes are acknowledged before they are on disk: a crash may lose them",
        ),
        (
            "server.1=localhost:2888:3888",
            "server.1: only one server given, so it is ignored: this is a standalone server",
        ),
    ],
)
def test_one_warning_with_its_line(line: str, warning: str) -> None:
    assert parse(f"# comment\n{line}").warnings == ((4, warning),)


@pytest.mark.parametrize(
    "line",
    [
        "admin.enableServer=false",
        "sslQuorum=false",
        "initLimit=10",
        "syncLimit=5",
        "electionAlg=+3",
        "standaloneEnabled=true",
        "peerType=participant",
        "dataLogDir=./logs",
        "fips-mode=false",
        "request_throttle_max_requests=0",
    ],
)
def test_what_pyzk_does_anyway_is_no_warning(line: str) -> None:
    assert parse(line).warnings == ()


def test_what_tunes_nothing_here_is_a_note() -> None:
    config = parse("maxResponseCacheSize=0\nflushDelay=6")
    assert config.notes == (
        (3, "maxResponseCacheSize: has no effect in pyzk"),
        (4, "flushDelay: has no effect in pyzk"),
    )
    assert config.max_write_queue_poll_time_ms == 2


def test_warnings_come_in_the_order_of_the_file() -> None:
    lines = [line for line, _ in parse("b=1\nsnapCount=0\na=1\noraclePath=/o").warnings]
    assert lines == [3, 4, 5, 6]


# ---- refusals


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tickTime=abc", "tickTime: 'abc' is not an integer of at least 1"),
        ("tickTime=2s", "tickTime: '2s' is not an integer of at least 1 (milliseconds)"),
        ("tickTime=", "tickTime: empty; expected an integer of at least 1 (milliseconds)"),
        ("initLimit=x", "initLimit: 'x' is not an integer of at least 0 (ticks)"),
        ("cnxTimeout=5s", "cnxTimeout: '5s' is not an integer (milliseconds)"),
        ("autopurge.purgeInterval=1d", "purgeInterval: '1d' is not an integer (hours)"),
        ("snapSizeLimitInKb=1m", "snapSizeLimitInKb: '1m' is not an integer (64 bits, KiB)"),
        ("largeRequestMaxBytes=1m", "'1m' is not an integer of at least 1 (bytes)"),
        ("tickTime=0", "tickTime: '0' is not an integer of at least 1"),
        ("tickTime=", "tickTime: empty; expected an integer of at least 1"),
        ("tickTime=0x10", "tickTime: '0x10' is not an integer of at least 1"),
        ("tickTime=2147483648", "tickTime: '2147483648' is not an integer of at least 1"),
        ("clientPort=65536", "clientPort: '65536' is not an integer from 0 to 65535"),
        ("reconfigEnabled=yes", "reconfigEnabled: 'yes' is not true or false"),
        ("enforceQuota=yes", "enforceQuota: 'yes' is not true or false"),
        ("skipACL=true", "skipACL: 'true' is not yes or no"),
        ("snapshot.compression.method=zip", "'zip' is not nothing or gz or snappy"),
        ("dataDir=", "dataDir: empty; expected a path"),
        ("electionAlg=0", "electionAlg: '0' is not 3"),
        ("preAllocSize=-1", "preAllocSize: '-1' is not an integer of at least 0"),
        ("snapCount=1e5", "snapCount: '1e5' is not an integer"),
        ("largeRequestThreshold=0", "'0' is not -1 or an integer of at least 1"),
        ("connectionDropIncrease=2", "'2' is not a number from 0 to 1"),
        ("DigestAuthenticationProvider.digestAlg=CRC", "'CRC' is not a digest name"),
        ("minSessionTimeout=-2", "must not be negative"),
        ("minSessionTimeout=60001", "minSessionTimeout (60001) must not be longer than"),
        ("maxSessionTimeout=5", "must not be longer than maxSessionTimeout (5)"),
        ("enforce.auth.enabled=true", "needs enforce.auth.schemes"),
        ("server.1=a:1:2;3;4", "more than one ';'"),
        ("server.1=a:1:2;x", "client port 'x' is not a number"),
        ("dynamicConfigFile=/x", "/x cannot be read; it must hold the server lines"),
        ("peerType=boss", "peerType: 'boss' is not participant or observer"),
    ],
)
def test_a_wrong_value_is_refused_with_line_and_key(line: str, message: str) -> None:
    error = refusal(f"\n{line}")
    assert error.line == 4
    assert error.key == line.split("=")[0]
    assert message in str(error)
    assert str(error).startswith("line 4: ")


def test_integers_of_properties_take_javas_prefixes() -> None:
    for text, value in (("0x10", 16), ("#10", 16), ("010", 8), ("+10", 10), ("10", 10), ("0", 0)):
        assert parse(f"maxCnxns={text}").max_cnxns == value
    assert parse("maxCnxns=-0x10").max_cnxns == -16
    for text in ("0x", "08", "1a", "--1", "2147483648", "1 0"):
        assert "is not an integer" in str(refusal(f"maxCnxns={text}"))


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("preAllocSize=010", "pre_alloc_size_kb", 10),
        ("commitLogCount=01000", "commit_log_count", 1000),
        ("tickTime=+0000000000077", "tick_time_ms", 77),
        ("tickTime=\x0177\x00", "tick_time_ms", 77),
        (r"tickTime=\u0667\u0667", "tick_time_ms", 77),
        ("connectionDropIncrease=+.5e0f", "connection_throttle_drop_increase", 0.5),
        ("connectionDropIncrease=1.D", "connection_throttle_drop_increase", 1.0),
    ],
)
def test_a_number_is_read_as_java_reads_it(line: str, field: str, value: object) -> None:
    assert getattr(parse(line), field) == value


@pytest.mark.parametrize(
    "line",
    [
        *("preAllocSize=0x10", "commitLogCount=0x1000", "cnxTimeout=0x10", "tickTime=77\xa0"),
        *("tickTime=1_0", "tickTime=\xb2", "snapCount=1_0", "snapshotSizeFactor=nan"),
        *("snapshotSizeFactor=1_0", "snapshotSizeFactor=inf"),
        *("connectionDropIncrease=0_1", "connectionDropIncrease=.", "electionAlg=+2"),
    ],
)
def test_a_number_that_java_does_not_read_is_refused(line: str) -> None:
    assert "is not" in str(refusal(line))


def test_a_wrong_system_property_is_named_as_it_was_given() -> None:
    error = refusal("", "jute.maxbuffer=big")
    assert str(error) == "-Djute.maxbuffer: 'big' is not an integer of at least 1 (bytes)"
    assert error.line is None


LIMITS = "initLimit=10\nsyncLimit=5\n"
THREE = LIMITS + "server.1=a:1:2\nserver.2=b:1:2;127.0.0.1:2182\nserver.3=c:1:2\n"


def member(text: str, files: dict[str, bytes], options: tuple[Property, ...] = ()) -> ServerConfig:
    return parse_config(BASE + text.encode(), (), options, files.get)


def test_server_lines_make_a_member() -> None:
    config = member(THREE + "leaderServes=no\ntickTime=500\n", {"/data/myid": b"1\n"})
    ensemble = config.ensemble
    assert ensemble is not None
    assert (ensemble.my_sid, ensemble.leader_serves, ensemble.tick_time_ms) == (1, False, 500)
    assert (config.client_port, config.client_port_address) == (2181, None)
    assert config.warnings == ()


def test_the_client_address_may_come_from_the_server_line() -> None:
    text = b"dataDir=/data\n" + THREE.encode()
    config = parse_config(text, (), (), {"/data/myid": b"2"}.get)
    assert (config.client_port, config.client_port_address) == (2182, "127.0.0.1")


def test_a_member_may_be_told_by_a_dynamic_file() -> None:
    files = {
        "/data/myid": b"1",
        "/data/zoo.dynamic": b"server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2",
    }
    config = member(LIMITS + "dynamicConfigFile=/data/zoo.dynamic", files)
    assert config.ensemble is not None
    assert config.ensemble.membership.voters == (1, 2, 3)


def test_an_option_wins_over_the_file_of_a_member() -> None:
    option = Property("clientPort", "2999", "--port")
    config = member(THREE, {"/data/myid": b"1"}, (option,))
    assert config.client_port == 2999
    with pytest.raises(ConfigError, match=r"^--port: .*2999 differs from"):
        member(THREE, {"/data/myid": b"2"}, (option,))


def test_one_server_is_a_member_if_it_shall_not_stand_alone() -> None:
    text = LIMITS + "server.7=a:1:2\n"
    assert member(text, {}).ensemble is None
    config = member(text + "standaloneEnabled=false", {"/data/myid": b"7"})
    assert config.ensemble is not None
    assert config.ensemble.membership.voters == (7,)


@pytest.mark.parametrize(
    ("text", "myid", "message"),
    [
        (THREE, None, "myid: there is no /data/myid; it must hold the id of this server, the N of"),
        (THREE, b"9", "myid: /data/myid holds 9, but there is no server.9, only 1, 2, 3"),
        (THREE + "server.2=d:1:2", b"1", "line 8: server.2: is on line 6 already"),
        (THREE.replace("initLimit=10", ""), b"1", "initLimit: is not set; an ensemble needs it"),
        (THREE + "sslQuorum=true", b"1", "ssl.quorum.keyStore.location: is not set, and sslQuorum"),
        (
            THREE + "quorum.auth.enableSasl=true",
            b"1",
            "quorum.auth.enableSasl: java.security.auth.login.config names no file with a section",
        ),
        ("weight.1=1", b"1", "line 3: weight.1: no participant has any weight"),
    ],
)
def test_a_mistake_of_a_member_says_what_to_change(
    text: str, myid: bytes | None, message: str
) -> None:
    files = {} if myid is None else {"/data/myid": myid}
    with pytest.raises(ConfigError) as caught:
        member(text, files)
    assert str(caught.value).startswith(message)


IPV6 = "0:0:0:0:0:0:0:1"


# What 3.8.0 and 3.9.3 take. Without `myid` the line is nobody's, so clientPort counts; the
# last row is pyzk's own: there the original has no client port at all.
@pytest.mark.parametrize(
    ("static", "client", "myid", "expected"),
    [
        ("clientPort=2181", ";127.0.0.1:2181", b"1", (2181, "127.0.0.1")),
        ("clientPort=2181\nclientPortAddress=::", ";127.0.0.1:2181", b"1", (2181, "127.0.0.1")),
        ("clientPort=2181\nclientPortAddress=[::1]", ";[::1]:2181", b"1", (2181, IPV6)),
        ("clientPort=2181\nclientPortAddress=h", ";127.0.0.1:2181", None, (2181, "h")),
        ("clientPort=2181", ";127.0.0.1:2182", None, (2181, None)),
        ("clientPort=2181", ";127.0.0.1:2182", b"7", (2181, None)),
        ("clientPort=2181", "", b"1", (2181, None)),
        ("", ";127.0.0.1:2182", b"1", (2182, "127.0.0.1")),
        ("", ";127.0.0.1:2182", None, (2182, "127.0.0.1")),
    ],
)
def test_a_lone_server_has_the_client_address_of_its_own_line(
    static: str, client: str, myid: bytes | None, expected: tuple[int, str | None]
) -> None:
    text = f"dataDir=/d\n{static}\nserver.1=a:1:2{client}"
    config = parse_config(text.encode(), (), (), {"/d/myid": myid}.get)
    assert (config.client_port, config.client_port_address) == expected


def test_a_lone_server_whose_own_line_has_another_client_address_is_refused() -> None:
    text = b"dataDir=/d\nclientPort=2181\nserver.1=a:1:2;2182"
    with pytest.raises(ConfigError, match=r"^line 2: clientPort: .*2181 differs from .*2182 in"):
        parse_config(text, (), (), {"/d/myid": b"1"}.get)
    with pytest.raises(ConfigError, match="clientPortAddress is set but clientPort is not"):
        parse_config(b"dataDir=/d\nclientPortAddress=::1\nserver.1=a:1:2;2182")


def test_a_lone_server_gives_its_client_address() -> None:
    config = parse_config(b"dataDir=/d\nserver.1=a:1:2;[::1]:0")
    assert (config.client_port, config.client_port_address) == (0, "0:0:0:0:0:0:0:1")
    config = parse_config(b"dataDir=/d\nserver.1=a:1:2:participant;2181")
    assert (config.client_port, config.client_port_address) == (2181, None)


def test_what_must_be_set() -> None:
    with pytest.raises(ConfigError, match=r"^dataDir: is not set"):
        parse_config(b"clientPort=1")
    with pytest.raises(ConfigError, match=r"^clientPort: is not set"):
        parse_config(b"dataDir=/d")
    with pytest.raises(ConfigError, match="clientPortAddress is set but clientPort is not"):
        parse_config(b"dataDir=/d\nclientPortAddress=::1")


def test_effective_values_name_every_field_once() -> None:
    values = dict(effective_values(parse("tickTime=5")))
    assert values["tickTime"] == 5
    assert values["jute.maxbuffer"] == 1048575
    others = {key.name for key in (*ADMIN, X_FORWARDED_FOR)}  # one record has them
    assert set(values) == {key.name for key in KEYS if key.field} | others


@pytest.mark.parametrize("name", ["com.acme.Digest", "org.x.DigestAuthenticationProvider", ""])
def test_another_class_of_java_is_an_error_that_names_the_entry_point(name: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(f"authProvider.1={name}")
    assert str(error.value).startswith(f"line 3: authProvider.1: {name!r} is neither")
    assert str(error.value).endswith("an entry point of this name in the group pyzk.auth_providers")


def test_an_entry_point_may_have_the_name_of_a_class_and_is_told_of_unknown_keys() -> None:
    config = parse(
        "authProvider.1=com.acme.Tokens\ntokens.file=/t\nsnapcount=1\n",
        has_provider=lambda name: name == "com.acme.Tokens",
    )
    assert config.auth_providers == (("1", "com.acme.Tokens"),)
    assert config.other_properties == (("tokens.file", "/t"), ("snapcount", "1"))
    assert config.notes == (
        (4, "tokens.file: no key of pyzk; the providers of authProvider.* are told of it"),
    )
    assert [line for line, _ in config.warnings] == [5]  # a slip stays one


@pytest.mark.parametrize(
    ("text", "names"),
    [("", None), ("ensembleAuthName=", ()), ("ensembleAuthName= one, two ,", ("one", "two"))],
)
def test_the_names_of_the_ensemble(text: str, names: tuple[str, ...] | None) -> None:
    assert parse(text).ensemble_auth_names == names


@pytest.mark.parametrize("name", ["Slf4jAuditLogger", "Log4jAuditLogger"])
def test_the_originals_own_audit_loggers_need_not_be_named(name: str) -> None:
    config = parse(f"audit.enable=true\naudit.impl.class=org.apache.zookeeper.audit.{name}")
    assert config.audit_enable
    assert config.warnings == ()


def test_an_audit_logger_in_java_is_an_error_if_the_log_is_enabled() -> None:
    assert parse("audit.impl.class=com.acme.Audit").warnings == ()
    error = refusal("audit.enable=true\naudit.impl.class=com.acme.Audit")
    assert str(error).startswith("line 4: audit.impl.class: 'com.acme.Audit' is a Java class")
    assert "--audit-log FILE" in str(error)


SHA1_OF_TEST = "D/InIHSb7yEEbrWz8b9l71RjZJU="


@pytest.mark.parametrize(
    ("value", "algorithm"),
    [
        ("super:test", None),
        ("super:dGVzdA==", None),  # a password that is base64 by chance
        ("super", None),
        (SHA1_OF_TEST, None),
        (f"super:{SHA1_OF_TEST}", "SHA-256"),
        ("super:" + "A" * 43 + "=", "SHA1"),
    ],
)
def test_a_superuser_whom_no_password_can_make_is_a_warning(
    value: str, algorithm: str | None
) -> None:
    text = f"dataDir=/d\nclientPort=1\nDigestAuthenticationProvider.superDigest={value}\n"
    if algorithm is not None:
        text += f"DigestAuthenticationProvider.digestAlg={algorithm}\n"
    ((line, warning),) = parse_config(text.encode()).warnings
    assert line == 3
    assert warning == (
        f"DigestAuthenticationProvider.superDigest: holds no digest of {algorithm or 'SHA1'}, so no"
        " password is the superuser's; it takes user:DIGEST, not the password itself"
        " (docs/operations.md makes one)"
    )
    assert value == "super" or value not in warning


@pytest.mark.parametrize(
    ("algorithm", "size"),
    [("SHA1", 20), ("sha", 20), ("SHA-1", 20), ("MD5", 16), ("SHA256", 32), ("SHA3-224", 28),
     ("SHA-512/256", 32), ("SHA512", 64)],
)  # fmt: skip
def test_a_digest_of_the_right_length_is_taken_for_one(algorithm: str, size: int) -> None:
    digest = base64.b64encode(bytes(size)).decode()
    text = f"dataDir=/d\nclientPort=1\nDigestAuthenticationProvider.superDigest=super:{digest}\n"
    text += f"DigestAuthenticationProvider.digestAlg={algorithm}\n"
    assert parse_config(text.encode()).warnings == ()
