"""The checksum of PostgreSQL's WAL. Pure."""


def crc32c(*parts: bytes) -> int:
    """The checksum of some bytes, Castagnoli's.

    >>> f"{crc32c(b'1234', b'56789'):08x}"
    'e3069283'
    """
    value = 0xFFFFFFFF
    for part in parts:
        for byte in part:
            value = _TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def _entry(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value


_TABLE = tuple(map(_entry, range(256)))
