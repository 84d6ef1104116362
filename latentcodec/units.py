"""Numbers of bytes as people write them."""

import re

from latentcodec.errors import InputError

BYTES_IN = {"B": 1, "kB": 1000, "KB": 1000, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE = re.compile(r"(\d+\.?\d*|\.\d+)\s*([kKMG]?i?B)")


def parse_bytes(text: str) -> int:
    """'8GB', '512MiB' -> bytes. Raises InputError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or match[2] not in BYTES_IN or len(match[1]) > 15:
        raise InputError(f"cannot read the size {text!r}; write 8GB or 512MiB")
    return int(float(match[1]) * BYTES_IN[match[2]])
