"""Bodies of tasks that run in containers. They are found there by their names; nothing but Python is needed."""

import os
import socket
import sys
import time


def describe(word, again=None):
    """What can be seen from inside."""
    print(f"{word} is said inside")
    return {
        "said": (word, again),
        "user": (os.getuid(), os.getgid()),
        "folder": os.getcwd(),
        "networks": sorted(name for _, name in socket.if_nameindex()),
        "argv": sys.argv,
        "variables": dict(os.environ),
        "home": sorted(os.listdir("/")),
    }


def transform(source, made, changed, folder):
    """Read one file, make one, change one, make a folder; tell what happens on writing to what is only to be read."""
    with open(source) as file:
        text = file.read()
    with open(made + ".part", "w") as file:
        file.write(text.upper())
    os.rename(made + ".part", made)
    with open(changed, "a") as file:
        file.write("changed\n")
    os.mkdir(folder)
    with open(os.path.join(folder, "leaf"), "w") as file:
        file.write(text)
    try:
        with open(source, "w"):
            pass
    except OSError as error:
        return type(error).__name__, os.listdir(os.path.dirname(made))
    return "written", os.listdir(os.path.dirname(made))


class PumpError(Exception):
    """An exception that only this module knows."""


def fail(what):
    """Fail in a frame of its own."""
    raise PumpError(f"{what} went wrong")


def eat(megabytes):
    """Take so much memory, and wait for somebody to mind."""
    eaten = [bytearray(os.urandom(1) * (1 << 20)) for _ in range(megabytes)]
    time.sleep(20)
    return len(eaten)


def wait(sign):
    """Give a sign of life, and wait for an end that comes from outside."""
    with open(sign, "w") as file:
        file.write("here")
    time.sleep(600)
