"""Manifests and proofs that no reader takes, be it in Python, C++ or JavaScript."""

from __future__ import annotations

import json
import re
import struct

from runtimes.artifact import DeviceParity, Manifest
from runtimes.contract import Precision, Size, SizeRange, Timesteps, Verdict

SIZE = Size(32, 32)
HEAD = 16

DEEP = "[" * 64 + "]" * 64

CHANGES_OF_A_PROOF = (
    *((r'"t":0\.25', f'"t":{value}') for value in ('"0.25"', "true", "[0.25]", "null", "0.999999999999", "1e-60", "2")),
    *((r'"psnr":80\.0', f'"psnr":{value}') for value in ('"80.0"', "true", "null", "NaN", "1e999", "1" + 400 * "0")),
    *((r'"patches":64', f'"patches":{value}') for value in ('"64"', "true", "-64", str(2**62), "64.5")),
    *((r'"block":32', f'"block":{value}') for value in ('"32"', "true", "-32", "64")),
    *((r'"patch":4', f'"patch":{value}') for value in ('"4"', "true", "8")),
    *((r'"patch":4', f'"patch":4,{more}') for more in ('"patch":4', '"x":NaN', '"x":1e999', f'"x":{DEEP}', '"x":}')),
    *((r'"frames_sha256":\[.*?\]', f'"frames_sha256":{value}') for value in ('"ab"', "[1,2]", '{"a":0,"b":0}', "[]")),
    *((r'"limits":\{.*?\}', f'"limits":{value}') for value in ("[1,2,3]", "null")),
    (r'"t":0\.25', '"t":0.25,"t":0.25'),
    (r"$", "}"),
    (r"^", "\ufeff"),
)
"""Pattern in the header -> what stands there instead."""


def refused_proofs(proof: bytes) -> dict[str, bytes]:
    """What was changed -> a proof that has to be refused.

    Args:
        proof: of frames of :data:`SIZE`, with t = 0.25, 64 patches and a PSNR of 80.0.
    """
    (length,) = struct.unpack_from("<I", proof, 12)
    header, arrays = proof[HEAD : HEAD + length].decode().rstrip(), proof[HEAD + length :]

    def of(text: bytes) -> bytes:
        return proof[:12] + struct.pack("<I", len(text)) + text + arrays

    found = {}
    for pattern, new in CHANGES_OF_A_PROOF:
        text, count = re.subn(pattern, lambda _: new, header, count=1)  # noqa: B023
        assert count, pattern
        data = text.encode()
        found[new[:60]] = of(data + b" " * (-len(data) % 4))
    padded = header.encode() + b" " * (-len(header) % 4)
    return found | {
        "a header of an odd length": of(padded + b" "),
        "no UTF-8": of(padded.replace(b'"patch"', b'"p\xfftch"')),
        "UTF-16": of(header.encode("utf-16")),
        "no header": of(b""),
        "a list": of(b"[]  "),
        "cut short": proof[:-1],
        "cut within the head": proof[:10],
        "nothing": b"",
        "a byte more": proof + b"\0",
        "a header beyond the end": proof[:12] + b"\xff\xff\xff\xff" + proof[HEAD:],
        "another format": proof[:8] + b"\2\0\0\0" + proof[12:],
        "another beginning": b"X" + proof[1:],
        "too large": proof + bytes(2**20),
    }


def manifest(backend: str, files: tuple[str, ...]) -> str:
    """The text of a small one that every reader takes."""
    return Manifest(
        name="ours",
        target="ours",
        backend=backend,
        variant="ifrnet_s",
        checkpoint={},
        timesteps=Timesteps.ANY,
        precision=Precision.FP32,
        sizes=SizeRange.static(SIZE),
        scale=1.0,
        rewrites=(),
        tools={},
        details={},
        files={name: {"sha256": 64 * "0", "bytes": 17} for name in files},
        parity=(DeviceParity(device="cpu", verdict=Verdict.PASSED),),
    ).to_json()


CHANGES_OF_A_MANIFEST = (
    *(("17", value) for value in ('"17"', "true", "-1", "1.5", "null", str(2**60))),
    *((f'"{64 * "0"}"', value) for value in ("0", "null", "[]")),
    *(
        ('"files": {', f'"files": {{{json.dumps(name)}: {{"sha256": "{64 * "0"}", "bytes": 1}},')
        for name in ("../x", "/etc/passwd", "a/../b", "a//b", "a\\b", "C:x", ".hidden", "", "a\n", "manifest.json")
    ),
    ('"files": {', '"files": {' + "".join(f'"f{i}": {{"sha256": "{64 * "0"}", "bytes": 1}},' for i in range(64))),
    *(('"format": 2', f'"format": {value}') for value in ('"2"', "3", "true", "null")),
    *(
        ('"minimum": "32x32"', f'"minimum": {value}')
        for value in ('"64x32"', '"0x32"', '"99999x32"', "32", '"\uff13x3"')
    ),
    *(('"precision": "fp32"', f'"precision": {value}') for value in ('"fp64"', "null")),
    *(('"timesteps": "any"', f'"timesteps": {value}') for value in ('"some"', "0.5")),
    *(('"verdict": "passed"', f'"verdict": {value}') for value in ('"great"', "null")),
    *(('"name": "ours"', f'"name": {value}') for value in ("1", "null", '"ours", "name": "theirs"')),
    *(('"name": "ours"', f'"name": "ours", "x": {value}') for value in ("NaN", "1e999", DEEP, "{")),
)
"""Text -> what stands there instead."""


def refused_manifests(text: str) -> dict[str, bytes]:
    """What was changed -> a manifest that has to be refused, as changes of one of :func:`manifest`."""
    found = {}
    for old, new in CHANGES_OF_A_MANIFEST:
        assert old in text, old
        found[new[:60]] = text.replace(old, new, 1).encode()
    return found | {
        "a byte order mark": b"\xef\xbb\xbf" + text.encode(),
        "no UTF-8": text.replace("ours", "\xff").encode("latin-1"),
        "UTF-16": text.encode("utf-16"),
        "cut short": text.encode()[:-20],
        "something behind": text.encode() + b"x",
        "too large": text.encode() + bytes(2**23),
        "a list": b"[]",
        "nothing": b"",
    }
