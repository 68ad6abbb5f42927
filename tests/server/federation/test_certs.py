"""Development keys work, are kept from others, and never meet a production CA."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_ssh_private_key,
    load_ssh_public_key,
)
from cryptography.x509.oid import NameOID

from silosynth.common.cli.app import run
from silosynth.common.errors import InvalidArgument, OutputExists
from silosynth.common.trust import SigningKey
from silosynth.server.federation import (
    Federation,
    add_federation,
    check_development,
    find_federation,
    load_federations,
    load_roster,
    make_certs,
    renew_certs,
)
from silosynth.server.federation.certs import Certs, is_development


@pytest.fixture
def certs(tmp_path: Path) -> Certs:
    return make_certs(
        tmp_path / "certs", silos=("north", "south"), hosts=("localhost", "127.0.0.1")
    )


def _other_ca(path: Path) -> None:
    """Write a CA certificate of somebody else's."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Example Hospital CA")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, SHA256())
    )
    path.write_bytes(certificate.public_bytes(Encoding.PEM))


def _federation(certs: Certs, **changes: object) -> Federation:
    fields = {
        "superlink": "localhost:9092",
        "ca": certs.ca,
        "identity": certs.identity,
        "superexec_secret": certs.secret,
    }
    return Federation.model_validate(fields | changes)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_client_with_the_ca_accepts_the_servers_certificate(certs: Certs, host: str) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certs.superlink, certs.superlink_key)
    client = ssl.create_default_context(cafile=str(certs.ca))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()

    def accept() -> None:
        with server.wrap_socket(theirs, server_side=True) as wrapped:
            wrapped.recv(1)

    thread = threading.Thread(target=accept)
    thread.start()
    with client.wrap_socket(ours, server_hostname=host) as wrapped:
        assert wrapped.version() == "TLSv1.3"
        wrapped.send(b"x")
    thread.join()


def test_private_keys_are_readable_by_their_owner_alone(certs: Certs) -> None:
    private = [*certs.path.rglob("*-key.pem"), *certs.path.rglob("identity.pem")]
    private += [*certs.path.rglob("supernode.pem"), certs.secret]
    assert len(private) == 8
    assert all(p.stat().st_mode & 0o077 == 0 for p in private)


def test_the_roster_holds_the_public_halves(certs: Certs) -> None:
    roster = load_roster(certs.roster)
    assert roster.coordinator == SigningKey.load(certs.identity).public
    for silo in ("north", "south"):
        assert roster.silos[silo] == SigningKey.load(certs.silo(silo) / "identity.pem").public
        private = load_ssh_private_key((certs.silo(silo) / "supernode.pem").read_bytes(), None)
        public = load_ssh_public_key((certs.silo(silo) / "supernode.pub").read_bytes())
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        assert private.public_key() == public


def test_keys_are_never_written_over(certs: Certs) -> None:
    before = certs.identity.read_bytes()
    with pytest.raises(OutputExists):
        make_certs(certs.path, silos=("north",), hosts=("localhost",))
    assert certs.identity.read_bytes() == before


def test_a_directory_with_another_ca_is_refused(tmp_path: Path) -> None:
    _other_ca(tmp_path / "ca.pem")
    with pytest.raises(InvalidArgument, match="another CA"):
        make_certs(tmp_path, silos=("north",), hosts=("localhost",))
    assert [p.name for p in tmp_path.iterdir()] == ["ca.pem"]


@pytest.mark.parametrize("silos", [(), ("a", "a"), ("../up",), ("a b",)])
def test_odd_silo_names_are_refused(silos: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="silo"):
        make_certs(tmp_path / "certs", silos=silos, hosts=("localhost",))


def test_federations_are_read_back_as_written(certs: Certs, tmp_path: Path) -> None:
    home = tmp_path / "home"
    add_federation(home, "one", _federation(certs))
    add_federation(home, "two", _federation(certs, superlink="[::1]:1"))
    assert load_federations(home)["one"] == _federation(certs)
    assert find_federation(home, "two").superlink == "[::1]:1"
    with pytest.raises(InvalidArgument, match="already"):
        add_federation(home, "one", _federation(certs))
    with pytest.raises(InvalidArgument, match="it knows one, two"):
        find_federation(home, "three")


@pytest.mark.parametrize("text", ["[a\n", "[a]\nsuperlink = 1\n", '[a]\nother = "x"\n'])
def test_a_damaged_file_of_federations_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "federations.toml").write_text(text)
    with pytest.raises(InvalidArgument, match=r"federations\.toml"):
        load_federations(tmp_path)


def test_production_refuses_a_development_ca(certs: Certs, tmp_path: Path) -> None:
    add_federation(tmp_path, "real", _federation(certs, production=True))
    with pytest.raises(InvalidArgument, match="development CA"):
        find_federation(tmp_path, "real")


@pytest.mark.parametrize("marked", [True, False])
def test_development_keys_are_refused_where_a_production_ca_is_configured(
    marked: bool, certs: Certs, tmp_path: Path
) -> None:
    check_development(tmp_path)
    ca = tmp_path / "theirs.pem"
    _other_ca(ca)
    assert not is_development(ca)
    used = certs.ca if marked else ca
    add_federation(tmp_path, "real", _federation(certs, ca=used, production=marked))
    with pytest.raises(InvalidArgument, match="production CA"):
        check_development(tmp_path)


def _served(certs: Certs, ca: Path) -> str:
    """Return how a client that knows ``ca`` finds what the SuperLink shows now."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certs.superlink, certs.superlink_key)
    client = ssl.create_default_context(cafile=str(ca))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = (ssl.MemoryBIO() for _ in range(2))
    asking = client.wrap_bio(ours, theirs, server_hostname="localhost")
    answering = server.wrap_bio(theirs, ours, server_side=True)
    for _ in range(4):
        for side in (asking, answering):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as err:
                return err.verify_message
    return "fine"


def _ends(path: Path) -> datetime:
    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc


def test_a_renewed_certificate_has_the_names_and_key_of_before(
    certs: Certs, tmp_path: Path
) -> None:
    before, key = _ends(certs.superlink), certs.superlink_key.read_bytes()
    old = tmp_path / "old.pem"
    old.write_bytes(certs.ca.read_bytes())
    later = datetime.now(UTC) + timedelta(days=100)
    assert renew_certs(certs.path, now=later) == (certs.superlink,)
    assert _ends(certs.superlink) - before > timedelta(days=99)
    assert certs.superlink_key.read_bytes() == key
    assert certs.ca.read_bytes() == old.read_bytes()
    renew_certs(certs.path)
    assert _served(certs, old) == "fine"
    assert stat.S_IMODE(certs.superlink.stat().st_mode) & 0o004


def test_a_ca_that_ends_soon_is_renewed_too_and_both_are_accepted(
    certs: Certs, tmp_path: Path
) -> None:
    old = tmp_path / "old.pem"
    old.write_bytes(certs.ca.read_bytes())
    later = datetime.now(UTC) + timedelta(days=336)
    assert renew_certs(certs.path, now=later) == (certs.ca, certs.superlink)
    assert _ends(certs.ca) - datetime.now(UTC) > timedelta(days=700)
    renewed = tmp_path / "new.pem"
    renewed.write_bytes(certs.ca.read_bytes())
    certs.ca.write_bytes(old.read_bytes())
    renew_certs(certs.path)
    # What was signed beside either certificate of the CA; the new one is not valid before its day.
    assert _served(certs, old) == "fine"
    assert "not yet valid" in _served(certs, renewed)


def test_nothing_is_renewed_that_was_not_made_here(certs: Certs, tmp_path: Path) -> None:
    before = certs.superlink.read_bytes()
    other = make_certs(tmp_path / "other", silos=("north",), hosts=("localhost",))
    (certs.path / "ca-key.pem").unlink()
    with pytest.raises(InvalidArgument, match="no private key"):
        renew_certs(certs.path)
    (certs.path / "ca-key.pem").write_bytes((other.path / "ca-key.pem").read_bytes())
    with pytest.raises(InvalidArgument, match="is not the key of"):
        renew_certs(certs.path)
    _other_ca(certs.ca)
    with pytest.raises(InvalidArgument, match="another CA"):
        renew_certs(certs.path)
    assert certs.superlink.read_bytes() == before


def test_the_command_makes_and_renews(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SILOSYNTH_HOME", str(tmp_path / "home"))
    made = tmp_path / "certs"
    assert run(["certs", "--out", str(made), "--silos", "north"]) == 0
    before = (made / "coordinator" / "superlink.pem").read_bytes()
    assert run(["certs", "renew", str(made)]) == 0
    assert (made / "coordinator" / "superlink.pem").read_bytes() != before
    assert "restart the SuperLink" in capsys.readouterr().err
    assert run(["certs", "--out", str(tmp_path / "more")]) == 4
