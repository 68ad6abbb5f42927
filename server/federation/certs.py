"""Development certificates and keys: everything that a federation on one desk needs, in one folder.

DIRECTORY/ca.pem, ca-key.pem                  a CA that says in its name what it is for
DIRECTORY/coordinator/superlink.pem, -key.pem the SuperLink's TLS certificate
DIRECTORY/coordinator/identity.pem            the coordinator's Ed25519 key
DIRECTORY/coordinator/superexec.secret        who may take tasks from the SuperLink
DIRECTORY/silos/NAME/identity.pem             the silo's Ed25519 key, for its gateway
DIRECTORY/silos/NAME/supernode.pem, .pub      the SuperNode's key (P-384), for its relay
DIRECTORY/roster.yaml                         the public keys, for plans and policies
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from silosynth.common.document import dump_document
from silosynth.common.errors import InvalidArgument, OutputExists
from silosynth.common.files import replace_file, write_text
from silosynth.common.plan import NAME_PATTERN
from silosynth.common.reach import WARN_DAYS
from silosynth.common.trust import PublicKey, SigningKey
from silosynth.server.federation.roster.file import Roster

DEVELOPMENT = "silosynth development CA, not for production"
_DAYS = 365
_BACK = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certs:
    """Where the development files lie."""

    path: Path

    @property
    def ca(self) -> Path:
        """Return the path of the CA's certificate."""
        return self.path / "ca.pem"

    @property
    def roster(self) -> Path:
        """Return the path of the public keys."""
        return self.path / "roster.yaml"

    @property
    def superlink(self) -> Path:
        """Return the path of the SuperLink's certificate."""
        return self.path / "coordinator" / "superlink.pem"

    @property
    def superlink_key(self) -> Path:
        """Return the path of the SuperLink's key."""
        return self.path / "coordinator" / "superlink-key.pem"

    @property
    def identity(self) -> Path:
        """Return the path of the coordinator's Ed25519 key."""
        return self.path / "coordinator" / "identity.pem"

    @property
    def secret(self) -> Path:
        """Return the path of the secret that lets a coordinator take tasks from the SuperLink."""
        return self.path / "coordinator" / "superexec.secret"

    def silo(self, name: str) -> Path:
        """Return the directory of a silo's keys."""
        return self.path / "silos" / name


def make_certs(directory: Path, *, silos: Sequence[str], hosts: Sequence[str]) -> Certs:
    """Make a development CA, a server certificate for ``hosts``, and a key for everybody.

    Guarantees: private keys are readable by their owner alone; nothing is ever written over.

    Raises InvalidArgument when the directory holds a CA that was not made here, as a production
    CA is; OutputExists when it holds one that was.
    """
    certs = Certs(path=directory)
    _check_vacant(certs)
    _check_names(silos)
    for folder in (directory / "coordinator", *(certs.silo(s) for s in silos)):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority, authority_key = _make_authority()
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign_server(
        key,
        names=x509.SubjectAlternativeName([_general_name(h) for h in hosts]),
        authority=authority,
        authority_key=authority_key,
        now=datetime.now(UTC),
    )
    _write_key(directory / "ca-key.pem", _pem(authority_key))
    _write_key(certs.superlink_key, _pem(key))
    _write_key(certs.secret, secrets.token_bytes(32))
    certs.superlink.write_bytes(certificate.public_bytes(Encoding.PEM))
    roster = Roster(coordinator=_make_identity(certs.identity), silos=_make_silos(certs, silos))
    write_text(certs.roster, dump_document(roster.model_dump(mode="json")), force=False)
    certs.ca.write_bytes(authority.public_bytes(Encoding.PEM))
    return certs


def renew_certs(directory: Path, *, now: datetime | None = None) -> tuple[Path, ...]:
    """Make the SuperLink's certificate anew, and the CA's where it ends within 30 days.

    Guarantees: names, addresses and keys are those of before, so that a silo with either
    certificate of the CA accepts either of the SuperLink; each file is replaced whole.

    Raises InvalidArgument where the CA or its key was not made by :func:`make_certs`.
    """
    now = now or datetime.now(UTC)
    certs = Certs(path=directory)
    if not is_development(certs.ca):
        raise InvalidArgument(
            f"{certs.ca} is the certificate of another CA",
            hint="let that CA sign anew, put the file in place and restart the SuperLink",
        )
    authority_key, key = (_read_key(p) for p in (directory / "ca-key.pem", certs.superlink_key))
    authority = x509.load_pem_x509_certificate(certs.ca.read_bytes())
    if authority.public_key() != authority_key.public_key():
        raise InvalidArgument(f"{directory / 'ca-key.pem'} is not the key of {certs.ca}")
    written = []
    if authority.not_valid_after_utc - now < timedelta(days=WARN_DAYS):
        authority = _sign_authority(authority_key, now=now)
        written.append((certs.ca, authority))
    before = x509.load_pem_x509_certificate(certs.superlink.read_bytes())
    names = before.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    renewed = _sign_server(
        key, names=names, authority=authority, authority_key=authority_key, now=now
    )
    written.append((certs.superlink, renewed))
    for path, certificate in written:
        replace_file(path, certificate.public_bytes(Encoding.PEM), mode=0o644)
    return tuple(path for path, _ in written)


def is_development(path: Path) -> bool:
    """Tell whether a CA certificate was made by :func:`make_certs`.

    Raises InvalidArgument when it cannot be read.
    """
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        raise InvalidArgument(
            f"{path} is no certificate that can be read", hint="give the PEM file of the CA"
        ) from None
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return [n.value for n in names] == [DEVELOPMENT]


def _check_vacant(certs: Certs) -> None:
    """Raise unless no CA is in place."""
    if not certs.ca.exists():
        return
    if not is_development(certs.ca):
        raise InvalidArgument(
            f"{certs.ca} is the certificate of another CA",
            hint="development keys are kept apart from others; choose a new directory",
        )
    raise OutputExists(f"{certs.ca} exists", hint="keys are never written over; choose another")


def _check_names(silos: Sequence[str]) -> None:
    """Raise InvalidArgument unless every silo has a name of its own that plans accept."""
    if not silos:
        raise InvalidArgument("no silo is named", hint="add --silos north,south")
    for silo in silos:
        if not re.match(NAME_PATTERN, silo) or list(silos).count(silo) > 1:
            raise InvalidArgument(
                f"silo name {silo!r} is not usable", hint="use letters, digits, '.', '_', '-' once"
            )


def _make_authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Make a CA that signs server certificates and no further CA."""
    key = ec.generate_private_key(ec.SECP384R1())
    return _sign_authority(key, now=datetime.now(UTC)), key


def _sign_authority(key: ec.EllipticCurvePrivateKey, *, now: datetime) -> x509.Certificate:
    """Make the CA's certificate; that of a key has the same name and identifier each time."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, DEVELOPMENT)])
    usage = x509.KeyUsage(
        key_cert_sign=True,
        crl_sign=True,
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        _builder(name, issuer=name, key=key.public_key(), now=now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
    )
    return builder.sign(key, SHA256())


def _sign_server(
    key: ec.EllipticCurvePrivateKey,
    *,
    names: x509.SubjectAlternativeName,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.Certificate:
    """Make the SuperLink's certificate for the names and addresses that it is reached by."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "silosynth SuperLink")])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    builder = (
        _builder(subject, issuer=authority.subject, key=key.public_key(), now=now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(names, critical=False)
        .add_extension(usage, critical=False)
        .add_extension(issuer, critical=False)
    )
    return builder.sign(authority_key, SHA256())


def _builder(
    subject: x509.Name, *, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    """Begin a certificate that is valid for a year from now."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACK)
        .not_valid_after(now + timedelta(days=_DAYS))
    )


def _general_name(host: str) -> x509.GeneralName:
    """Read a host as an address or a name."""
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _make_silos(certs: Certs, silos: Sequence[str]) -> Mapping[str, PublicKey]:
    """Make the keys of every silo; return the public ones of their gateways."""
    roster = {}
    for silo in silos:
        key = ec.generate_private_key(ec.SECP384R1())
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        _write_key(certs.silo(silo) / "supernode.pem", private)
        (certs.silo(silo) / "supernode.pub").write_bytes(public + b"\n")
        roster[silo] = _make_identity(certs.silo(silo) / "identity.pem")
    return roster


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read a private key that was made here."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InvalidArgument(
            f"{path} is no private key that 'silosynth certs' made", hint="put it back first"
        )
    return key


def _make_identity(path: Path) -> PublicKey:
    """Make an Ed25519 key and return its public half."""
    key = SigningKey.generate()
    key.save(path)
    return key.public


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write_key(path: Path, data: bytes) -> None:
    """Write a secret, readable by its owner alone."""
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(data)
