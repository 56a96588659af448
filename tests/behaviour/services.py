"""Starts web servers for tests: see `service`."""

import datetime as dt
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Server:
    """A running server."""

    def __init__(self, port=0, status=0, certificate=None):
        command = [sys.executable, str(Path(__file__).parent / "service.py"), str(port), str(status)]
        command += [str(certificate)] if certificate else []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}" if certificate is None else f"https://localhost:{self.port}"

    def stats(self):
        """How many requests there have been, and at most at a time; with this one."""
        with urllib.request.urlopen(f"{self.url}/stats", timeout=10) as answer:  # noqa: S310  our own
            return json.load(answer)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def write_certificate(path):
    """Write a new certificate for localhost, and its key, into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(text + certificate.public_bytes(serialization.Encoding.PEM))


def free_port():
    """A port on which nobody listens."""
    server = Server()
    server.stop()
    return server.port
