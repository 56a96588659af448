"""What test tasks use to wait for each other without guessing times."""

import os
import time

PATIENCE = 20.0  #: seconds after which a meeting is given up


def meet(folder, name, count):
    """Arrive under a name; True once ``count`` have arrived, False if they do not come."""
    with open(os.path.join(folder, name), "w"):
        pass
    return until(lambda: len(os.listdir(folder)) >= count)


def until(condition, patience=PATIENCE):
    """Wait for a condition that another process brings about; False if it does not come true."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.002)
    return False


def wait_for_file(path):
    """Wait until another process has made the file."""
    if not until(lambda: os.path.exists(path)):
        raise TimeoutError(path)


def touch(path):
    """Tell others that this point has been reached."""
    with open(path, "w"):
        pass


def alive(pid):
    """Whether the process runs (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
