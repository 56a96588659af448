"""The program that a task's programs use like ``ssh``, to start others on the nodes of the same task.

``launcher SOCKET [options of ssh] HOST command...``: asks the service of this node (see `node.elsewhere`) on the
socket, hands it its own standard streams, and ends with the exit code of the command: 255 if that could not be started,
or if the way to it was cut. The service carries the streams; this program only waits, and its death ends the command.

It is started with ``-I -S`` as a script of its own, since an MPI program on a hundred nodes starts a hundred of them:
it imports nothing of the package and as little as possible of the library.
"""

from __future__ import annotations

import _socket
import os
import sys

FLAGS = "46AaCfGgKkMNnqsTtVvXxYy"  #: options of ssh that take no value
VALUED = "BbcDEeFIiJLlmOoPpQRSWw"  #: and those that do
FAILED = 255  #: the exit code of ssh if it has failed itself


def main(argv: list[str]) -> int:
    """Have a command run elsewhere; the exit code."""
    socket_path, *words = argv
    asked = parse(words)
    if isinstance(asked, str):
        return fail(asked)
    host, command, no_input = asked
    if no_input:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
    try:
        service = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        # The folder may have a longer path than fits into the address of a socket.
        folder = os.open(os.path.dirname(socket_path), os.O_RDONLY | os.O_DIRECTORY)
        service.connect(f"/proc/self/fd/{folder}/{os.path.basename(socket_path)}")
    except OSError as error:
        return fail(f"the agent of this node does not answer at {socket_path}: {error.strerror}")
    environment = [os.fsencode(f"{name}={value}") for name, value in os.environ.items()]
    request = b"\0".join([os.fsencode(host), os.fsencode(command), os.fsencode(os.getcwd()), *environment])
    streams = b"".join(file.to_bytes(4, sys.byteorder) for file in (0, 1, 2))
    try:
        service.sendmsg(
            [len(request).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)]
        )  # fmt: skip
        sent = 0
        while sent < len(request):
            sent += service.send(request[sent:])
        answer = service.recv(1)
    except KeyboardInterrupt:
        return FAILED
    except OSError as error:
        return fail(f"the agent of this node has hung up: {error.strerror}")
    return answer[0] if answer else fail("the agent of this node has ended, and with it the task")


def parse(words: list[str]) -> tuple[str, str, bool] | str:
    """Host, command and whether it gets no input; or what is wrong.

    All other options of ssh are understood and have no effect: which user, port and key lead to the host was said when
    the agents were started.
    """
    no_input = False
    host = ""
    while words:
        word = words.pop(0)
        if word == "--":
            continue
        if not word.startswith("-") or len(word) == 1:
            if host:
                words.insert(0, word)
                break
            host = word
            continue
        for place, letter in enumerate(word[1:], 2):
            if letter in VALUED:
                if place == len(word) and words:
                    del words[0]
                break
            if letter not in FLAGS:
                return f"there is no option -{letter}; it takes those of ssh"
            no_input = no_input or letter in "nf"
    if not host or not words:
        return "usage: launcher [options of ssh] HOST command..."
    return host.rpartition("@")[2], " ".join(words), no_input


def fail(why: str) -> int:
    """Say why nothing was started."""
    os.write(2, os.fsencode(f"taskflow: {why}\n"))
    return FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
