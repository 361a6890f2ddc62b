/** The proof in an artifact: read `proof.dat` and hold the network's answers against PyTorch's. docs/proof.md is the format. */

import { sha256 } from "./artifact.js";
import { ArtifactError } from "./errors.js";
import { toTensor } from "./frames.js";
import { parseJson } from "./json.js";
import { readScene, renderFrame } from "./scene.js";

const MAGIC = "IFRPROOF";
const FORMAT = 1;
const MAX_BYTES = 2 ** 20;
const MAX_CASES = 4;
const MAX_STEPS = 8;
const PATCH = 4;
const PATCH_VALUES = PATCH * PATCH * 3;
const BLOCK = 32;
const MAX_BLOCKS = 8192;

/**
 * Read and check a proof.
 *
 * @param {ArrayBuffer | undefined} data of proof.dat
 * @param {import("./ifrnet.js").SizeRange} sizes that the artifact takes
 * @returns {import("./ifrnet.js").Case[]}
 */
export function readProof(data, sizes) {
  if (!data) throw new ArtifactError("the artifact holds no proof.dat, so nothing can be proved: export it again");
  try {
    return readCases(data, sizes);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ArtifactError(`proof.dat cannot be used (${reason}): export the artifact again`);
  }
}

/** @param {ArrayBuffer} data @param {import("./ifrnet.js").SizeRange} sizes */
function readCases(data, sizes) {
  const view = new DataView(data);
  if (data.byteLength > MAX_BYTES || data.byteLength < 16) throw new ArtifactError(`it has ${data.byteLength} bytes`);
  if (new TextDecoder().decode(data.slice(0, 8)) !== MAGIC) throw new ArtifactError("it does not begin like a proof");
  if (view.getUint32(8, true) !== FORMAT) throw new ArtifactError(`it is of format ${view.getUint32(8, true)}`);
  const length = view.getUint32(12, true);
  if (16 + length > data.byteLength) throw new ArtifactError("it ends within its header");
  if (length % 4) throw new ArtifactError(`its header has ${length} bytes, not a multiple of 4`);
  const header = parseJson(data.slice(16, 16 + length));
  if (header.patch !== PATCH) throw new ArtifactError(`its patches are of ${header.patch} px`);
  if (!Array.isArray(header.cases) || header.cases.length < 1 || header.cases.length > MAX_CASES) throw new ArtifactError("it has no cases");
  const reader = new ArrayReader(data, 16 + length);
  const cases = header.cases.map((/** @type {any} */ item) => readCase(item, reader, sizes));
  reader.finish();
  return cases;
}

/**
 * @param {any} data
 * @param {ArrayReader} reader
 * @param {import("./ifrnet.js").SizeRange} sizes
 * @returns {import("./ifrnet.js").Case}
 */
function readCase(data, reader, sizes) {
  const scene = readScene(data.scene);
  const { width, height } = scene;
  const { minimum, maximum } = sizes;
  if (width < minimum.width || width > maximum.width || height < minimum.height || height > maximum.height) {
    throw new ArtifactError(`a scene of ${width}x${height}, which the artifact does not take`);
  }
  let block = BLOCK;
  while (Math.ceil(height / block) * Math.ceil(width / block) > MAX_BLOCKS) block *= 2;
  if (data.block !== block) throw new ArtifactError(`blocks of ${data.block} px`);
  const digests = data.frames_sha256;
  if (!Array.isArray(digests) || digests.length !== 2 || digests.some((text) => typeof text !== "string")) throw new ArtifactError("no sha256 of its frames");
  if (!Array.isArray(data.answers) || data.answers.length < 1 || data.answers.length > MAX_STEPS) throw new ArtifactError("no answers");
  const answers = data.answers.map((/** @type {any} */ item) => readAnswer(item, reader, scene, block));
  return { scene, block, digests: [digests[0], digests[1]], answers };
}

/**
 * @param {any} data
 * @param {ArrayReader} reader
 * @param {import("./ifrnet.js").Scene} scene
 * @param {number} block
 * @returns {import("./ifrnet.js").Answer}
 */
function readAnswer(data, reader, scene, block) {
  const count = data.patches;
  if (!Number.isInteger(count) || count < 1 || count > MAX_BYTES / (PATCH_VALUES * 4)) throw new ArtifactError(`${count} patches`);
  const corners = reader.uint16(2 * count);
  const weights = reader.float32(count);
  const patches = reader.float32(PATCH_VALUES * count);
  const blocks = reader.float32(3 * Math.ceil(scene.width / block) * Math.ceil(scene.height / block));
  for (let i = 0; i < count; i++) {
    const [x, y] = [corners[2 * i], corners[2 * i + 1]];
    if (x >= scene.width || y >= scene.height || x % PATCH || y % PATCH) throw new ArtifactError("a patch lies beyond the frame");
    if (!(weights[i] > 0)) throw new ArtifactError("a weight is not positive");
  }
  if (![weights, patches, blocks].every((array) => array.every(Number.isFinite))) throw new ArtifactError("a value is not finite");
  const { max_error, psnr, block_error } = data.limits;
  if (![data.t, max_error, psnr, block_error].every(Number.isFinite)) throw new ArtifactError("a limit or t is no number");
  if (!(Math.fround(data.t) > 0 && Math.fround(data.t) < 1)) throw new ArtifactError(`t = ${data.t}`);
  return { t: data.t, limits: { max_error, psnr, block_error }, corners, weights, patches, blocks };
}

/** Takes arrays off the rest of a file; never more than there is. */
class ArrayReader {
  /** @param {ArrayBuffer} data @param {number} start */
  constructor(data, start) {
    this.data = data;
    this.at = start;
  }

  /** @param {number} bytes */
  take(bytes) {
    if (this.at + bytes > this.data.byteLength) throw new ArtifactError(`it ends at byte ${this.data.byteLength}, ${this.at + bytes} are needed`);
    this.at += bytes;
    return this.data.slice(this.at - bytes, this.at);
  }

  /** @param {number} count */
  uint16(count) {
    return new Uint16Array(this.take(2 * count));
  }

  /** @param {number} count */
  float32(count) {
    return new Float32Array(this.take(4 * count));
  }

  finish() {
    if (this.at !== this.data.byteLength) throw new ArtifactError(`${this.data.byteLength - this.at} bytes follow the last array`);
  }
}

/**
 * Ask for every time step of every case, and hold the outputs against the answers.
 *
 * @param {(img0: Float32Array, img1: Float32Array, t: number, size: import("./ifrnet.js").Size) => Promise<Float32Array>} infer
 * @param {import("./ifrnet.js").Case[]} cases
 * @param {(done: number, total: number) => void} progress
 * @returns {Promise<import("./ifrnet.js").ProofResult[]>}
 */
export async function runProof(infer, cases, progress) {
  const total = cases.reduce((sum, item) => sum + item.answers.length, 0);
  /** @type {import("./ifrnet.js").ProofResult[]} */
  const results = [];
  for (const item of cases) {
    const { scene } = item;
    const tensors = [];
    for (const which of /** @type {const} */ ([0, 1])) {
      const frame = renderFrame(scene, which);
      if ((await sha256(/** @type {BufferSource} */ (frame))) !== item.digests[which]) {
        throw new ArtifactError("the frames of the proof came out with another sha256 than it states: it was changed, export the artifact again");
      }
      tensors.push(toTensor(frame, 3, scene.width * scene.height));
    }
    for (const answer of item.answers) {
      progress(results.length, total);
      const output = await infer(tensors[0], tensors[1], answer.t, scene);
      results.push(compareWith(answer, item.block, output, scene));
    }
  }
  progress(total, total);
  return results;
}

/**
 * @param {import("./ifrnet.js").Answer} answer
 * @param {number} block
 * @param {Float32Array} output 3 x height x width
 * @param {import("./ifrnet.js").Size} size
 * @returns {import("./ifrnet.js").ProofResult}
 */
export function compareWith(answer, block, output, size) {
  const { width, height } = size;
  let worst = 0;
  let energy = 0;
  let finite = output.every(Number.isFinite);
  for (let i = 0; i < answer.weights.length; i++) {
    let sum = 0;
    for (let y = 0, k = PATCH_VALUES * i; y < PATCH; y++) {
      for (let x = 0; x < PATCH; x++) {
        const [column, row] = [answer.corners[2 * i] + x, answer.corners[2 * i + 1] + y];
        for (let c = 0; c < 3; c++, k++) {
          const value = column < width && row < height ? output[(c * height + row) * width + column] : 0;
          const difference = Math.abs(value - answer.patches[k]);
          worst = Math.max(worst, difference);
          sum += difference * difference;
        }
      }
    }
    energy += answer.weights[i] * sum;
  }
  energy /= 3 * width * height;
  const blockError = worstBlock(answer.blocks, block, output, size);
  finite = finite && Number.isFinite(energy);
  const errors = {
    max_error: finite ? worst : Infinity,
    psnr: finite ? -10 * Math.log10(energy) : -Infinity,
    block_error: finite ? blockError : Infinity,
  };
  const { limits } = answer;
  const trouble = [
    errors.max_error > limits.max_error && `max error ${errors.max_error.toPrecision(2)} (limit ${limits.max_error})`,
    errors.psnr < limits.psnr && `PSNR ${errors.psnr.toFixed(1)} dB (limit ${limits.psnr})`,
    errors.block_error > limits.block_error && `mean of a block off by ${errors.block_error.toPrecision(2)} (limit ${limits.block_error})`,
  ].filter(Boolean).join(", ");
  return { width, height, t: answer.t, ...errors, trouble };
}

/**
 * The largest difference of the means of blocks.
 *
 * @param {Float32Array} blocks rows x columns x RGB
 * @param {number} side in pixels
 * @param {Float32Array} output 3 x height x width
 * @param {import("./ifrnet.js").Size} size
 */
function worstBlock(blocks, side, output, { width, height }) {
  const columns = Math.ceil(width / side);
  const sums = new Float64Array(blocks.length);
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < height; y++) {
      const start = (c * height + y) * width;
      const row = Math.floor(y / side) * columns;
      for (let x = 0; x < width; x++) sums[3 * (row + Math.floor(x / side)) + c] += output[start + x];
    }
  }
  let worst = 0;
  for (let i = 0; i < blocks.length; i++) {
    const [row, column] = [Math.floor(i / 3 / columns), Math.floor(i / 3) % columns];
    const pixels = Math.min(side, height - row * side) * Math.min(side, width - column * side);
    worst = Math.max(worst, Math.abs(sums[i] / pixels - blocks[i]));
  }
  return worst;
}
