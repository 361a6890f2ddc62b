from __future__ import annotations

import importlib.util

import pytest

from benchmarks.report import environment
from benchmarks.speed import machine_limits
from benchmarks.speed.machine_limits import SIDE, kind_of_limit, load_copy, load_product, products_here
from runtimes.contract import Precision
from runtimes.errors import BackendError


@pytest.mark.parametrize(
    ("arithmetic", "expected"),
    [
        ("fp32", Precision.FP32),
        ("bf16", Precision.BF16),
        ("bf16+fp32", Precision.BF16),
        ("int8", Precision.INT8),
        ("int8 with bf16", Precision.INT8),
        ("int8 with fp16 storage", Precision.INT8),
        ("fp16 storage", Precision.FP32),
        ("fp16", None),
        ("none", None),
    ],
)
def test_a_row_is_held_against_the_narrowest_of_its_arithmetic(arithmetic: str, expected: Precision | None) -> None:
    assert kind_of_limit(arithmetic) is expected


def test_the_flags_of_the_processor_decide() -> None:
    assert {product.precision for product in products_here(())} == {Precision.FP32}
    assert {product.precision for product in products_here(("avx512_vnni",))} == {Precision.FP32, Precision.INT8}
    assert {product.precision for product in products_here(("amx_bf16",))} == {Precision.FP32, Precision.BF16}


def test_a_library_that_is_missing_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "torch" or None)
    assert {product.library for product in products_here(("avx512_vnni",))} == {"torch"}


def test_every_product_that_is_here_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_limits, "SIDE", 64)
    for product in products_here(environment.describe()["flags"]):
        runtime = load_product(product.library, product.precision, 1)
        assert isinstance(runtime, machine_limits.Repeated)
        runtime._work()
        assert runtime.spec.arithmetic == product.precision
        assert product.gflop == pytest.approx(2e-9 * 64**3 * product.count)
    assert SIDE >= 2048  # smaller ones would measure the calls


def test_a_float_product_does_not_pass_for_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtimes.backends.openvino.executed_layers", lambda _: [("FullyConnected", "f32", ())] * 4)
    with pytest.raises(BackendError, match="computes the int8 product in f32, f32, f32, f32, expected u8"):
        machine_limits._check_int8(None)


def test_the_copy_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_limits, "COPY_MB", 1)
    runtime = load_copy(1)
    assert isinstance(runtime, machine_limits.Repeated)
    assert float(runtime._work().sum()) == 250_000  # type: ignore[attr-defined]
