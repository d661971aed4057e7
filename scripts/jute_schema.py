"""The table of jute records: names, fields, types. ``scripts/gen_jute.py`` makes code of it.

Types: ``bool int long string buffer list<T>``, a record's name; ``?`` behind a type allows null.
``bool?`` may only stand last: a byte that may be absent.
"""

from __future__ import annotations

from typing import Final

SCHEMA: Final = """
# --- both ports ----------------------------------------------------------------
ACL                 perms:int scheme:string? id:string?
Stat                czxid:long mzxid:long ctime:long mtime:long version:int cversion:int aversion:int ephemeral_owner:long data_length:int num_children:int pzxid:long
ClientInfo          auth_scheme:string user:string

# --- client port: connection ---------------------------------------------------
ConnectRequest      protocol_version:int last_zxid_seen:long timeout_ms:int session_id:long password:buffer? read_only:bool?
ConnectResponse     protocol_version:int timeout_ms:int session_id:long password:buffer? read_only:bool?
MultiHeader         type:int done:bool err:int
AuthPacket          type:int scheme:string? auth:buffer?
SASLToken           token:buffer?
WatcherEvent        type:int state:int path:string

# --- client port: requests -----------------------------------------------------
CreateRequest       path:string? data:buffer? acl:list<ACL>? flags:int
CreateTTLRequest    path:string? data:buffer? acl:list<ACL>? flags:int ttl:long
DeleteRequest       path:string? version:int
DeleteContainerRequest path:buffer?
PathRequest         path:string?
PathWatchRequest    path:string? watch:bool
SetDataRequest      path:string? data:buffer? version:int
CheckVersionRequest path:string? version:int
SetACLRequest       path:string? acl:list<ACL>? version:int
SetWatches          relative_zxid:long data_watches:list<string?>? exist_watches:list<string?>? child_watches:list<string?>?
SetWatches2         relative_zxid:long data_watches:list<string?>? exist_watches:list<string?>? child_watches:list<string?>? persistent_watches:list<string?>? persistent_recursive_watches:list<string?>?
AddWatchRequest     path:string? mode:int
CheckWatchesRequest path:string? type:int
ReconfigRequest     joining_servers:string? leaving_servers:string? new_members:string? cur_config_id:long

# --- client port: responses ----------------------------------------------------
PathResponse        path:string?
Create2Response     path:string stat:Stat
StatResponse        stat:Stat
GetDataResponse     data:buffer? stat:Stat
GetACLResponse      acl:list<ACL>? stat:Stat
GetChildrenResponse children:list<string>
GetChildren2Response children:list<string> stat:Stat
ErrorResponse       err:int
WhoAmIResponse      client_info:list<ClientInfo>

# --- transactions --------------------------------------------------------------
TxnHeader           client_id:long cxid:int zxid:long time:long type:int
CreateTxn           path:string data:buffer? acl:list<ACL>? ephemeral:bool parent_cversion:int
CreateTxnV0         path:string data:buffer? acl:list<ACL>? ephemeral:bool
CreateTTLTxn        path:string data:buffer? acl:list<ACL>? parent_cversion:int ttl:long
CreateContainerTxn  path:string data:buffer? acl:list<ACL>? parent_cversion:int
DeleteTxn           path:string
SetDataTxn          path:string data:buffer? version:int
SetACLTxn           path:string acl:list<ACL>? version:int
CheckVersionTxn     path:string version:int
CreateSessionTxn    timeout_ms:int
CloseSessionTxn     paths_to_delete:list<string>
ErrorTxn            err:int
Txn                 type:int data:buffer
MultiTxn            txns:list<Txn>
TxnDigest           version:int tree_digest:long

# --- quorum port ---------------------------------------------------------------
Id                  scheme:string? id:string?
QuorumPacket        type:int zxid:long data:buffer? authinfo:list<Id>?
LearnerInfo         server_id:long protocol_version:int config_version:long
"""

HASHABLE: Final = frozenset({"ACL"})
"""Records that are used as keys."""


def parse() -> dict[str, list[tuple[str, str]]]:
    """Return record name -> [(field, type), ...] in wire order."""
    records: dict[str, list[tuple[str, str]]] = {}
    for line in SCHEMA.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, *fields = line.split()
        records[name] = [tuple(field.split(":", 1)) for field in fields]  # type: ignore[misc]
    return records
