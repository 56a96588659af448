"""The connection between the master and the agent of a node: frames, and the notes in some of them.

A frame is a header (kind, number of an executor or 0, length) and so many bytes:
  HELLO    JSON: who connects (see `wire.security`); only as the first frame
  DATA     bytes of an executor's data stream, cut anywhere
  CONTROL  bytes of an executor's control stream, cut anywhere
  NOTE     JSON, an object whose "note" says what it is
  FILE     bytes of the file that a note "file" has announced
  PING     8 bytes of any kind;  PONG: the same bytes back

Notes, master to agent:
  welcome    time: seconds since the run began
  start      executor, cores: start one of that number, bound to these processor cores if any are named
  cancelled  executor, task: it has been told to end the task; it is killed if it does not heed that
  wanted     executor, task: that attempt at the task is over, and the executor is about to be sent another one
  limits     some task function has a time-out or a limit of memory: look after the executors
  span       span, hosts {name: (host, port, number)}: an attempt at a task has these nodes, of which this is one
  span over  span: it has ended; everything that was started for it from here or from there is ended (`node.elsewhere`)
  leave      have the executors tell what they have kept back; they end; then as "bring"
  bring      send home what is worth keeping, and say "left"
  end        kill everything, remove the folders, exit
  get, put, drop: for `data.transfers`

Notes, agent to master:
  ready      facts about the node (see `Agent.facts`): executors can be started
  started    executor, pid
  ended      executor, pid, status, max_rss_kb, running (task), killed (why), excess (bytes that a task had
             taken when it was killed for them), tail (last lines of its log), log (path);
             status None: how it ended is not known, and ``problem`` may say more
  file       name (in the node's folder), bytes (that follow), size: a file that is worth keeping
  left       the executors have said all, and all files are sent
  gone       why: the agent ends, and it was not asked to; also in place of ``ready``
and what `data.transfers` has to say.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from typing import Any

HEADER = struct.Struct("<BIQ")
FRAME_BYTES = 1 << 18  #: frames of streams are not longer
NOTE_BYTES = 64 << 20  #: a longer frame means that the stream is damaged

HELLO = 1
DATA = 2
CONTROL = 3
NOTE = 4
PING = 5
PONG = 6
FILE = 7

PING_S = 1.0  #: both sides send a ping so often


def pack_note(note: dict[str, Any]) -> bytes:
    """The body of a NOTE."""
    return json.dumps(note, separators=(",", ":")).encode()


def read_note(body: memoryview | bytes) -> dict[str, Any]:
    """The note in a NOTE."""
    note = json.loads(bytes(body))
    if not isinstance(note, dict):
        raise TypeError(f"a note is an object, not {note!r}")
    return note


@dataclasses.dataclass(frozen=True)
class AgentConfig:
    """What an agent is told on its standard input, as one line of JSON. Its standard input then stays open.

    ``node``, ``name``: number and name of its node. ``addresses``: (host, port) where the master may be reached, to be
    tried in turn; ``tunnel``: they lead through SSH. ``timeout``: seconds of silence after which the other side counts
    as gone. ``working_dir``: "" for a folder of the user's own among temporary files. ``keep``: the folders stay.
    ``path``: where modules are found before all else, as far as it is there; a relative entry lies in the node's own
    folder. ``roots``: where folders of the main program are on the node, likewise. ``program``: an archive (see
    `launch.bundle`) to be unpacked into ``app`` there. ``environment``: variables for tasks;
    ``prepended``: what comes before what the node has in them. ``min_port``,
    ``max_port``: where its data server may listen; 0: anywhere. The rest as in the master.
    """

    run: str
    node: int
    name: str
    token: str
    certificate: str
    key: str
    addresses: list[tuple[str, int]]
    timeout: float
    tunnel: bool = False
    working_dir: str = ""
    keep: bool = False
    path: list[str] = dataclasses.field(default_factory=list)
    roots: dict[str, str] = dataclasses.field(default_factory=dict)
    program: str = ""
    argv: list[str] = dataclasses.field(default_factory=list)
    cwd: str = ""
    pycompss: bool = False
    check: bool = False
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    prepended: dict[str, str] = dataclasses.field(default_factory=dict)
    min_port: int = 0
    max_port: int = 0

    def pack(self) -> bytes:
        """The line."""
        return json.dumps(dataclasses.asdict(self)).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> AgentConfig:
        """The configuration in a line. Raises ValueError and TypeError if that is none."""
        fields = json.loads(line)
        fields["addresses"] = [(str(host), int(port)) for host, port in fields["addresses"]]
        return cls(**fields)
