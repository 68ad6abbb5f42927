"""How long certificates hold is read from the file and from a server that really shows one."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from silosynth.common.reach.certificates import (
    LOOK_SECONDS,
    Expiry,
    days_left,
    expiry_words,
    served_days_left,
)
from silosynth.common.telemetry.telemetry import Role, Telemetry

NOW = datetime.now(UTC)


def _write(path: Path, *, days: float) -> Path:
    """Write a self-signed certificate for localhost with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    end = NOW + timedelta(days=days)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(min(NOW, end) - timedelta(days=1))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return path


@contextmanager
def _served(path: Path) -> Iterator[str]:
    """Show a certificate at a port; yield HOST:PORT."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with socket.create_server(("localhost", 0)) as listener:

        def show() -> None:
            while True:
                try:
                    visitor, _ = listener.accept()
                except OSError:
                    return
                try:
                    context.wrap_socket(visitor, server_side=True).close()
                except OSError:
                    visitor.close()

        threading.Thread(target=show, daemon=True).start()
        yield f"localhost:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def soon(tmp_path: Path) -> Path:
    return _write(tmp_path / "soon.pem", days=12.5)


def test_the_first_end_in_a_file_counts(soon: Path, tmp_path: Path) -> None:
    assert days_left(soon, now=NOW) == pytest.approx(12.5, abs=0.001)
    both = tmp_path / "both.pem"
    both.write_bytes(_write(tmp_path / "late.pem", days=400).read_bytes() + soon.read_bytes())
    assert days_left(both, now=NOW) == pytest.approx(12.5, abs=0.001)
    assert days_left(tmp_path / "none") is None
    (tmp_path / "text").write_text("no certificate")
    assert days_left(tmp_path / "text") is None


def test_what_a_server_shows_counts_if_it_holds(soon: Path, tmp_path: Path) -> None:
    with _served(soon) as address:
        assert served_days_left(address, ca=soon, now=NOW) == pytest.approx(12.5, abs=0.01)
        other = _write(tmp_path / "other.pem", days=90)
        assert served_days_left(address, ca=other) is None
    assert served_days_left("localhost:1", ca=soon) is None


def test_it_is_warned_of_from_30_days(tmp_path: Path) -> None:
    assert expiry_words({"ca": 30.0}) == ()
    assert expiry_words({"ca": 29.9}) == ("the certificate ca ends in 29 days",)
    ended = _write(tmp_path / "ended.pem", days=-2)
    assert expiry_words({"ca": days_left(ended)}) == ("the certificate ca has ended",)


def test_a_page_looks_once_an_hour(soon: Path, caplog: pytest.LogCaptureFixture) -> None:
    time = 0.0
    telemetry = Telemetry(role=Role.RELAY)
    with _served(soon) as address:
        expiry = Expiry(telemetry, superlink=address, ca=soon, clock=lambda: time)
        assert len(expiry.show()) == 2
    assert b'silosynth_certificate_days_left{certificate="superlink"} 12.' in telemetry.text()
    soon.unlink()
    time = LOOK_SECONDS - 1
    assert expiry.show() == ()
    time = LOOK_SECONDS
    assert expiry.show() == ()
    assert b'certificate="ca"} 12.' in telemetry.text()
