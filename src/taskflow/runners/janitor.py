"""Ends containers whose executor has died: a small process beside an executor, in a session of its own.

Docker and Podman run containers apart from the program that asks for one, so they outlive it, and the executor. The
executor writes to this process what it is about to run and what has ended, a line of JSON each. When its end of the
pipe closes, for whatever reason, all that has not ended is ended with the commands that were given for it.

It is started by path, with nothing but the standard library: a start costs a few milliseconds.
"""

import json
import signal
import subprocess
import sys
import time

ROUNDS_S = (0.0, 0.3, 1.5)  #: pauses before each try: the engine may be just about to begin
PATIENCE_S = 20.0  #: longest that one command may take


def main() -> None:
    """Listen until the executor is gone, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    open_containers = {}
    for line in sys.stdin.buffer:
        if not line.endswith(b"\n"):
            break  # it died while it wrote; nothing has been started yet
        name, commands = json.loads(line)
        if commands:
            open_containers[name] = commands
        else:
            open_containers.pop(name, None)
    if not open_containers:
        return
    for pause in ROUNDS_S:
        time.sleep(pause)
        for commands in open_containers.values():
            for command in commands:
                run(command)


def run(command: list[str]) -> None:
    """Run one command; whether it worked is seen by nobody any more."""
    try:
        subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=PATIENCE_S,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"taskflow: {command[0]}: {error}\n")


if __name__ == "__main__":
    main()
