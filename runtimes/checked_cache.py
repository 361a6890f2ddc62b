"""Caches that are handed to a compiler: a file with a key and a checksum, written whole, never trusted when changed.

A corrupted cache can abort the process that reads it, so nothing is handed on that does not have its checksum.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path

from runtimes.atomic import write_bytes
from runtimes.errors import RuntimesWarning

_MAGIC = b"ifrnet-cache-1\n"
_DIGEST = 32


class CacheWarning(RuntimesWarning):
    """A cache could not be read or written; everything works without it, and starts slower."""


def cache_key(facts: Mapping[str, str]) -> str:
    """A key that differs whenever one of the facts does: 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode()).hexdigest()


def read_cache(path: Path, key: str) -> bytes:
    """What :func:`write_cache` stored under ``key``; empty when there is nothing, or when it is for another key.

    Warns:
        CacheWarning: the file is there and is not what was written.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        warnings.warn(f"cannot read the cache {path}: {error}", CacheWarning, stacklevel=2)
        return b""
    body = len(_MAGIC) + 2 * _DIGEST
    stored, digest = data[len(_MAGIC) : body - _DIGEST], data[body - _DIGEST : body]
    if not data.startswith(_MAGIC) or digest != hashlib.sha256(stored + data[body:]).digest():
        warnings.warn(f"the cache {path} has changed since it was written: not used", CacheWarning, stacklevel=2)
        return b""
    return data[body:] if stored == bytes.fromhex(key) else b""


def write_cache(path: Path, key: str, payload: bytes) -> None:
    """Store ``payload`` under ``key`` in one step: a reader finds the old file or the new one.

    Warns:
        CacheWarning: the folder cannot be written to.
    """
    stored = bytes.fromhex(key)
    digest = hashlib.sha256(stored + payload).digest()
    try:
        write_bytes(path, _MAGIC + stored + digest + payload)
    except OSError as error:
        warnings.warn(f"cannot write the cache {path}: {error}", CacheWarning, stacklevel=2)
