"""SHA-256 of files; of large ones computed once, and noted beside them.

Gigabytes take longer to hash than to load. A note holds the hash with the size and the time of the file it belongs to;
it counts as long as both are the same.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

LARGE = 64 << 20


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file; in one process computed once, unless the file changes."""
    return _of_state(path, f"{_state(path)} {path.stat().st_ino}")  # another file may be as large and as old


def noted_sha256(path: Path) -> str:
    """The same, from the note beside it. Writes that note if the file is large and has none that fits."""
    note, state = _note(path), _state(path)
    if is_noted(path):
        return note.read_text().split()[0]
    found = sha256_of(path)
    if path.stat().st_size >= LARGE:
        try:
            note.write_text(f"{found} {state}\n")
        except OSError:
            return found  # a folder that cannot be written: it takes a second the next time
    return found


def is_noted(path: Path) -> bool:
    """Whether the file was hashed before, and is still what it was."""
    try:
        return _note(path).read_text().partition(" ")[2].strip() == _state(path)
    except (OSError, ValueError):
        return False


def forget(path: Path) -> None:
    """Remove the note."""
    _note(path).unlink(missing_ok=True)


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _state(path: Path) -> str:
    state = path.stat()
    return f"{state.st_size} {state.st_mtime_ns}"


@lru_cache
def _of_state(path: Path, _: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
