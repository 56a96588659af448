"""What SSH needs to trust both sides: key pairs, and the two texts that every kind of test cluster hands out."""

import os
import subprocess


def make_key(path, comment):
    """Make a key pair without pass phrase; an old one at the path is replaced. Give the public half."""
    for old in (path, path.with_name(path.name + ".pub")):
        old.unlink(missing_ok=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", os.fspath(path)],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return public_key(path)


def public_key(path):
    """Public half of a key pair: kind and key, without the comment."""
    return " ".join(path.with_name(path.name + ".pub").read_text().split()[:2])


def known_host(names, port, key):
    """Line of a known_hosts file."""
    return ",".join(name if port == 22 else f"[{name}]:{port}" for name in names) + f" {key}\n"


def client_configuration(hosts, **everywhere):
    """Text of an SSH client's configuration: (name, address) of each host, and what holds for all of them."""
    lines = []
    for name, address in hosts:
        lines += [f"Host {name}", f"    HostName {address}"]
    lines += ["Host *", "    BatchMode yes", "    IdentitiesOnly yes", "    StrictHostKeyChecking yes"]
    lines += [f"    {keyword} {value}" for keyword, value in everywhere.items()]
    return "\n".join(lines) + "\n"
