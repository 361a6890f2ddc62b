"""The weights of an IFRNet in ncnn form: a ``.param`` graph and its ``.bin``, as released for ifrnet-ncnn-vulkan.

The layers have no telling names there, and their order is not that of the network. So the reader follows the graph from
the frames to the output and compares every layer with the one that IFRNet has in that place. A layer that differs, is
unknown or is left over is an error: a network with weights in the wrong places still gives an image.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ifrnet.errors import CheckpointError
from ifrnet.ncnn_files import Blobs, Layer, Params, parse_param, read_blobs
from ifrnet.variants import LEVELS, VARIANTS, Variant

ADD, MULTIPLY, SUBTRACT_FROM = 0, 2, 7
"""Operations of a BinaryOp, its parameter 0."""

REST = -233
"""In a Slice: whatever remains."""


def read_ncnn(param: bytes, weights: bytes, source: str) -> dict[str, Tensor]:
    """The state dict behind an ncnn pair.

    Args:
        param: the ``.param`` file, text.
        weights: the ``.bin`` file, float32 or float16.
        source: name of the ``.param``, for messages.

    Returns:
        Official keys to float32 tensors.

    Raises:
        CheckpointError: another graph, quantised weights, a ``.bin`` of another size, or two different encoders.
    """
    layers = parse_param(param, source)
    return _Walk(layers, read_blobs(layers, weights, source), source).network()


class _Walk:
    """Follows the network through the graph, takes each layer once and gives its weights their names."""

    def __init__(self, layers: list[Layer], blobs: dict[str, Blobs], source: str) -> None:
        self.blobs, self.source = blobs, source
        self.state: dict[str, Tensor] = {}
        self.frames = [layer.outputs[0] for layer in layers if layer.kind == "Input" and len(layer.outputs) == 1]
        self.open: dict[tuple[str, tuple[str, ...]], Layer] = {}
        for layer in layers:
            if layer.kind in ("Input", "Split"):
                continue
            if (layer.kind, layer.inputs) in self.open:
                raise self.unlike(f"two {layer.kind} read the same blobs ({layer.name})")
            self.open[layer.kind, layer.inputs] = layer

    def unlike(self, reason: str) -> CheckpointError:
        return CheckpointError(
            f"{self.source} is not the graph of IFRNet as converted for ifrnet-ncnn-vulkan: {reason}; expected an "
            "unmodified .param of its releases"
        )

    def take(self, kind: str, *inputs: str, outputs: int = 1) -> Layer:
        """The one layer of this kind that reads these blobs."""
        layer = self.open.pop((kind, inputs), None)
        if layer is None or len(layer.outputs) != outputs:
            raise self.unlike(f"no {kind} with {outputs} outputs on blob {', '.join(inputs)[:80]}")
        return layer

    def check(self, layer: Layer, expected: Params, defaults: Params | None = None) -> Layer:
        """Compare the parameters of a layer with the expected ones.

        A parameter that ``expected`` does not name has to be 0. One that the file leaves out has its default, which is
        0 unless ``defaults`` says otherwise.
        """
        wanted = {**dict.fromkeys(layer.params, 0), **expected}
        found = {**dict.fromkeys(wanted, 0), **(defaults or {}), **layer.params}
        wrong = [key for key, value in wanted.items() if found[key] != value]
        if wrong:
            raise self.unlike(f"{layer.name} has parameter {wrong[0]}={found[wrong[0]]}, not {wanted[wrong[0]]}")
        return layer

    def convolution(self, key: str, blob: str, kind: str = "Convolution", stride: int = 1) -> str:
        """Name weight and bias of a (transposed) convolution: ``<key>.weight`` and ``<key>.bias``."""
        layer = self.take(kind, blob)
        kernel, outputs, size = layer.params.get(1), layer.params[0], layer.params[6]
        if not isinstance(kernel, int) or not isinstance(outputs, int) or not isinstance(size, int) or kernel < 1:
            raise self.unlike(f"{layer.name} has no kernel size")
        pad = (kernel - 1) // 2
        geometry: Params = {1: kernel, 11: kernel, 2: 1, 12: 1, 3: stride, 13: stride, 4: pad, 14: pad}
        # 15 and 16, padding on the other sides, default to 4 and 14.
        geometry |= {0: outputs, 5: 1, 6: size} | {side: pad for side in (15, 16) if side in layer.params}
        self.check(layer, geometry, defaults={2: 1, 12: 1, 3: 1, 13: layer.params.get(3, 1), 11: kernel})
        if size % (outputs * kernel * kernel):
            raise self.unlike(f"{layer.name} has {size} weights for {outputs} outputs of {kernel}x{kernel}")
        blobs = self.blobs[layer.name]
        weight = torch.from_numpy(blobs.weight).reshape(outputs, -1, kernel, kernel)  # (out, in, k, k) in both kinds
        if kind == "Deconvolution":
            weight = weight.transpose(0, 1).contiguous()  # (in, out, k, k), PyTorch's order
        self.state[f"{key}.weight"] = weight
        self.state[f"{key}.bias"] = torch.from_numpy(blobs.bias)
        return layer.outputs[0]

    def prelu(self, key: str, blob: str) -> str:
        layer = self.take("PReLU", blob)
        self.state[f"{key}.weight"] = torch.from_numpy(self.blobs[layer.name].weight)
        return layer.outputs[0]

    def convrelu(self, key: str, blob: str, stride: int = 1) -> str:
        return self.prelu(f"{key}.1", self.convolution(f"{key}.0", blob, stride=stride))

    def concat(self, *blobs: str) -> str:
        return self.check(self.take("Concat", *blobs), {0: 0}).outputs[0]

    def slice(self, blob: str, *sizes: int) -> tuple[str, ...]:
        layer = self.take("Slice", blob, outputs=len(sizes) + 1)
        return self.check(layer, {0: [*sizes, REST], 1: 0}).outputs

    def binary(self, operation: int, left: str, right: str) -> str:
        """A sum or a product. The converter may have written the operands in either order."""
        swapped = ("BinaryOp", (left, right)) not in self.open
        layer = self.take("BinaryOp", right, left) if swapped else self.take("BinaryOp", left, right)
        return self.check(layer, {0: operation}).outputs[0]

    def warp(self, flow: str, img: str) -> str:
        return self.check(self.take("Warp", flow, img), {}).outputs[0]

    def add_flow(self, delta: str, coarse: str) -> str:
        """delta + 2 * bilinear_x2(coarse)."""
        double = self.check(self.take("Interp", coarse), {0: 2, 1: 2.0, 2: 2.0}).outputs[0]
        return self.check(self.take("Eltwise", delta, double), {0: 1, 1: [1.0, 2.0]}).outputs[0]

    def refine(self, key: str, blob: str, width: int, side: int) -> str:
        """The last ``side`` of ``width`` channels through a convolution of their own."""
        head, tail = self.slice(blob, width - side)
        return self.concat(head, self.convrelu(key, tail))

    def decoder(self, variant: Variant, level: int, *blobs: str) -> str:
        key, width, side = f"decoder{level}.convblock", variant.decoder_width(level), variant.side
        x = self.convrelu(f"{key}.0", self.concat(*blobs))
        out = self.convrelu(f"{key}.1.conv1", x)
        out = self.refine(f"{key}.1.conv2", out, width, side)
        out = self.convrelu(f"{key}.1.conv3", out)
        out = self.refine(f"{key}.1.conv4", out, width, side)
        out = self.binary(ADD, x, self.convolution(f"{key}.1.conv5", out))
        out = self.prelu(f"{key}.1.prelu", out)
        return self.convolution(f"{key}.2", out, kind="Deconvolution", stride=2)

    def encoder(self, key: str, frame: str) -> list[str]:
        """The blobs of the four features of a frame."""
        features = []
        for level in range(1, LEVELS + 1):
            frame = self.convrelu(f"{key}.pyramid{level}.0", frame, stride=2)
            frame = self.convrelu(f"{key}.pyramid{level}.1", frame)
            features.append(frame)
        return features

    def variant(self) -> Variant:
        """The variant that has this width of the first convolution. The other shapes are compared later."""
        found = [self.open["Convolution", (blob,)].params[0] for blob in self.frames]
        for variant in VARIANTS.values():
            if found == [variant.widths[0]] * 2:
                return variant
        widths = [variant.widths[0] for variant in VARIANTS.values()]
        raise self.unlike(f"the first convolutions have {found} outputs, not one of {widths} twice")

    def network(self) -> dict[str, Tensor]:
        """Take every layer and return the state dict."""
        times = [blob for blob in self.frames if ("Convolution", (blob,)) not in self.open]
        self.frames = [blob for blob in self.frames if blob not in times]
        if len(times) != 1 or len(self.frames) != 2:
            raise self.unlike(f"it has {len(self.frames)} frames and {len(times)} time inputs, not 2 and 1")
        variant = self.variant()
        img0, img1 = self.frames
        pyramid0, pyramid1 = self.encoder("encoder", img0), self.encoder("twin", img1)
        self.merge_twins()
        if ("Concat", (pyramid1[-1], pyramid0[-1], times[0])) in self.open:  # frame 0 is the one concatenated first
            img0, img1, pyramid0, pyramid1 = img1, img0, pyramid1, pyramid0
        out = self.decoder(variant, LEVELS, pyramid0[-1], pyramid1[-1], times[0])
        flow0, flow1, feature = self.slice(out, 2, 2)
        for level in range(LEVELS - 1, 0, -1):
            warped0, warped1 = self.warp(flow0, pyramid0[level - 1]), self.warp(flow1, pyramid1[level - 1])
            out = self.decoder(variant, level, feature, warped0, warped1, flow0, flow1)
            delta0, delta1, *rest = self.slice(out, 2, 2, *([1] if level == 1 else []))
            flow0, flow1, feature = self.add_flow(delta0, flow0), self.add_flow(delta1, flow1), rest[0]
        self.synthesis(self.warp(flow0, img0), self.warp(flow1, img1), *rest)
        if self.open:
            raise self.unlike(f"layer {next(iter(self.open.values())).name} is left over")
        return self.state

    def synthesis(self, warped0: str, warped1: str, mask: str, residual: str) -> None:
        """mask * warped0 + (1 - mask) * warped1 + residual."""
        mask = self.check(self.take("Sigmoid", mask), {}).outputs[0]
        inverse = self.check(self.take("BinaryOp", mask), {0: SUBTRACT_FROM, 1: 1, 2: 1.0}).outputs[0]
        blend = self.binary(ADD, self.binary(MULTIPLY, mask, warped0), self.binary(MULTIPLY, inverse, warped1))
        self.binary(ADD, blend, residual)

    def merge_twins(self) -> None:
        """The graph holds the encoder twice, once for each frame. Both have to be equal; one is kept."""
        for key in [key for key in self.state if key.startswith("twin.")]:
            twin, original = self.state.pop(key), key.replace("twin.", "encoder.", 1)
            if not torch.equal(twin, self.state[original]):
                raise CheckpointError(
                    f"{self.source}: {original} differs between the encoders of both frames; IFRNet has one encoder: "
                    "the .bin is damaged or of another network"
                )
