/**
 * IFRNet in a browser: open an artifact, prove it here, make frames between frames. docs/browser.md shows how.
 *
 * The network runs on ONNX Runtime for the web, which has to be served beside it. It runs where this module is
 * imported: import it in a worker, and the page stays responsive.
 */

import { readArtifact, within } from "./artifact.js";
import { ArtifactError, EngineError, FrameError } from "./errors.js";
import { checkPair, pixelsOf, toImage, toTensor } from "./frames.js";
import { readProof, runProof } from "./proof.js";

export { ArtifactError, EngineError, FrameError, IfrnetError } from "./errors.js";

const INPUTS = ["img0", "img1", "t"];
const OUTPUT = "imgt";
/** Of ONNX Runtime for the web: its module, and the module and the WebAssembly that it loads. */
const ENGINES = {
  wasm: ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"],
  webgpu: ["ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm"],
};
const MOST_THREADS = 8; // more of them were never measured, and each takes memory

/**
 * Open an artifact and load its network.
 *
 * @param {import("./ifrnet.js").Source} source the folder's URL, or its files
 * @param {import("./ifrnet.js").Options} options
 * @returns {Promise<Runtime>}
 */
export async function openArtifact(source, options = {}) {
  const { device = "wasm", engine = "./engine/", progress = () => {}, starting = () => {} } = options;
  if (device !== "wasm" && device !== "webgpu") throw new EngineError(`no device ${JSON.stringify(device)}: there are wasm and webgpu`);
  const adapter = device === "webgpu" ? await gpu() : "";
  const artifact = await readArtifact(source, progress);
  const ort = await loadEngine(new URL(engine, import.meta.url), device, options.threads);
  const model = /** @type {ArrayBuffer} */ (artifact.files.get("model.onnx"));
  /** @type {import("onnxruntime-web").InferenceSession} */
  let session;
  try {
    session = await inTurn(ort, () => {
      if ((ort.env.wasm.numThreads ?? 1) > 1) starting();
      return ort.InferenceSession.create(new Uint8Array(model), { executionProviders: [device], graphOptimizationLevel: "all" });
    });
  } catch (error) {
    throw new EngineError(`the browser cannot load ${artifact.manifest.name} on ${device} (${firstLine(error)})`);
  }
  try {
    checkShapes(session, artifact.manifest);
  } catch (error) {
    await inTurn(ort, () => session.release());
    throw error;
  }
  const lost = device === "webgpu" ? /** @type {any} */ (await ort.env.webgpu.device)?.lost : undefined;
  return new Runtime(artifact, ort, session, { device, adapter, proved: options.proved ?? [], lost });
}

/** A loaded artifact on one device of the browser. Calls run one after the other, those of all artifacts on the device. */
export class Runtime {
  /** @type {import("./ifrnet.js").Artifact} */ #artifact;
  /** @type {typeof import("onnxruntime-web")} */ #ort;
  /** @type {Held} */ #held;

  /**
   * @param {import("./ifrnet.js").Artifact} artifact
   * @param {typeof import("onnxruntime-web")} ort
   * @param {import("onnxruntime-web").InferenceSession} session
   * @param {{device: import("./ifrnet.js").Device, adapter: string, proved: readonly string[], lost?: Promise<{message: string}>}} where
   */
  constructor(artifact, ort, session, { device, adapter, proved, lost }) {
    this.#artifact = artifact;
    this.#ort = ort;
    /** @type {Held} */
    const held = (this.#held = { session, lost: "" });
    lost?.then(({ message }) => {
      if (!held.session) return;
      held.lost = `the GPU was lost (${message || "the browser does not say why"}): open the artifact again`;
      release(ort, held).catch(() => {});
    });
    this.manifest = artifact.manifest;
    this.identity = artifact.identity;
    this.device = device;
    this.adapter = adapter;
    this.engine = `onnxruntime-web ${ort.env.versions.web}`;
    this.threads = device === "wasm" ? (ort.env.wasm.numThreads ?? 1) : 0;
    /** What a verdict holds under: the artifact, and everything of this browser that computes. */
    this.conditions = [artifact.identity, device, adapter, this.engine, globalThis.navigator.userAgent].join("|");
    /** @type {import("./ifrnet.js").Verdict} */
    this.verdict = proved.includes(this.conditions) ? "passed" : "not run";
  }

  /**
   * Run the artifact's own proof here.
   *
   * @param {(done: number, total: number) => void} progress
   * @returns {Promise<import("./ifrnet.js").ProofRecord>}
   */
  async verify(progress = () => {}) {
    const cases = readProof(this.#artifact.files.get("proof.dat"), this.manifest.sizes);
    const start = performance.now();
    const results = await runProof((img0, img1, t, size) => this.#infer(img0, img1, t, size), cases, progress);
    const trouble = results.find((result) => result.trouble);
    this.verdict = trouble ? "failed" : "passed";
    const reason = trouble ? `${trouble.width}x${trouble.height} t=${trouble.t}: ${trouble.trouble}` : "";
    return { verdict: this.verdict, reason, device: this.device, adapter: this.adapter, results, seconds: (performance.now() - start) / 1000 };
  }

  /**
   * The frame at `t` between two pictures of one size.
   *
   * @param {import("./ifrnet.js").Picture} first
   * @param {import("./ifrnet.js").Picture} second
   * @param {number} t
   * @returns {Promise<ImageData>}
   */
  async interpolate(first, second, t = 0.5) {
    const [before, after] = [pixelsOf(first), pixelsOf(second)];
    const size = checkPair(before, after);
    const [img0, img1] = [before, after].map(({ data }) => toTensor(data, 4, size.width * size.height));
    return toImage(await this.#ask(img0, img1, t, size), size, before.colorSpace);
  }

  /**
   * The same in the network's own form.
   *
   * @param {Float32Array} img0 3 x height x width, RGB in [0, 1]
   * @param {Float32Array} img1
   * @param {number} t
   * @param {import("./ifrnet.js").Size} size
   * @returns {Promise<Float32Array>} 3 x height x width
   */
  async infer(img0, img1, t, { width, height }) {
    // Copies, since the engine may be at another call, and the caller may fill its arrays again meanwhile.
    return this.#ask(new Float32Array(img0), new Float32Array(img1), t, { width, height });
  }

  /**
   * Where the verdict allows it.
   *
   * @param {Float32Array} img0 @param {Float32Array} img1 @param {number} t @param {import("./ifrnet.js").Size} size
   * @returns {Promise<Float32Array>}
   */
  async #ask(img0, img1, t, size) {
    if (this.verdict === "failed") throw new EngineError(`the network came out wrong on ${this.device} here, so it is not used: take another device`);
    if (this.device === "webgpu" && this.verdict !== "passed") {
      throw new EngineError("WebGPU is used only where it was proved: call verify() first");
    }
    return this.#infer(img0, img1, t, size);
  }

  /**
   * Without the verdict, which the proof is there to find.
   *
   * @param {Float32Array} img0 @param {Float32Array} img1 @param {number} t @param {import("./ifrnet.js").Size} size
   * @returns {Promise<Float32Array>}
   */
  #infer(img0, img1, t, size) {
    this.#check(img0, img1, t, size);
    return inTurn(this.#ort, () => this.#run(img0, img1, t, size));
  }

  /** Release the network. */
  async close() {
    await release(this.#ort, this.#held);
  }

  /** @param {Float32Array} img0 @param {Float32Array} img1 @param {number} t @param {import("./ifrnet.js").Size} size */
  #check(img0, img1, t, { width, height }) {
    const { minimum, maximum } = this.manifest.sizes;
    if (!(width >= minimum.width && width <= maximum.width && height >= minimum.height && height <= maximum.height)) {
      const sizes = [minimum, maximum].map((side) => `${side.width}x${side.height}`);
      throw new FrameError(`the pictures are ${width}x${height}, the artifact takes ${[...new Set(sizes)].join(" to ")}`);
    }
    if (img0.length !== 3 * width * height || img1.length !== img0.length) throw new FrameError(`a frame of ${width}x${height} has ${3 * width * height} values, these have ${img0.length} and ${img1.length}`);
    if (!(t > 0 && t < 1 && Math.fround(t) < 1 && Math.fround(t) > 0)) throw new FrameError(`t is ${t}: expected a number between 0 and 1`);
    if (this.manifest.timesteps === "0.5" && t !== 0.5) throw new FrameError(`t is ${t}, and this network makes the middle frame only: ask for 0.5`);
    if (![img0, img1].every((frame) => frame.every((value) => value >= 0 && value <= 1))) throw new FrameError("a frame has values outside of [0, 1]: expected finite ones within, so divide levels by their peak");
  }

  /** @param {Float32Array} img0 @param {Float32Array} img1 @param {number} t @param {import("./ifrnet.js").Size} size */
  async #run(img0, img1, t, { width, height }) {
    const { session, lost } = this.#held;
    if (!session) throw new EngineError(lost || "the artifact is closed: open it again");
    const { Tensor } = this.#ort;
    const shape = [1, 3, height, width];
    const feeds = { img0: new Tensor("float32", img0, shape), img1: new Tensor("float32", img1, shape), t: new Tensor("float32", new Float32Array([t]), [1, 1, 1, 1]) };
    try {
      const output = (await session.run(feeds))[OUTPUT];
      const data = /** @type {Float32Array} */ (await output.getData()).slice();
      output.dispose();
      return data;
    } catch (error) {
      if (this.#held.lost) throw new EngineError(this.#held.lost);
      throw new EngineError(`the browser cannot compute a frame of ${width}x${height} on ${this.device} (${firstLine(error)}): take smaller pictures`);
    }
  }
}

/** @type {WeakMap<object, Promise<unknown>>} of each engine, the last call */
const lastCalls = new WeakMap();

/**
 * The calls of one engine, one after the other, whichever artifact they are for: on WebGPU it keeps one stack, and of two
 * calls at once neither ends.
 *
 * @template T
 * @param {object} engine
 * @param {() => Promise<T>} call
 * @returns {Promise<T>}
 */
function inTurn(engine, call) {
  const answer = (lastCalls.get(engine) ?? Promise.resolve()).catch(() => {}).then(call);
  lastCalls.set(engine, answer);
  return answer;
}

/**
 * What a runtime computes with, until it is closed or its GPU is lost. A lost GPU gets no call but this release: a run
 * would block its thread for ever, and the engine asks for another GPU when it holds no network on this one.
 *
 * @param {object} engine
 * @param {Held} held
 */
function release(engine, held) {
  const { session } = held;
  held.session = null;
  return inTurn(engine, async () => session?.release());
}

/** @typedef {{session: import("onnxruntime-web").InferenceSession | null, lost: string}} Held `lost` says so, in a sentence. */

/** @returns {Promise<string>} what the browser says of its GPU */
async function gpu() {
  const device = /** @type {any} */ (globalThis.navigator)?.gpu;
  if (!device) throw new EngineError("this browser has no WebGPU: take the CPU");
  const adapter = await device.requestAdapter().catch(() => null);
  if (!adapter) throw new EngineError("WebGPU finds no GPU here: take the CPU");
  const { vendor = "", architecture = "", description = "" } = adapter.info ?? {};
  return [vendor, architecture, description].filter(Boolean).join(" ") || "a GPU without a name";
}

/**
 * @param {URL} folder of onnxruntime-web's files
 * @param {import("./ifrnet.js").Device} device
 * @param {number | undefined} threads
 * @returns {Promise<typeof import("onnxruntime-web")>}
 */
async function loadEngine(folder, device, threads) {
  if (typeof WebAssembly !== "object") throw new EngineError("this browser has no WebAssembly: take a newer one");
  const [module, loader, binary] = ENGINES[device].map((name) => within(folder, name).href);
  /** @type {typeof import("onnxruntime-web")} */
  let ort;
  try {
    ort = await import(module);
    // It starts once; a later artifact gets the threads that there are.
    if (!ort.env.wasm.wasmBinary) ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? (threads ?? Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS)) : 1;
    // All of it before ONNX Runtime starts, so that whoever waits for its threads does not wait for the network.
    ort.env.wasm.wasmBinary ??= await download(binary);
  } catch (error) {
    throw new EngineError(`ONNX Runtime for the web is not at ${folder.href} (${firstLine(error)}): serve its files there`);
  }
  ort.env.wasm.wasmPaths = { mjs: loader, wasm: binary };
  ort.env.logLevel = "error";
  return ort;
}

/** @param {string} url @returns {Promise<ArrayBuffer>} */
async function download(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.arrayBuffer();
}

/** @param {import("onnxruntime-web").InferenceSession} session @param {import("./ifrnet.js").Manifest} manifest */
function checkShapes(session, { name, sizes }) {
  if (session.inputNames.join() !== INPUTS.join() || session.outputNames.join() !== OUTPUT) {
    throw new ArtifactError(`model.onnx takes ${session.inputNames.join(", ")} and gives ${session.outputNames.join(", ")}; expected ${INPUTS.join(", ")} and ${OUTPUT}`);
  }
  const fixed = sizes.minimum.width === sizes.maximum.width && sizes.minimum.height === sizes.maximum.height;
  for (const input of session.inputMetadata.slice(0, 2)) {
    const [, , height, width] = input.isTensor ? input.shape : [];
    const agrees = fixed ? height === sizes.typical.height && width === sizes.typical.width : typeof height === "string" && typeof width === "string";
    if (!agrees) throw new ArtifactError(`the manifest of ${name} and its model.onnx are of different sizes: one of them was changed`);
  }
}

/** @param {unknown} error */
function firstLine(error) {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0].slice(0, 200);
}
