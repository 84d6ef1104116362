"""Numbers of bytes as people write them."""

import re

from latentcodec.errors import InputError

BYTES_IN = {"b": 1, "kb": 1000, "mb": 10**6, "gb": 10**9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_SIZE = re.compile(r"(\d+\.?\d*|\.\d+)\s*([kmg]?i?b)")


def parse_bytes(text: str) -> int:
    """'8GB', '512MiB' -> bytes, in large letters or small. Raises InputError."""
    match = _SIZE.fullmatch(text.strip().lower())
    if match is None or match[2] not in BYTES_IN or len(match[1]) > 15:
        raise InputError(f"cannot read the size {text!r}; write 8GB or 512MiB")
    return int(float(match[1]) * BYTES_IN[match[2]])
