"""The cluster's own certificate authority, and the certificates of its nodes (X.509, ECDSA P-256)."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# Long: an authority that nobody renews must not stop a cluster at night. It signs this one cluster's nodes only.
_VALID = timedelta(days=3650)


def authority(folder: Path, cluster: str) -> Path:
    """Make the authority in `folder` unless it is there, and return the path of its certificate.

    `ca.key` has mode 0600 and never leaves the folder.
    """
    certificate = folder / "ca.crt"
    if certificate.exists():
        return certificate
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"haop cluster {cluster}")
    signed = _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    key_path = folder / "ca.key"
    key_path.touch(mode=0o600)
    key_path.write_bytes(_private(key))
    certificate.write_bytes(signed.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return certificate


def issue(folder: Path, node: str) -> tuple[str, str]:
    """The certificate and key of a node, as PEM texts, made unless they are there.

    Valid for its name, for the name that its peers use in a Compose stack, for localhost and 127.0.0.1.
    """
    certificate_path, key_path = folder / f"{node}.crt", folder / f"{node}.key"
    if certificate_path.exists() and key_path.exists():
        return certificate_path.read_text(encoding="utf-8"), key_path.read_text(encoding="utf-8")
    issuer = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    issuer_key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    names = [
        x509.DNSName(node),
        x509.DNSName(f"{node}.replication"),
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    builder = _builder(_name(node), issuer.subject, key).add_extension(
        x509.SubjectAlternativeName(names), critical=False
    )
    certificate = builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    key_path.touch(mode=0o600)
    key_path.write_bytes(_private(key))
    making = certificate_path.with_suffix(".new")
    making.write_bytes(certificate)
    making.replace(certificate_path)  # whole or not at all: with it, the pair is taken as it is
    return certificate.decode(), _private(key).decode()


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID)
    )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
