"""Whether a host is the one it should be: the files in which SSH keeps the keys of hosts."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import fnmatch
import hashlib
import hmac
import os
import shlex
from typing import TYPE_CHECKING

from taskflow.launch.ssh_config import SSH_PORT, SshError

if TYPE_CHECKING:
    from taskflow.launch.ssh_config import Route


@dataclasses.dataclass(frozen=True)
class KnownKey:
    """A key of a host in a file: its kind and its bytes. ``revoked``: whoever has it must be refused."""

    file: str
    line: int
    kind: str
    key: bytes
    revoked: bool = False

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.file} line {self.line}"


def known_keys(files: tuple[str, ...], name: str) -> list[KnownKey]:
    """The keys that the files have under a name. A file that is not there has none.

    Raises SshError if one cannot be read: to take that for "no key known" would be a wrong message.
    """
    found: list[KnownKey] = []
    for file in files:
        try:
            with open(file, encoding="utf-8", errors="replace") as stream:
                lines = stream.readlines()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise SshError(f"the file of known hosts {file} cannot be read: {error.strerror}") from error
        for number, line in enumerate(lines, 1):
            entry = _entry(line, name)
            if entry is not None:
                marker, kind, key = entry
                found.append(KnownKey(file, number, kind, key, marker == "@revoked"))
    return found


def _entry(line: str, name: str) -> tuple[str, str, bytes] | None:
    """(marker, kind, key) of a line that speaks of a host; None if it does not."""
    words = line.split()
    if not words or words[0].startswith("#"):
        return None
    marker = words.pop(0) if words[0].startswith("@") else ""
    # Keys that sign others' keys are of no use to paramiko, which asks hosts for plain keys.
    if len(words) < 3 or marker not in ("", "@revoked") or not _matches(words[0], name):
        return None
    try:
        return marker, words[1], base64.b64decode(words[2], validate=True)
    except binascii.Error:
        return None


def _matches(patterns: str, name: str) -> bool:
    matches = False
    for pattern in patterns.split(","):
        if pattern.startswith("|1|"):
            matches |= _is_hash_of(pattern, name)
        elif pattern.startswith("!"):
            if fnmatch.fnmatchcase(name, _glob(pattern[1:])):
                return False
        else:
            matches |= fnmatch.fnmatchcase(name, _glob(pattern.lower()))
    return matches


def _glob(pattern: str) -> str:
    """SSH's patterns have ``*`` and ``?`` only; brackets belong to names with a port."""
    return pattern.replace("[", "[[]")


def _is_hash_of(pattern: str, name: str) -> bool:
    try:
        _, _, salt, digest = pattern.split("|")
        wanted = base64.b64decode(digest)
        # SHA-1 is what the format of OpenSSH prescribes; it hides names and proves nothing.
        return hmac.compare_digest(hmac.new(base64.b64decode(salt), name.encode(), "sha1").digest(), wanted)
    except (ValueError, binascii.Error):
        return False


def fingerprint(key: bytes) -> str:
    """As ``ssh-keygen -l`` writes it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def check(route: Route, known: list[KnownKey], kind: str, key: bytes) -> None:
    """Raise SshError unless the key that a host has shown is known to be its key. ``kind``: of the key."""
    for entry in known:
        if entry.revoked and entry.key == key:
            raise SshError(
                f"the host key of {route.where} is marked as revoked in {entry.place}: somebody else may have it; ask"
                f" the administrator of the host for its new key"
            )
    valid = [entry for entry in known if not entry.revoked]
    if any(entry.key == key for entry in valid):
        return
    look = (
        f"Its fingerprint is {fingerprint(key)} ({_short(kind)}); compare it with what `ssh-keygen -lf"
        f" /etc/ssh/ssh_host_{_short(kind).lower()}_key.pub` says on the host itself"
    )
    if not valid:
        raise SshError(
            f"the host key of {route.where} is not known ({_searched(route)} no key of {route.known_as}). {look}."
            f" If it is the same, accept it with: {_accepting(route, kind, key)}"
        )
    files = list(dict.fromkeys(entry.file for entry in valid))
    removing = "; ".join(f"ssh-keygen -R {shlex.quote(route.known_as)} -f {shlex.quote(file)}" for file in files)
    places = " and ".join(entry.place for entry in valid)
    raise SshError(
        f"the host key of {route.where} is not the one in {places}: the host was installed anew, or somebody stands in"
        f" between and pretends to be it. {look}. Only if it is the same, replace the old key with: {removing};"
        f" {_accepting(route, kind, key)}"
    )


def _searched(route: Route) -> str:
    files = [file for file in route.known_hosts if os.path.exists(file)]
    return f"{' and '.join(files)} {'have' if len(files) > 1 else 'has'}" if files else "there is"


def _accepting(route: Route, kind: str, key: bytes) -> str:
    """The command that makes the key known: asks the host once more if this machine can reach it directly."""
    path = next(iter(route.known_hosts), os.path.expanduser("~/.ssh/known_hosts"))
    file = shlex.quote(path)
    folder = os.path.dirname(path)
    first = "" if os.path.isdir(folder) else f"mkdir -m 700 -p {shlex.quote(folder)}; "
    if route.jumps or route.proxy or route.key_name != route.host:
        line = f"{route.known_as} {kind} {base64.b64encode(key).decode()}"
        return f"{first}echo {shlex.quote(line)} >> {file}"
    port = "" if route.port == SSH_PORT else f"-p {route.port} "
    return f"{first}ssh-keyscan {port}-t {_short(kind).lower()} {shlex.quote(route.host)} >> {file}"


def _short(kind: str) -> str:
    """The name of a kind of keys, as people and the programs of OpenSSH write it."""
    if kind.startswith("ecdsa-"):
        return "ECDSA"
    return kind.removeprefix("ssh-").upper()
