"""The cluster's own certificate authority, and the certificates of its nodes (X.509, ECDSA P-256).

They pass OpenSSL's strict verification (`-x509_strict`), which Python 3.13 asks for by itself. What an older haop has
made does not: it is signed anew with the same keys, so that whoever trusts the older ones trusts these, too.
"""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from haop.errors import HaopError

# Long: an authority that nobody renews must not stop a cluster at night. It signs this one cluster's nodes only.
_VALID = timedelta(days=3650)
_RENEWED = timedelta(days=365)  # before their end


def authority(folder: Path, cluster: str) -> Path:
    """Make the authority in `folder` unless it is there, and return the path of its certificate.

    `ca.key` has mode 0600 and never leaves the folder. Where it is missing, the certificate stays as it is.
    """
    path, key_path = folder / "ca.crt", folder / "ca.key"
    if path.exists():
        old = _read(path)
        if not _current(old) and key_path.exists():
            _write(path, _signed_authority(old.subject, _read_key(key_path)))
        return path
    folder.mkdir(parents=True, exist_ok=True)
    key = _new_key(key_path)
    _write(path, _signed_authority(_name(f"haop cluster {cluster}"), key))
    return path


def issue(folder: Path, node: str) -> tuple[str, str]:
    """The certificate and key of a node, as PEM texts, made unless they are there.

    Valid for its name, for the name that its peers use in a Compose stack, for localhost and 127.0.0.1.

    Raises:
        HaopError: there is none, and the authority's key is missing.
    """
    path, key_path = folder / f"{node}.crt", folder / f"{node}.key"
    issuer, there = _read(folder / "ca.crt"), path.exists() and key_path.exists()
    if not (there and _current(_read(path), issuer)):
        if (folder / "ca.key").exists():
            key = _read_key(key_path) if there else _new_key(key_path)
            _write(path, _signed(node, key, issuer, _read_key(folder / "ca.key")))
        elif not there:
            hint = "restore .haop/tls from your backup, or from the folder that this project was copied from"
            raise HaopError(f"no certificate for {node}: {folder / 'ca.key'} is missing", hint=hint)
    return path.read_text(encoding="utf-8"), key_path.read_text(encoding="utf-8")


def _current(certificate: x509.Certificate, issuer: x509.Certificate | None = None) -> bool:
    """Whether this module would make it so, it is the issuer's, and does not end soon."""
    wanted = x509.AuthorityKeyIdentifier if issuer else x509.SubjectKeyIdentifier
    try:
        certificate.extensions.get_extension_for_class(x509.KeyUsage)
        certificate.extensions.get_extension_for_class(wanted)
        certificate.verify_directly_issued_by(issuer or certificate)
    except (x509.ExtensionNotFound, ValueError, TypeError, InvalidSignature):
        return False
    return certificate.not_valid_after_utc > datetime.now(UTC) + _RENEWED


def _signed_authority(name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    builder = (
        _builder(name, name, key, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(of_authority=True), critical=True)
    )
    return builder.sign(key, hashes.SHA256())


def _signed(
    node: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    names = [
        x509.DNSName(node),
        x509.DNSName(f"{node}.replication"),
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    builder = (
        _builder(_name(node), issuer.subject, key, issuer_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(of_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    return builder.sign(issuer_key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    of_issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(of_issuer, critical=False)
    )


def _usage(*, of_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not of_authority, key_cert_sign=of_authority, crl_sign=of_authority,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _new_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return key


def _write(path: Path, certificate: x509.Certificate) -> None:
    """Whole or not at all: once it is there, the pair is taken as it is."""
    making = path.with_suffix(".new")
    making.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    making.replace(path)
