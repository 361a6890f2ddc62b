"""The module in a real browser, as a page calls that is not ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

PREPARED = """
    const { openArtifact } = await import("./ifrnet.js");
    const folder = "artifacts/ifrnet_s-web-fp16-dynamic/";
    const size = { width: 64, height: 64 };
    const frame = (value) => new Float32Array(3 * 64 * 64).fill(value);
    const said = (promise) => promise.then(() => "fine", (error) => `${error.name}: ${error.message}`);
"""


def evaluate(page: Page, body: str) -> Any:
    return page.evaluate(f"async () => {{ {PREPARED} {body} }}")


def test_a_download_that_breaks_off_is_an_error_of_the_artifact(open_page: Callable[..., Page]) -> None:
    message = evaluate(
        open_page(),
        """
        const fetched = globalThis.fetch;
        globalThis.fetch = async (url) => {
            const response = await fetched(url);
            if (!String(url).endsWith("model.onnx")) return response;
            const start = (await response.arrayBuffer()).slice(0, 1000);
            return new Response(new ReadableStream({
                pull(stream) {
                    if (stream.desiredSize > 0 && !stream.sent) stream.enqueue(new Uint8Array(start));
                    if (stream.sent) stream.error(new TypeError("network error"));
                    stream.sent = true;
                },
            }));
        };
        return said(openArtifact(folder));
        """,
    )
    assert message == (
        "ArtifactError: model.onnx broke off after 1000 bytes (network error): look at the connection and try again"
    )


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_query_of_a_folder_goes_to_every_file(open_page: Callable[..., Page], slash: str) -> None:
    page = open_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    values = evaluate(
        page,
        f"""
        const engine = new URL("engine{slash}?v=1", document.baseURI);
        const runtime = await openArtifact(`${{folder.slice(0, -1)}}{slash}?v=2`, {{ engine, threads: 2 }});
        return (await runtime.infer(frame(0.5), frame(0.5), 0.5, size)).length;
        """,
    )
    assert values == 3 * 64 * 64
    files = {url.rpartition("/")[2] for url in asked if "/engine/" in url or "/artifacts/" in url}
    names = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
    assert files == {f"{name}?v=1" for name in names} | {
        f"{name}?v=2" for name in ("manifest.json", "model.onnx", "proof.dat")
    }


def test_an_engine_that_is_not_there_is_an_error_that_says_where(open_page: Callable[..., Page]) -> None:
    message = evaluate(open_page(), 'return said(openArtifact(folder, { engine: "./nowhere?v=1" }));')
    assert message.startswith("EngineError: ONNX Runtime for the web is not at http://127.0.0.1:")
    assert "/nowhere?v=1 (" in message


def test_values_that_no_frame_has_are_refused(open_page: Callable[..., Page]) -> None:
    messages = evaluate(
        open_page(),
        """
        const runtime = await openArtifact(folder);
        const ask = (value) => said(runtime.infer(frame(0.5), frame(value), 0.5, size));
        return Promise.all([200, -0.01, NaN, Infinity, 0, 1].map(ask));
        """,
    )
    assert all(message.startswith("FrameError: a frame has values outside of [0, 1]") for message in messages[:4])
    assert messages[4:] == ["fine", "fine"]


def test_frames_are_those_of_the_moment_of_the_call(open_page: Callable[..., Page]) -> None:
    floats, levels = evaluate(
        open_page(),
        """
        const runtime = await openArtifact(folder);
        const mean = (values) => values.reduce((sum, value) => sum + value) / values.length;
        const [img0, img1, given] = [frame(0.5), frame(0.5), { ...size }];
        const answer = runtime.infer(img0, img1, 0.5, given);
        img0.fill(1);
        img1.fill(1);
        given.width = 32;
        const picture = new ImageData(64, 64);
        picture.data.fill(255);
        const middle = runtime.interpolate(picture, picture);
        picture.data.fill(0);
        return [mean(await answer), mean((await middle).data)];
        """,
    )
    assert floats == pytest.approx(0.5, abs=0.05)
    assert levels == pytest.approx(255, abs=5)


def test_colours_stay_in_their_space(open_page: Callable[..., Page]) -> None:
    space, mixed, floats = evaluate(
        open_page(),
        """
        const runtime = await openArtifact(folder);
        const red = (colorSpace, settings) => {
            const context = new OffscreenCanvas(64, 64).getContext("2d", { colorSpace });
            context.fillStyle = "red";
            context.fillRect(0, 0, 64, 64);
            return context.getImageData(0, 0, 64, 64, settings);
        };
        const wide = red("display-p3");
        const middle = await runtime.interpolate(wide, wide);
        const floats = red("srgb", { pixelFormat: "rgba-float16" });
        const bytes = floats.data instanceof Uint8ClampedArray;
        const answer = bytes ? null : await said(runtime.interpolate(floats, floats));
        return [middle.colorSpace, await said(runtime.interpolate(wide, red("srgb"))), answer];
        """,
    )
    assert space == "display-p3"
    assert mixed == ("FrameError: the colours of the pictures are display-p3 and srgb: both must have one colour space")
    assert floats is None or "pixels of floats, expected bytes" in floats


def test_wide_colours_of_canvases_and_video_frames_are_not_clipped(open_page: Callable[..., Page]) -> None:
    found = evaluate(
        open_page(),
        """
        const runtime = await openArtifact(folder);
        const green = (colorSpace) => {
            const canvas = new OffscreenCanvas(64, 64);
            const context = canvas.getContext("2d", { colorSpace });
            context.fillStyle = "color(display-p3 0 1 0)";
            context.fillRect(0, 0, 64, 64);
            return canvas;
        };
        const webgl = () => {
            const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
            const context = canvas.getContext("webgl", { preserveDrawingBuffer: true });
            context.drawingBufferColorSpace = "display-p3";
            context.clearColor(0, 1, 0, 1);
            context.clear(context.COLOR_BUFFER_BIT);
            return canvas;
        };
        const video = (primaries) => {
            const { data } = green("display-p3").getContext("2d").getImageData(0, 0, 64, 64);
            const colorSpace = { primaries, transfer: "iec61966-2-1", matrix: "rgb", fullRange: true };
            return new VideoFrame(data, { format: "RGBA", codedWidth: 64, codedHeight: 64, timestamp: 0, colorSpace });
        };
        const handed = () => {
            const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
            canvas.transferControlToOffscreen();
            return canvas;
        };
        const made = {};
        for (const [name, picture] of Object.entries({
            canvas: green("display-p3"), srgb: green("srgb"), webgl: webgl(), video: video("smpte432"),
            plain: video("bt709"), bitmap: await createImageBitmap(green("display-p3")),
        })) {
            const { colorSpace, data } = await runtime.interpolate(picture, picture);
            made[name] = [colorSpace, data[0] < 8 && data[1] > 247 && data[2] < 8];
        }
        made.handed = await said(runtime.interpolate(handed(), handed()));
        return made;
        """,
    )
    assert [found[name] for name in ("canvas", "webgl", "video")] == [["display-p3", True]] * 3
    assert {found[name][0] for name in ("srgb", "plain", "bitmap")} == {"srgb"}
    assert "has transparent parts" in found["handed"]


def test_threads_are_those_that_the_engine_started_with(open_page: Callable[..., Page]) -> None:
    threads, workers = evaluate(
        open_page(),
        """
        let workers = 0;
        globalThis.Worker = class extends Worker { constructor(...a) { super(...a); workers++; } };
        const first = await openArtifact(folder, { threads: 1 });
        const second = await openArtifact(folder, { threads: 2 });
        return [[first.threads, second.threads], workers];
        """,
    )
    assert (threads, workers) == ([1, 1], 0)


def test_a_network_that_is_refused_is_released(open_page: Callable[..., Page]) -> None:
    message, released = evaluate(
        open_page(),
        """
        const fetched = globalThis.fetch;
        globalThis.fetch = async (url) => {
            const response = await fetched(url);
            if (!String(url).endsWith("manifest.json")) return response;
            const manifest = await response.json();
            const sizes = { minimum: "64x64", typical: "64x64", maximum: "64x64" };
            return new Response(JSON.stringify({ ...manifest, sizes }));
        };
        const { InferenceSession } = await import("./engine/ort.wasm.min.mjs");
        const create = InferenceSession.create;
        let released = 0;
        InferenceSession.create = async (...given) => {
            const session = await create.apply(InferenceSession, given);
            const release = session.release.bind(session);
            session.release = () => { released++; return release(); };
            return session;
        };
        return [await said(openArtifact(folder)), released];
        """,
    )
    assert "are of different sizes" in message
    assert released == 1


def test_two_runtimes_on_a_gpu_take_turns(open_page: Callable[..., Page]) -> None:
    means = evaluate(
        open_page(gpu=True),
        """
        const device = "webgpu";
        const first = await openArtifact(folder, { device });
        const proved = [first.conditions];
        await first.close();
        const pair = await Promise.all([0, 1].map(() => openArtifact(folder, { device, proved })));
        const frames = pair.map((runtime, i) => runtime.infer(frame(0.2 + 0.4 * i), frame(0.2 + 0.4 * i), 0.5, size));
        const never = new Promise((resolve) => setTimeout(resolve, 60_000, []));
        const answers = await Promise.race([Promise.all(frames), never]);
        return answers.map((values) => values.reduce((sum, value) => sum + value) / values.length);
        """,
    )
    assert means == pytest.approx([0.2, 0.6], abs=0.05)


def test_after_a_gpu_is_lost_the_artifact_can_be_opened_again(open_page: Callable[..., Page]) -> None:
    """In a worker, since a run on a GPU that is gone would block its thread for ever."""
    before, *after, again = evaluate(
        open_page(gpu=True),
        """
        const work = async (folder) => {
            const { openArtifact } = await import(`${self.location.origin}/ifrnet.js`);
            const { env } = await import(`${self.location.origin}/engine/ort.webgpu.min.mjs`);
            const frame = new Float32Array(3 * 64 * 64).fill(0.5);
            const open = (proved) => openArtifact(folder, { device: "webgpu", proved });
            const ask = (runtime) => runtime.infer(frame, frame, 0.5, { width: 64, height: 64 })
                .then((values) => values.length, (error) => `${error.name}: ${error.message}`);
            const first = await open([]);
            const proved = [first.conditions];
            const second = await open(proved);
            const third = await open(proved);
            const said = [await ask(second)];
            const gpu = await env.webgpu.device;
            gpu.destroy();
            await gpu.lost;
            said.push(await ask(second), await ask(third), await ask(await open(proved)));
            self.postMessage(said);
        };
        const code = `(${work})(${JSON.stringify(new URL(folder, document.baseURI).href)})`;
        const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
        return new Promise((resolve) => {
            worker.onmessage = ({ data }) => resolve(data);
            setTimeout(resolve, 90_000, ["it never answered", ""]);
        });
        """,
    )
    assert after == ["EngineError: the GPU was lost (Device was destroyed.): open the artifact again"] * 2
    assert before == again == 3 * 64 * 64
