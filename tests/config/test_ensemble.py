"""What a member is told, and the mistakes a person makes: each says where and what to change."""

from __future__ import annotations

import shlex

import attrs
import pytest

from pyzk.config.ensemble import EnsembleConfig, parse_ensemble
from pyzk.config.keys import KEYS
from pyzk.config.members import config_text
from pyzk.config.settings import Property, Settings
from pyzk.config.start_files import StartFiles
from pyzk.errors import ConfigError

BASIC = "tickTime=2000\ninitLimit=10\nsyncLimit=5\n"
MEMBERS = "server.1=h1:2888:3888\nserver.2=h2:2888:3888\nserver.3=h3:2888:3888\n"
PORT = "clientPort=2181\n"
ALL = BASIC + MEMBERS + PORT

NAMES = {
    "0.0.0.0": "0.0.0.0",
    "127.0.0.1": "127.0.0.1",
    "127.0.0.2": "127.0.0.2",
    "localhost": "127.0.0.1",
    "LOCALHOST": "127.0.0.1",
    "h4": "10.0.0.4",
    "127.1": "127.0.0.1",
    "0": "0.0.0.0",
}
"""Host -> address, as the system's resolver would say."""


def parse(
    text: str,
    myid: str | None = "1",
    dynamic: str | None = None,
    properties: dict[str, str] | None = None,
) -> EnsembleConfig | None:
    return parse_ensemble(
        Settings(
            text.encode(),
            [Property(name, value, f"-D{name}") for name, value in (properties or {}).items()],
        ),
        StartFiles(
            None if myid is None else myid.encode(),
            "/data/myid",
            None if dynamic is None else dynamic.encode(),
        ),
        NAMES.get,
    )


def told(
    text: str,
    myid: str | None = "1",
    dynamic: str | None = None,
    properties: dict[str, str] | None = None,
) -> EnsembleConfig:
    config = parse(text, myid, dynamic, properties)
    assert config is not None
    return config


def test_the_defaults_are_the_original_s() -> None:
    config = told(ALL)
    assert (config.my_sid, config.is_observer, config.client_port) == (1, False, 2181)
    assert (config.tick_time_ms, config.init_limit_ticks, config.sync_limit_ticks) == (2000, 10, 5)
    assert config.cnx_timeout_ms == 5000
    assert config.leader_serves
    assert config.sync_enabled
    assert not config.quorum_listen_on_all_ips
    assert config.me.addresses[0].host == "h1"
    assert config.warnings == ()
    # The client address of the static file is no part of the text.
    assert config_text(config.membership) == (
        "server.1=h1:2888:3888:participant\nserver.2=h2:2888:3888:participant\n"
        "server.3=h3:2888:3888:participant\nversion=0"
    )


def test_every_setting_is_read() -> None:
    config = told(
        ALL + "connectToLearnerMasterLimit=3\nelectionAlg=3\nquorumListenOnAllIPs=true\n"
        "syncEnabled=false\nreconfigEnabled=true\nleaderServes=no\ncnxTimeout=100\n"
        "electionPortBindRetry=0\nsnapshotSizeFactor=-1\nforceSnapshotSync=true\n"
        "fastleader.minNotificationInterval=10\nleader.maxConcurrentSnapSyncs=2\n"
        "observerMasterPort=2191\nobserverMaster.sizeLimit=1000\n"
        "observer.reconnectDelayMs=5\nobserver.election.DelayMs=6\n"
    )
    assert config.connect_to_learner_master_limit_ticks == 3
    assert config.quorum_listen_on_all_ips
    assert not config.sync_enabled
    assert config.reconfig_enabled
    assert not config.leader_serves
    assert config.cnx_timeout_ms == 100
    assert config.election_port_bind_retry == 0
    assert config.snapshot_size_factor == -1
    assert config.force_snapshot_sync
    assert config.min_notification_ms == 10
    assert config.max_concurrent_snap_syncs == 2
    assert config.observer_master_port == 2191
    assert config.observer_master_limit_bytes == 1000
    assert config.observer_reconnect_delay_ms == 5
    assert config.observer_election_delay_ms == 6


def test_properties_come_before_the_file_and_only_where_there_are_any() -> None:
    properties = {
        "zookeeper.cnxTimeout": " 7 ",
        "zookeeper.leaderServes": "no",
        "zookeeper.initLimit": "99",
        "zookeeper.observer.syncEnabled": "false",
        "zookeeper.unknown": "x",
    }
    config = told(ALL + "leaderServes=yes\n", properties=properties)
    assert config.cnx_timeout_ms == 7
    assert config.leader_serves
    assert config.init_limit_ticks == 10
    assert not config.sync_enabled


def test_every_field_has_one_row() -> None:
    rows = [key.member for key in KEYS if key.member]
    derived = {"my_sid", "membership", "last_seen", "is_observer", "client_host", "client_port"}
    files = {"dynamic_file", "config_file"}
    assert len(rows) == len(set(rows))
    assert set(attrs.fields_dict(EnsembleConfig)) - set(rows) == {
        *derived,
        *files,
        "quorum_sasl",
        "quorum_tls",
        "warnings",
        "notes",
    }


# --- alone or not ---------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", BASIC, "server.1=h1:2888:3888\n", PORT + "server.7=h:1:2;9"])
def test_a_lone_server_needs_none_of_it(text: str) -> None:
    assert parse(text, myid=None) is None


def test_one_participant_is_an_ensemble_if_that_is_wanted() -> None:
    text = BASIC + PORT + "standaloneEnabled=false\nserver.1=h:1:2\n"
    assert told(text).membership.voters == (1,)
    assert told(text + "server.2=h2:1:2:observer\n", "2").is_observer


# --- the dynamic file -----------------------------------------------------------------


def test_members_may_be_in_a_file_of_their_own() -> None:
    text = BASIC + "dynamicConfigFile=/etc/zoo.cfg.dynamic.10000000f\n"
    assert Settings(text.encode()).dynamic_file == "/etc/zoo.cfg.dynamic.10000000f"
    config = told(text, "2", MEMBERS.replace("h2:2888:3888", "h2:2888:3888;[::1]:2182"))
    assert config.membership.version == 0x10000000F
    assert config.dynamic_file == "/etc/zoo.cfg.dynamic.10000000f"
    assert (config.client_host, config.client_port) == ("0:0:0:0:0:0:0:1", 2182)
    assert Settings(ALL.encode()).dynamic_file is None


@pytest.mark.parametrize(
    ("dynamic", "line", "message"),
    [
        (None, 4, "/etc/d cannot be read"),
        ("", 4, "/etc/d has no server lines"),
        (MEMBERS + "version=5\n", 4, r"must not have it; remove the line \(in /etc/d\)"),
        (MEMBERS + "tickTime=5\n", 4, r"is unknown here.*\(in /etc/d\)"),
        ("server.1=h1:2888\n", 1, r"no election port.*\(in /etc/d\)"),
    ],
)
def test_a_mistake_in_it_names_the_file(dynamic: str | None, line: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse(BASIC + "dynamicConfigFile=/etc/d\n", dynamic=dynamic)
    assert caught.value.line == line


# --- mistakes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "myid", "expected"),
    [
        (ALL, None, "myid: there is no /data/myid; it must hold the id of this server, the N of"
                    " its own server.N line, one of 1, 2, 3: echo N > /data/myid"),
        (ALL, "", "myid: /data/myid is empty; it must hold the id"),
        (ALL, "one", "myid: /data/myid holds 'one', which is not a server id;"),
        (ALL, "\n2\n", "myid: /data/myid is empty; it must hold the id"),
        (ALL, "-0\n", "myid: /data/myid holds 0, but there is no server.0, only 1, 2, 3; add"),
        (ALL, "-1\n", "myid: /data/myid holds '-1', which is not a server id;"),
        (ALL, "4\n", "myid: /data/myid holds 4, but there is no server.4, only 1, 2, 3; add the"
                     " line on every server, or correct the file"),
        (ALL + "server.2=h9:1:2\n", "1", "line 8: server.2: is on line 5 already; give each server"
                                         " an id of its own"),
        (ALL + "dynamicConfigFile=/etc/d\n", "1", "line 4: server.1: must be in the file that"
         " dynamicConfigFile (line 8) names; move it there, or remove dynamicConfigFile"),
        (BASIC + "dynamicConfigFile=\n", "1", "line 4: dynamicConfigFile: is empty; give the path"),
        (MEMBERS + PORT + "syncLimit=5\n", "1", "initLimit: is not set; an ensemble needs it, 10"),
        (MEMBERS + PORT + "initLimit=5\n", "1", "syncLimit: is not set; an ensemble needs it, 5"),
        (ALL + "initLimit=0\n", "1",
            "line 8: initLimit: '0' is not an integer of at least 1 (ticks)"),
        (ALL + "tickTime=\n", "1", "line 8: tickTime: empty; expected an integer of at least 1"),
        (BASIC + MEMBERS, "2", "clientPort: is not set; set it, 2181 is usual, or end the server.2"
                               " line with ;2181"),
        (BASIC + MEMBERS + "clientPortAddress=h\n", "1", "line 7: clientPortAddress: clientPortAddr"
                                                         "ess is set but clientPort is not"),
        (ALL + "clientPortAddress=::1\nserver.4=h4:1:2;2181\n", "4", "line 8: clientPortAddress:"
         " [0:0:0:0:0:0:0:1]:2181 differs from 0.0.0.0:2181 in server.4; remove clientPort and"
         " clientPortAddress here, or make them the same"),
        (ALL + "clientPortAddress=x::y\n", "1", "line 8: clientPortAddress: [x::y] is not an IPv6"),
        (ALL + "peerType=leader\n", "1", "line 8: peerType: 'leader' is not participant or obser"),
        (ALL + "electionAlg=1\n", "1", "line 8: electionAlg: '1' is not 3"),
        (ALL + "server.4=h4:1:2|h5:1:2\n", "1", "line 8: server.4: has several addresses; that"
                                                " needs multiAddress.enabled=true on all"),
        (ALL + "server.255=h:1:2\nextendedTypesEnabled=true\n", "1", "line 8: server.255: server id"
         " 255: with extendedTypesEnabled, 254 is the highest"),
        (BASIC + "server.1=h:1:2:observer\n", "1", "line 4: server.1: all servers are observers"),
        (BASIC + "server.1=h:1:2\nserver.2=g:1:2:observer\n", "1", "line 4: server.1: one partici"),
    ],
)  # fmt: skip
def test_a_mistake_says_what_to_change(text: str, myid: str | None, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, myid)
    assert str(caught.value).startswith(expected)


def test_a_wrong_property_is_named_without_a_line() -> None:
    with pytest.raises(ConfigError, match=r"^-Dzookeeper\.cnxTimeout: 'x' is not"):
        parse(ALL, properties={"zookeeper.cnxTimeout": "x"})


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            "server.1=a:1:2:observer\nserver.3=c:1:2\nserver.2=b:1:2\n",
            (6, "server.2: two participants: if either fails, no quorum is left; use three"),
        ),
        (
            "server.1=a:1:2:observer\nserver.2=b:1:2\nserver.3=c:1:2\nserver.4=d:1:2\n"
            "server.5=e:1:2\n",
            (
                5,
                "server.2: 4 participants survive no more failures than 3; an odd number is better",
            ),
        ),
    ],
)
def test_advice_on_the_number_of_participants_is_on_the_line_of_one(
    lines: str, expected: tuple[int, str]
) -> None:
    assert told(BASIC + lines + PORT).warnings == (expected,)


def test_the_only_participant_is_named_where_others_are_missing() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(BASIC + "server.1=a:1:2:observer\nserver.2=b:1:2\n" + PORT)
    assert str(caught.value).startswith("line 5: server.2: one participant with observers is no")


def test_the_command_that_makes_myid_can_be_pasted() -> None:
    files = StartFiles(None, "/my data/it's # 1/myid")
    with pytest.raises(ConfigError) as caught:
        parse_ensemble(Settings(ALL.encode()), files)
    command = str(caught.value).partition(" > ")[2]
    assert shlex.split(command) == [files.myid_path]


@pytest.mark.parametrize("myid", ["+2", "+2\n", "2\r3", "0000000000000000000000000002", "\uff12\n"])
def test_myid_is_read_as_the_original_reads_it(myid: str) -> None:
    assert told(ALL, myid).my_sid == 2


@pytest.mark.parametrize("myid", ["2", "2\n", " 2 \r\n", "\ufeff2\nrest"])
def test_myid_may_have_been_written_by_an_editor(myid: str) -> None:
    assert told(ALL, myid).my_sid == 2


@pytest.mark.parametrize(
    ("extra", "line", "warning"),
    [
        ("server.4=h4:1:2\n", 4, "4 participants survive no more failures than 3"),
        ("server.4=h1:1:3888:observer\n", 8, "h1:3888 is an address of server 1, too"),
        ("peerType=observer\n", 8, "server.1 says participant, which counts; end that line's"),
    ],
)
def test_what_will_hurt_later_is_a_warning(extra: str, line: int, warning: str) -> None:
    ((at, text),) = told(ALL + extra).warnings
    assert at == line
    assert warning in text


def test_two_participants_are_no_good() -> None:
    two = BASIC + PORT + "server.1=h1:1:2\nserver.2=h2:1:2\n"
    assert "use three" in told(two).warnings[0][1]
    grouped = told(two + "group.1=1:2\nweight.1=2\n")
    assert grouped.warnings == ()
    assert grouped.membership.groups == ((1, (1, 2)),)
    assert grouped.membership.weights == ((1, 2), (2, 1))


# --- the client address twice ---------------------------------------------------------


# What 3.8.0 and 3.9.3 said of the same lines.
@pytest.mark.parametrize(
    ("address", "client", "host"),
    [
        (None, "2181", "0.0.0.0"),
        (None, "127.0.0.1:2181", "127.0.0.1"),
        (None, "no.such.host:2181", "no.such.host"),
        ("0.0.0.0", "127.0.0.1:2181", "127.0.0.1"),
        ("::", "127.0.0.1:2181", "127.0.0.1"),
        ("::ffff:0.0.0.0", "127.0.0.1:2181", "127.0.0.1"),
        ("0", "127.0.0.1:2181", "127.0.0.1"),
        ("::", "[::]:2181", "0:0:0:0:0:0:0:0"),
        ("localhost", "127.0.0.1:2181", "127.0.0.1"),
        ("127.0.0.1", "localhost:2181", "localhost"),
        ("LOCALHOST", "localhost:2181", "localhost"),
        ("127.1", "127.0.0.1:2181", "127.0.0.1"),
        ("::ffff:127.0.0.1", "127.0.0.1:2181", "127.0.0.1"),
        ("::1", "[0::1]:2181", "0:0:0:0:0:0:0:1"),
        ("[::1]", "[::1]:2181", "0:0:0:0:0:0:0:1"),
        ("::1%lo", "[::1]:2181", "0:0:0:0:0:0:0:1"),
    ],
)
def test_a_client_address_that_agrees_is_that_of_the_line(
    address: str | None, client: str, host: str
) -> None:
    static = "" if address is None else f"clientPortAddress={address}\n"
    config = told(ALL + static + f"server.4=h4:1:2;{client}\n", "4")
    assert (config.client_host, config.client_port) == (host, 2181)


@pytest.mark.parametrize(
    ("address", "client", "message"),
    [
        (None, "2182", "clientPort: 0.0.0.0:2181 differs from 0.0.0.0:2182 in server.4; remove"),
        (None, "localhost:2182", "clientPort: 0.0.0.0:2181 differs from localhost:2182 in server"),
        ("127.0.0.1", "2181", "clientPortAddress: 127.0.0.1:2181 differs from 0.0.0.0:2181 in se"),
        ("127.0.0.1", "[::]:2181", "127.0.0.1:2181 differs from [0:0:0:0:0:0:0:0]:2181 in server"),
        ("127.0.0.1", "127.0.0.2:2181", "127.0.0.1:2181 differs from 127.0.0.2:2181 in server.4"),
        ("::1", "127.0.0.1:2181", ":0:1]:2181 differs from 127.0.0.1:2181 in server.4; remove"),
        ("localhost", "h4:2181", "localhost:2181 (127.0.0.1) differs from h4:2181 (10.0.0.4) in"),
        ("127.0.0.1", "no.host:2181", "differs from no.host:2181 (unknown host) in server.4"),
        ("no.host", "127.0.0.1:2181", "no.host:2181 (unknown host) differs from 127.0.0.1:2181"),
    ],
)
def test_a_client_address_that_differs_is_refused(
    address: str | None, client: str, message: str
) -> None:
    static = "" if address is None else f"clientPortAddress={address}\n"
    with pytest.raises(ConfigError) as caught:
        told(ALL + static + f"server.4=h4:1:2;{client}\n", "4")
    assert message in str(caught.value)


# zoo.cfg as Curator's TestingCluster makes it for the first of its servers.
CURATOR = """\
initLimit=10
localSessionsEnabled=false
localSessionsUpgradingEnabled=false
clientPort=41001
tickTime=1500
minSessionTimeout=1500
syncLimit=5
dataDir=/data
server.1=127.0.0.1:41002:41003;127.0.0.1:41001
server.2=127.0.0.1:41005:41006;127.0.0.1:41004
server.3=127.0.0.1:41008:41009;127.0.0.1:41007
"""
# As Strimzi made it in 2023, without what is about TLS.
STRIMZI = """\
dataDir=/var/lib/zookeeper/data
4lw.commands.whitelist=*
standaloneEnabled=false
reconfigEnabled=true
clientPort=12181
clientPortAddress=127.0.0.1
tickTime=2000
initLimit=5
syncLimit=2
autopurge.purgeInterval=1
server.1=0.0.0.0:2888:3888:participant;127.0.0.1:12181
server.2=cluster-zookeeper-1.cluster-zookeeper-nodes.kafka.svc:2888:3888:participant;127.0.0.1:12181
server.3=cluster-zookeeper-2.cluster-zookeeper-nodes.kafka.svc:2888:3888:participant;127.0.0.1:12181
"""


@pytest.mark.parametrize(
    ("text", "port"),
    [
        (CURATOR, 41001),
        (CURATOR.replace("127.0.0.1", "localhost"), 41001),
        (STRIMZI, 12181),
        (STRIMZI.replace("clientPortAddress=127.0.0.1\n", ""), 12181),
        (STRIMZI.replace("clientPort=12181\nclientPortAddress=127.0.0.1\n", ""), 12181),
        (STRIMZI.replace("clientPortAddress=127.0.0.1", "clientPortAddress=localhost"), 12181),
    ],
)
def test_files_that_other_programs_write_are_understood(text: str, port: int) -> None:
    config = told(text, "1")
    assert config.client_host in ("127.0.0.1", "localhost")
    assert config.client_port == port
    assert config.warnings == ()


def test_several_addresses_are_read_when_they_are_allowed() -> None:
    text = ALL + "multiAddress.enabled=true\nserver.4=h5:1:2|h4:1:2;2181\n"
    assert [address.host for address in told(text, "4").me.addresses] == ["h4", "h5"]
    property_only = {"zookeeper.multiAddress.enabled": "true"}
    without = text.replace("multiAddress.enabled=true", "")
    assert told(without, "4", properties=property_only).multi_address_enabled


def test_later_configurations_may_be_kept_in_the_data_directory() -> None:
    key = "pyzk.configInDataDir=true\n"
    assert not told(ALL).config_in_data_dir
    config = told(ALL + "reconfigEnabled=true\n" + key)
    assert config.config_in_data_dir
    assert config.notes[0][1].startswith("pyzk.configInDataDir: the server lines count until")
    config = told(ALL, properties={"zookeeper.pyzk.configInDataDir": "true"})
    assert config.warnings[-1][1].endswith("InDataDir: has no effect without reconfigEnabled=true")


# --- what a joiner is told ------------------------------------------------------------


def test_a_server_that_joins_is_not_blamed_for_the_lines_of_few() -> None:
    """docs/operations.md: from one to three, each new server has the lines of the first one and
    itself."""
    two = BASIC + PORT + "server.1=h1:1:2\nserver.3=h3:1:2\n"
    joiner = told(two + "reconfigEnabled=true\n", "3")
    assert joiner.place == "server 3, one of 2 servers, participant"
    assert joiner.warnings == ()
    assert joiner.notes == (
        (
            5,
            "server.1: two participants: right if a server joins another one that runs; if either"
            " fails, no quorum is left, so use three",
        ),
    )
    assert told(two, "3").notes == ()
    assert "use three" in told(two, "3").warnings[0][1]
    # Of an ensemble that has changed, the lines are all there is.
    text = BASIC + PORT + "reconfigEnabled=true\ndynamicConfigFile=/etc/zoo.cfg.dynamic.100000001\n"
    changed = told(text, "3", "server.1=h1:1:2\nserver.3=h3:1:2\n")
    assert "use three" in changed.warnings[0][1]
    four = ALL + "server.4=h4:1:2\nreconfigEnabled=true\n"
    assert told(four).warnings == ()
    assert "4 participants survive no more failures than 3" in told(four).notes[0][1]


# --- the port of observer masters -----------------------------------------------------

MASTER = BASIC + "observerMasterPort={}\n"
PLACED = (
    "server.1=h1:11:12:participant;21\nserver.2=h2:13:14:participant;h2:23\n"
    "server.3=h1:15:16:observer;h1:25\nserver.4=h4:17:18:observer;27\n"
    "server.5=127.0.0.1:41:42:participant;28\nserver.6=localhost:43:44:observer;127.0.0.1:29\n"
)


@pytest.mark.parametrize(
    ("port", "whose"),
    [
        (11, "the quorum port of server.1 (line 5) at h1"),
        (12, "the election port of server.1 (line 5) at h1"),
        (14, "the election port of server.2 (line 6) at h2"),
        (21, "the client port of server.1 (line 5) at h1"),
        (23, "the client port of server.2 (line 6) at h2"),
        (16, "the election port of server.3 (line 7) at h1"),
        (25, "the client port of server.3 (line 7) at h1"),
        (43, "the quorum port of server.6 (line 10) at localhost"),
        (29, "the client port of server.6 (line 10) at 127.0.0.1"),
    ],
)
def test_observer_masters_need_a_port_of_their_own(port: int, whose: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(MASTER.format(port) + PLACED)
    assert str(caught.value) == (
        f"line 4: observerMasterPort: {port} is {whose}, where a participant would take observers;"
        " choose another one, the same on all servers"
    )


@pytest.mark.parametrize("port", [0, 17, 18, 27, 31])
def test_a_port_of_a_host_without_a_participant_is_free_for_observer_masters(port: int) -> None:
    assert told(MASTER.format(port) + PLACED).observer_master_port == port


def test_the_client_port_of_a_member_may_be_in_zoo_cfg_only() -> None:
    three = MASTER.format(2181) + "clientPort=2181\n" + MEMBERS
    with pytest.raises(ConfigError, match=r"observerMasterPort: 2181 is the client port of serv"):
        parse(three)
    assert told(three + "server.4=h4:1:2:observer\n", "4").observer_master_port == 2181


def test_on_all_addresses_of_a_machine_its_own_ports_are_in_the_way() -> None:
    text = MASTER.format(23) + "server.1=a:1:2;b:23\nserver.2=c:1:2\nclientPort=23\n"
    assert told(text).observer_master_port == 23
    with pytest.raises(ConfigError, match=r"23 is the client port of server\.1 \(line 5\) at b"):
        parse(text + "quorumListenOnAllIPs=true\n")


def test_in_a_dynamic_file_the_server_is_named_without_a_line() -> None:
    text = MASTER.format(2888) + PORT + "dynamicConfigFile=/etc/zoo.cfg.dynamic\n"
    with pytest.raises(ConfigError, match=r"2888 is the quorum port of server\.1 at h1"):
        parse(text, dynamic=MEMBERS)
    # Where a reconfiguration has led to it, the member starts.
    changed = told(text.replace(".dynamic", ".dynamic.5"), dynamic=MEMBERS)
    assert changed.warnings[0][1].startswith("observerMasterPort: 2888 is the quorum port of serve")
