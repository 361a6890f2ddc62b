"""What Python's readers of manifests and proofs refuse, the browser's refuse as well; run in Node.js."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Mapping

import pytest

from runtimes.proof import write_proof
from runtimes.web.site import SOURCE
from tests.runtimes.refused_files import SIZE, manifest, refused_manifests, refused_proofs
from tests.runtimes.test_proof import make_case

SCRIPT = """
    import { readArtifact } from "./artifact.js";
    import { readProof } from "./proof.js";
    import { readFileSync } from "node:fs";
    const size = { width: 32, height: 32 };
    const readers = {
        proof: (data) => readProof(data, { minimum: size, typical: size, maximum: size }),
        manifest: (data) => readArtifact([new File([data], "manifest.json")], () => {}),
    };
    const said = {};
    for (const [name, text] of JSON.parse(readFileSync(0, "utf-8"))) {
        const data = new Uint8Array(Buffer.from(text, "base64")).buffer;
        said[name] = await Promise.resolve(data).then(readers[process.argv[1]]).then(() => "", (error) => `${error}`);
    }
    console.log(JSON.stringify(said));
"""


def read(kind: str, files: Mapping[str, bytes]) -> dict[str, str]:
    """What each file is refused with; empty where it is taken."""
    if shutil.which("node") is None:
        pytest.skip("no Node.js: Debian: apt install nodejs")
    done = subprocess.run(
        ["node", "--input-type=module", "-e", SCRIPT, kind],
        cwd=SOURCE,
        input=json.dumps([(name, base64.b64encode(data).decode()) for name, data in files.items()]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, str] = json.loads(done.stdout)
    return said


def test_proofs() -> None:
    proof = write_proof([make_case(SIZE)])
    assert read("proof", {"whole": proof}) == {"whole": ""}
    for name, message in read("proof", refused_proofs(proof)).items():
        assert message.startswith("ArtifactError: proof.dat cannot be used ("), name


def test_manifests() -> None:
    text = manifest("onnxruntime", ("model.onnx",))
    whole = read("manifest", {"whole": text.encode()})["whole"]
    assert whole == "ArtifactError: model.onnx is missing: choose the whole folder of the artifact"
    for name, message in read("manifest", refused_manifests(text)).items():
        assert message.startswith("ArtifactError: "), name
        assert "model.onnx is missing" not in message, name
