"""Whether a password is the one that a role has, without asking the server to let anybody in (RFC 5802, RFC 7677)."""

import hashlib
import hmac
import re
from base64 import b64decode

_SCRAM = re.compile(r"SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")


def matches(verifier: str, password: str) -> bool | None:
    """Whether `verifier`, as `pg_authid` holds it, was made of that password; None where it is no SCRAM verifier.

    PostgreSQL prepares passwords with SASLprep; for plain ASCII, which haop's are, that changes nothing.

    >>> matches("md5aaaa", "secret") is None
    True
    """
    if not (found := _SCRAM.fullmatch(verifier)):
        return None
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), b64decode(found[2]), int(found[1]))
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    return hmac.compare_digest(stored, b64decode(found[3]))
