"""Passwords as PostgreSQL keeps them (RFC 5802, and libpq's scram-common.c): made and checked without a server."""

import hashlib
import hmac
import os
import re
import stringprep
import unicodedata
from base64 import b64decode, b64encode

_ITERATIONS = 4096
_SHAPE = re.compile(r"SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+")
# RFC 4013, 2.3 and 2.5: what may not be in the result.
_FORBIDDEN = (
    stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4,
    stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7, stringprep.in_table_c8,
    stringprep.in_table_c9, stringprep.in_table_a1,
)  # fmt: skip


def verifier(password: str) -> str:
    """What PostgreSQL keeps of a password under scram-sha-256; new at every call."""
    return _verifier(password, os.urandom(16), _ITERATIONS)


def matches(kept: str, user: str, password: str) -> bool:
    """Whether that is the password which PostgreSQL keeps as a SCRAM verifier or as an MD5 hash.

    >>> matches(verifier("secret"), "shop", "secret"), matches("md5" + "0" * 32, "shop", "secret")
    (True, False)
    """
    if kept.startswith("md5"):
        digest = hashlib.md5((password + user).encode(), usedforsecurity=False)
        return hmac.compare_digest(kept, f"md5{digest.hexdigest()}")
    if not (found := _SHAPE.fullmatch(kept)):
        return False
    return hmac.compare_digest(kept, _verifier(password, b64decode(found[2]), int(found[1])))


def is_verifier(kept: str) -> bool:
    """Whether PostgreSQL keeps a password so that its role can log in under scram-sha-256."""
    return bool(_SHAPE.fullmatch(kept))


def _prepared(password: str) -> str:
    """As SASLprep has it (RFC 4013); as it is where that forbids it, which is PostgreSQL's own way (saslprep.c)."""
    if password.isascii():
        return password
    spaced = "".join(" " if stringprep.in_table_c12(c) else c for c in password)
    text = unicodedata.normalize("NFKC", "".join(c for c in spaced if not stringprep.in_table_b1(c)))
    leftward = [stringprep.in_table_d1(c) for c in text]
    mixed = any(leftward) and not (leftward[0] and leftward[-1] and not any(map(stringprep.in_table_d2, text)))
    forbidden = not text or mixed or any(table(c) for table in _FORBIDDEN for c in text)
    return password if forbidden else text


def _verifier(password: str, salt: bytes, iterations: int) -> str:
    salted = hashlib.pbkdf2_hmac("sha256", _prepared(password).encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    keys = f"{b64encode(stored).decode()}:{b64encode(hmac.digest(salted, b'Server Key', 'sha256')).decode()}"
    return f"SCRAM-SHA-256${iterations}:{b64encode(salt).decode()}${keys}"
