"""A bad cable: forwards frames between a host's port and the switch, late, slowly, and not all of them.

Linux has this built in (netem), but not every kernel is built with it. Started as `python -I cable.py PORT TAP` in the
switch's network namespace. PORT is the switch's end of the host's cable, not connected to the bridge; TAP is made here
and is to be connected instead. Each line of standard input is one JSON object with the settings (see `Settings`), and
is answered by a line "ok". The cable ends with its input.

Frames come with the header that says what is left to do for them (checksum, cutting into segments), and are passed on
with it: so a frame may be 64 kB long, and plain Python is fast enough.
"""

import collections
import contextlib
import dataclasses
import fcntl
import json
import os
import random
import select
import socket
import struct
import sys
import time

# From linux/if_tun.h, linux/if_packet.h.
TUNSETIFF, TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454CA, 0x400454D0, 0x400454D8
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
OFFLOADS = 0x01 | 0x02 | 0x04  # checksum, TCP over IPv4, TCP over IPv6
SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
ETH_P_ALL = 3
HEADER = 10
LONGEST = HEADER + 14 + 65536
#: Frames beyond this wait of a slow cable are lost, as in a switch whose memory is full.
MOST_BACKLOG_S = 0.2


@dataclasses.dataclass
class Settings:
    """What a cable does in each direction.

    ``delay_ms``, ``jitter_ms``: how late a frame comes; ``loss``: percentage that is lost; ``mbit``: megabits a second,
    0 for any; ``blocked``: addresses of hosts whose packets do not arrive here.
    """

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    mbit: float = 0.0
    blocked: tuple[str, ...] = ()


class Direction:
    """Frames on their way from one end to the other."""

    def __init__(self, source, target, *, arriving):
        self.source, self.target = source, target
        self.arriving = arriving  # whether it leads to the host
        self.waiting = collections.deque()  # (when due, frame)
        self.busy_until = 0.0
        self.latest = 0.0

    def take(self, settings, blocked, now):
        """Read the frames that are there."""
        for _ in range(64):
            try:
                frame = os.read(self.source, LONGEST)
            except OSError:  # none is left, or the interface is down
                return
            is_ip = self.arriving and frame[HEADER + 12 : HEADER + 14] == b"\x08\x00"
            if is_ip and frame[HEADER + 26 : HEADER + 30] in blocked:
                continue
            if settings.loss and random.random() * 100 < settings.loss:
                continue
            due = now
            if settings.mbit:
                start = max(self.busy_until, now)
                if start - now > MOST_BACKLOG_S:
                    continue
                due = self.busy_until = start + len(frame) * 8e-6 / settings.mbit
            due += (settings.delay_ms + settings.jitter_ms * random.uniform(-1, 1)) / 1000
            self.latest = max(self.latest, due)  # frames do not overtake one another
            self.waiting.append((self.latest, frame))

    def give(self, now):
        """Pass on what is due; give the time when the next frame is, None: there is none."""
        while self.waiting:
            due, frame = self.waiting[0]
            if due > now:
                return due
            self.waiting.popleft()
            with contextlib.suppress(OSError):  # as on any cable: what cannot be taken is lost
                os.write(self.target, frame)
        return None


def open_port(name):
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    port.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    port.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    port.bind((name, ETH_P_ALL))
    port.setblocking(False)
    return port.detach()


def open_tap(name):
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    fcntl.ioctl(tap, TUNSETVNETHDRSZ, struct.pack("i", HEADER))
    fcntl.ioctl(tap, TUNSETOFFLOAD, OFFLOADS)
    return tap


def main():
    port, tap = open_port(sys.argv[1]), open_tap(sys.argv[2])
    directions = [Direction(port, tap, arriving=False), Direction(tap, port, arriving=True)]
    settings, blocked = Settings(), frozenset()
    print("ok", flush=True)
    control = b""
    while True:
        now = time.monotonic()
        dues = [due for direction in directions if (due := direction.give(now)) is not None]
        patience = max(0.0, min(dues) - now) if dues else None
        readable, _, _ = select.select([0, port, tap], [], [], patience)
        if 0 in readable:
            read = os.read(0, 65536)
            if not read:
                return
            control += read
            *lines, control = control.split(b"\n")
            for line in lines:
                settings = Settings(**json.loads(line))
                blocked = frozenset(map(socket.inet_aton, settings.blocked))
                print("ok", flush=True)
        now = time.monotonic()
        for direction in directions:
            if direction.source in readable:
                direction.take(settings, blocked, now)


if __name__ == "__main__":
    main()
