"""SHA-256 without the 3 ms that importing `hashlib` costs a command."""

from __future__ import annotations

try:
    from _sha2 import sha256  # type: ignore[import-not-found]
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found]
    except ImportError:
        from hashlib import sha256


def sha256_hex(data: bytes) -> str:
    """The SHA-256 of `data` as 64 lower-case hex digits."""
    digest: str = sha256(data).hexdigest()
    return digest


def sha256_large(data: bytes | memoryview) -> str:
    """As `sha256_hex`, for much data: five times as fast, and other threads go on meanwhile."""
    from hashlib import sha256 as fast

    return fast(data, usedforsecurity=False).hexdigest()
