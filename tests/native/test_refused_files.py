"""What Python's readers of manifests and proofs refuse, C++'s refuse as well."""

from __future__ import annotations

from collections.abc import Callable

from runtimes.proof import write_proof
from tests.runtimes.refused_files import SIZE, manifest, refused_manifests, refused_proofs
from tests.runtimes.test_proof import make_case


def test_proofs(probe: Callable[..., bytes], refusal: Callable[..., str]) -> None:
    proof = write_proof([make_case(SIZE)])
    assert probe("proof", SIZE.width, SIZE.height, data=proof) == b"1"
    for data in refused_proofs(proof).values():
        assert "proof.dat" in refusal("proof", SIZE.width, SIZE.height, data=data)


def test_manifests(refusal: Callable[..., str]) -> None:
    text = manifest("ncnn", ("model.param", "model.bin"))
    assert "is not among the 1 files" in refusal("manifest", data=text.encode())
    for name, data in refused_manifests(text).items():
        assert "manifest.json" in refusal("manifest", data=data), name
