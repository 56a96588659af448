"""The keys of a run, and how two of its processes on different machines prove to each other that they belong to it.

One certificate is made for each run. It is the only one that either side trusts, and both sides have to show that they
have its key: that is the whole of the proof, so host names are not looked at. The key travels to a node on the standard
input of the SSH session and is never written to a disk. A connection then says what it is for in a *hello* of JSON;
nothing is unpickled, and nothing larger than a hello is read, before that has been accepted.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import socket
import ssl
from typing import NamedTuple

from taskflow.model.errors import TaskflowError
from taskflow.wire.agent import HEADER, HELLO

HANDSHAKE_S = 10.0  #: a connection has to have proved itself in this time
HELLO_BYTES = 4096  #: a hello is not longer


class HandshakeError(TaskflowError):
    """The other side of a connection is not of this run, or not who it should be. The message says why."""


class RunKeys(NamedTuple):
    """The certificate of a run and its private key, as text (PEM)."""

    certificate: str
    key: str


class Hello(NamedTuple):
    """What a connection is for: ``kind`` is "control", "data" or "program"; ``node`` is the number of who connects."""

    run: str
    kind: str
    node: int
    token: str


def make_keys() -> RunKeys:
    """New keys. Raises TaskflowError if the package that makes them is not installed."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise TaskflowError(
            f"the keys of a run with several machines cannot be made: {error}. "
            "Install the packages for clusters: pip install 'cryptography' 'paramiko'"
        ) from error
    import datetime as dt

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "taskflow run")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # The key dies with the run, and clocks of nodes may be wrong by years: dates would only do harm.
        .not_valid_before(dt.datetime(2000, 1, 1, tzinfo=dt.timezone.utc))
        .not_valid_after(dt.datetime(9999, 1, 1, tzinfo=dt.timezone.utc))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return RunKeys(
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
    )


def make_token() -> str:
    """A secret that is good for one connection."""
    return secrets.token_hex(16)


def server_context(keys: RunKeys) -> ssl.SSLContext:
    """For the side that listens."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, keys)
    context.num_tickets = 0  # nobody resumes a session
    return context


def client_context(keys: RunKeys) -> ssl.SSLContext:
    """For the side that connects."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, keys)


def _context(protocol: int, keys: RunKeys) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=keys.certificate)
    # The interface wants a file; this one is never on a disk.
    file = os.memfd_create("taskflow-keys", os.MFD_CLOEXEC)
    try:
        os.write(file, (keys.certificate + keys.key).encode())
        context.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
    return context


def pack_hello(hello: Hello) -> bytes:
    """The first frame of whoever connects."""
    body = json.dumps(hello._asdict()).encode()
    return HEADER.pack(HELLO, 0, len(body)) + body


def hello_length(header: bytes) -> int:
    """The length of the hello that begins so. Raises HandshakeError if that is no hello."""
    kind, number, length = HEADER.unpack(header)
    if kind != HELLO or number or length > HELLO_BYTES:
        raise HandshakeError("it did not begin with a hello")
    return int(length)


def read_hello(body: bytes, run: str) -> Hello:
    """The hello in a frame. Raises HandshakeError if it is damaged, or of another run."""
    try:
        fields = json.loads(body)
        hello = Hello(str(fields["run"]), str(fields["kind"]), int(fields["node"]), str(fields["token"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HandshakeError(f"its hello could not be read ({type(error).__name__})") from error
    if hello.run != run:
        raise HandshakeError(f"it belongs to another run ({hello.run[:60]!r})")
    return hello


def same_token(given: str, wanted: str) -> bool:
    """Whether two tokens are equal, in a time that tells nothing of how much of them is."""
    return hmac.compare_digest(given.encode(), wanted.encode())


def connect(
    address: tuple[str, int], context: ssl.SSLContext, hello: Hello, timeout: float = HANDSHAKE_S
) -> ssl.SSLSocket:
    """Connect to a process of the run and say hello. The socket is in blocking mode, with this timeout.

    Raises OSError if it cannot be reached, HandshakeError if it is not of the run.
    """
    plain = socket.create_connection(address, timeout)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secure = context.wrap_socket(plain)
    except ssl.SSLError as error:
        plain.close()
        raise HandshakeError(f"{address[0]} port {address[1]} did not prove to be of this run: {error}") from error
    except BaseException:
        plain.close()
        raise
    try:
        secure.sendall(pack_hello(hello))
    except BaseException:
        secure.close()
        raise
    return secure
