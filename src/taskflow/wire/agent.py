"""The connection between the master and the agent of a node: frames, and the notes in some of them.

A frame is a header (kind, number of an executor or 0, length) and so many bytes:
  HELLO    JSON: who connects (see `wire.security`); only as the first frame
  DATA     bytes of an executor's data stream, cut anywhere
  CONTROL  bytes of an executor's control stream, cut anywhere
  NOTE     JSON, an object whose "note" says what it is
  PING     8 bytes of any kind;  PONG: the same bytes back

Notes, master to agent:
  welcome    time: seconds since the run began; settings that the executors need
  start      executor: start one of that number
  kill       executor, why: end it with all it has started
  cancelled  executor, task: it has been told to end the task; it is killed if it does not heed that
  limits     some task function has a time-out: keep the time
  leave      have the executors tell what they have kept back; they end
  end        kill everything, remove the folders, exit
  get, put, drop: for `data.transfers`

Notes, agent to master:
  ready      facts about the node (see `node.agent`): executors can be started
  failed     why: the agent cannot work here, and ends
  started    executor, pid
  ended      executor, pid, status, max_rss_kb, running (task), killed (why), tail (last lines of its log), log (path);
             status None: how it ended is not known, and ``problem`` may say more
  left       the executors have said all
  gone       why: the agent ends, and it was not asked to
and what `data.transfers` has to say.
"""

from __future__ import annotations

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

PING_S = 1.0  #: whoever has sent nothing for so long sends a ping


def pack_note(note: dict[str, Any]) -> bytes:
    """The body of a NOTE."""
    return json.dumps(note, separators=(",", ":")).encode()


def read_note(body: memoryview | bytes) -> dict[str, Any]:
    """The note in a NOTE."""
    note = json.loads(bytes(body))
    if not isinstance(note, dict):
        raise TypeError(f"a note is an object, not {note!r}")
    return note
