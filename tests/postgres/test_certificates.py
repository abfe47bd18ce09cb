"""Certificates that strict clients accept, and those of an older haop signed anew while everything goes on."""

import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from haop import certificates
from haop.errors import HaopError
from haop.model.health import Health
from haop.operations.cluster import Cluster
from haop.operations.up import up
from tests import support
from tests.conftest import require
from tests.support import Quiet

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


def as_before(name: str, path: Path, issuer: str) -> None:
    """A certificate with the key that is there, and no extension but those of the first versions."""
    folder, key = path.parent, certificates._read_key(path.with_suffix(".key"))
    old = certificates._read(path)
    kept = (x509.BasicConstraints,) if name == issuer else (x509.SubjectAlternativeName,)
    builder = (
        x509.CertificateBuilder().subject_name(old.subject).issuer_name(old.issuer).public_key(key.public_key())
        .serial_number(1).not_valid_before(old.not_valid_before_utc).not_valid_after(old.not_valid_after_utc)
    )  # fmt: skip
    for kind in kept:
        found = old.extensions.get_extension_for_class(kind)
        builder = builder.add_extension(found.value, critical=found.critical)
    certificates._write(path, builder.sign(certificates._read_key(folder / f"{issuer}.key"), hashes.SHA256()))


@pytest.fixture(scope="module")
def shop(runtime: str) -> Iterator[Cluster]:
    """With TLS, which the newest local build may lack; its certificates are of the first versions."""
    major = require(15, runtime)
    with support.folder() as folder, pytest.MonkeyPatch.context() as patched:
        cluster = support.make_project(folder / "shop", runtime=runtime, postgres=major)
        tls = cluster.project.state / "tls"
        cluster.engine.services()
        as_before("ca", tls / "ca.crt", "ca")
        for node in cluster.project.spec.nodes:
            as_before(node.name, tls / f"{node.name}.crt", "ca")
        patched.setattr(certificates, "_current", lambda *_: True)
        with support.running(cluster):
            patched.undo()
            yield cluster


def handshake(cluster: Cluster, node: str, ca: Path, *, strict: bool) -> str:
    """What a client that reads this file makes of the server's certificate: "" where it is content."""
    context = ssl.create_default_context(cafile=str(ca))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if not strict:
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    endpoint = cluster.runtime.endpoint(node)
    with socket.create_connection((endpoint.host, endpoint.port), timeout=10) as plain:
        plain.sendall(_SSL_REQUEST)
        assert plain.recv(1) == b"S"
        try:
            with context.wrap_socket(plain, server_hostname="localhost"):
                return ""
        except ssl.SSLCertVerificationError as error:
            return error.verify_message


def verified(cluster: Cluster) -> None:
    """As `openssl` itself has it, of every file."""
    tls = cluster.project.state / "tls"
    for name in ("ca", *(node.name for node in cluster.project.spec.nodes)):
        argv = ("openssl", "verify", "-x509_strict", "-purpose", "any" if name == "ca" else "sslserver",
                "-CAfile", str(tls / "ca.crt"), str(tls / f"{name}.crt"))  # fmt: skip
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_up_signs_anew_what_strict_clients_refuse_and_nobody_notices(shop: Cluster, folder: Path) -> None:
    tls, nodes = shop.project.state / "tls", [node.name for node in shop.project.spec.nodes]
    (trusted := folder / "ca.crt").write_bytes((tls / "ca.crt").read_bytes())
    for node in nodes:
        assert handshake(shop, node, trusted, strict=True), "the certificates are of the first versions"
        assert not handshake(shop, node, trusted, strict=False)
    keys = {path.name: path.read_bytes() for path in tls.glob("*.key")}
    receiver = "SELECT pid FROM pg_stat_wal_receiver WHERE status = 'streaming'"
    streams = support.sql(shop, "db2", receiver)
    assert streams
    with support.connect(shop, "db1", shop.engine.application) as at_work:
        assert up(shop, Quiet()).health is Health.HEALTHY
        assert at_work.execute("SELECT 1").fetchone() == (1,), "who was connected goes on"
    assert support.sql(shop, "db2", receiver) == streams
    for node in nodes:
        assert handshake(shop, node, tls / "ca.crt", strict=True) == ""
        assert handshake(shop, node, trusted, strict=False) == "", "who has the authority's older certificate goes on"
    verified(shop)
    assert {path.name: path.read_bytes() for path in tls.glob("*.key")} == keys
    before = {path.name: path.read_bytes() for path in tls.glob("*")}
    assert up(shop, Quiet()).health is Health.HEALTHY
    assert {path.name: path.read_bytes() for path in tls.glob("*")} == before, "once is enough"


def test_without_the_authoritys_key_what_is_there_goes_on(shop: Cluster, folder: Path) -> None:
    tls = shop.project.state / "tls"
    (tls / "ca.key").rename(folder / "ca.key")
    try:
        assert up(shop, Quiet()).health is Health.HEALTHY
        with pytest.raises(HaopError, match=r"no certificate for db9: .*ca\.key is missing"):
            certificates.issue(tls, "db9")
    finally:
        (folder / "ca.key").rename(tls / "ca.key")
