/** IFRNet in a browser. docs/browser.md shows how it is used. */

/** Of a frame, in pixels. */
export interface Size {
  width: number;
  height: number;
}

/** The frame sizes that an artifact takes; one only where both ends are equal. */
export interface SizeRange {
  minimum: Size;
  typical: Size;
  maximum: Size;
}

/** What this module reads of `manifest.json`. */
export interface Manifest {
  name: string;
  precision: string;
  timesteps: "any" | "0.5";
  sizes: SizeRange;
  files: Record<string, { sha256: string; bytes: number }>;
  parity: { device: string; verdict: string; arithmetic?: string }[];
}

/** An artifact whose files were read once and checked. `identity` is the sha256 of its manifest. */
export interface Artifact {
  manifest: Manifest;
  files: Map<string, ArrayBuffer>;
  identity: string;
}

/** The URL of an artifact's folder, whose query goes to every file, or the files of one that the user chose. */
export type Source = string | URL | Iterable<File>;

/** `wasm` is the CPU. `webgpu` makes frames only where the proof passed on it. */
export type Device = "wasm" | "webgpu";

export type Verdict = "passed" | "failed" | "not run";

/**
 * Anything with pixels. Both of a pair have one size, and no transparent parts; `ImageData` has bytes.
 *
 * `ImageData` and canvases are read in their colour space, and a `VideoFrame` of wide primaries (`smpte432`, `bt2020`) in
 * Display P3. `ImageBitmap`, `<img>` and `<video>` do not tell theirs, so they are read as sRGB and colours beyond it are
 * clipped: to keep those, draw them on a canvas of `colorSpace: "display-p3"` and pass that. Firefox knows sRGB alone.
 */
export type Picture = ImageData | ImageBitmap | VideoFrame | HTMLImageElement | HTMLVideoElement | HTMLCanvasElement | OffscreenCanvas;

export interface Options {
  /** Default: `wasm`. */
  device?: Device;
  /** URL of the folder with onnxruntime-web's files, from this module's where it is relative; default: `engine/` beside it. */
  engine?: string | URL;
  /**
   * CPU threads. They need a page that is cross-origin isolated; elsewhere there is one. They start once in a page or worker,
   * with the first artifact: later ones get as many, and `Runtime.threads` says so.
   */
  threads?: number;
  /** `conditions` of runtimes whose proof passed in this browser before: one of them need not prove itself again. */
  proved?: readonly string[];
  /** Receives the bytes read so far, and all. */
  progress?: (done: number, total: number) => void;
  /**
   * Called when everything was read and ONNX Runtime starts its threads, where there are several: workers, started by
   * the worker that this module runs in. In Firefox 153 that worker may hang there for ever, so whoever started it may
   * end it after some seconds and start it anew; with `threads: 1` there is nothing to hang.
   */
  starting?: () => void;
}

/** One output held against PyTorch's answer, on the scale [0, 1] and in dB; `trouble` says which limits it breaks. */
export interface ProofResult extends Size {
  t: number;
  max_error: number;
  psnr: number;
  block_error: number;
  trouble: string;
}

export interface ProofRecord {
  verdict: Verdict;
  reason: string;
  device: Device;
  /** What the browser says of its GPU. */
  adapter: string;
  results: ProofResult[];
  seconds: number;
}

/** What was wrong with what the caller gave; the message is one sentence for the user. */
export class IfrnetError extends Error {}
/** A folder that is no whole, unchanged artifact that this version reads. */
export class ArtifactError extends IfrnetError {}
/** Frames, or a time step, that the artifact does not take. */
export class FrameError extends IfrnetError {}
/** The engine cannot run here, or came out wrong. */
export class EngineError extends IfrnetError {}

/**
 * Open an artifact and load its network.
 *
 * @throws {ArtifactError} it is not whole, was changed, failed at its export, or is of another version.
 * @throws {EngineError} the browser lacks the device, or onnxruntime-web is not where `engine` says.
 */
export function openArtifact(source: Source, options?: Options): Promise<Runtime>;

/** A loaded artifact on one device of the browser. Calls run one after the other, those of all artifacts on the device. */
export class Runtime {
  private constructor();
  readonly manifest: Manifest;
  readonly identity: string;
  readonly device: Device;
  readonly adapter: string;
  /** Name and version of what computes. */
  readonly engine: string;
  /** CPU threads; 0 on a GPU. */
  readonly threads: number;
  readonly verdict: Verdict;
  /** What a verdict holds under: the artifact, and everything of this browser that computes. */
  readonly conditions: string;

  /** Run the artifact's own proof here. @throws {ArtifactError} there is none, or it was changed. */
  verify(progress?: (done: number, total: number) => void): Promise<ProofRecord>;

  /**
   * The frame at `t` between two pictures of one size and colour space, in that colour space. Both are read before it returns.
   *
   * @throws {FrameError} sizes or colour spaces differ or are not taken, parts are transparent, or t is not served.
   * @throws {EngineError} the proof failed on this device, none passed yet on a GPU, or the GPU was lost: open the artifact again.
   */
  interpolate(first: Picture, second: Picture, t?: number): Promise<ImageData>;

  /**
   * The same in the network's own form: float32, 3 x height x width, RGB in [0, 1]. Arrays are copied at the call.
   *
   * It rejects for the same reasons, and values beyond.
   */
  infer(img0: Float32Array, img1: Float32Array, t: number, size: Size): Promise<Float32Array>;

  close(): Promise<void>;
}

// ---- what a proof holds; docs/proof.md ------------------------------------------------------------------------------

export interface Scene extends Size {
  waves: number[][];
  frames: number[][];
  radius: number;
  half_width: number;
}

export interface Limits {
  max_error: number;
  psnr: number;
  block_error: number;
}

export interface Answer {
  t: number;
  limits: Limits;
  corners: Uint16Array;
  weights: Float32Array;
  patches: Float32Array;
  blocks: Float32Array;
}

export interface Case {
  scene: Scene;
  block: number;
  digests: [string, string];
  answers: Answer[];
}
