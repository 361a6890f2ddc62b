/**
 * The frames of a proof, rendered from whole numbers as docs/proof.md says, so that they come out alike everywhere.
 */

import { ArtifactError } from "./errors.js";

const COLOURS = [[235, 77, 31], [26, 140, 242]]; // of the disc and the bar
const MAX_WAVES = 64;
const MAX_WEIGHT = 2 ** 15;
const QUARTER = 2 ** 30; // of a cycle of 2^32

/**
 * Check a scene as it stands in a proof.
 *
 * @param {any} data
 * @returns {import("./ifrnet.js").Scene}
 */
export function readScene(data) {
  const { waves, frames } = data;
  if (!Array.isArray(waves) || waves.length < 1 || waves.length > MAX_WAVES) throw new ArtifactError("a scene without waves");
  for (const row of waves) {
    if (!Array.isArray(row) || row.length !== 6) throw new ArtifactError("a wave is not six numbers");
    row.slice(0, 3).forEach((value) => whole(value, 0, 2 ** 32 - 1));
    row.slice(3).forEach((value) => whole(value, -MAX_WEIGHT, MAX_WEIGHT));
  }
  if (!Array.isArray(frames) || frames.length !== 2) throw new ArtifactError("a scene of other than two frames");
  for (const row of frames) {
    if (!Array.isArray(row) || row.length !== 5) throw new ArtifactError("a frame is not five numbers");
    row.forEach((value) => whole(value, -(2 ** 23), 2 ** 23));
  }
  return {
    width: whole(data.width, 1, 2 ** 14),
    height: whole(data.height, 1, 2 ** 14),
    waves,
    frames,
    radius: whole(data.radius, 1, 2 ** 18),
    half_width: whole(data.half_width, 1, 2 ** 18),
  };
}

/** @param {any} value @param {number} low @param {number} high @returns {number} */
function whole(value, low, high) {
  if (!Number.isInteger(value) || value < low || value > high) {
    throw new ArtifactError(`${JSON.stringify(value)} stands where a whole number from ${low} to ${high} is expected`);
  }
  return value;
}

/**
 * Render one of the two frames.
 *
 * @param {import("./ifrnet.js").Scene} scene
 * @param {0 | 1} which
 * @returns {Uint8Array} height x width x RGB
 */
export function renderFrame(scene, which) {
  const { width, height } = scene;
  const [shiftX, shiftY, discX, discY, bar] = scene.frames[which];
  const across = scene.waves.map(([x]) => phases(width, (column) => Math.imul(x, 256 * column + shiftX)));
  const down = scene.waves.map(([, y, phase]) => phases(height, (row) => Math.imul(y, 256 * row + shiftY) + phase));
  const barCoverage = Int32Array.from({ length: width }, (_, x) =>
    clamp((scene.half_width - Math.abs(16 * x - bar)) * 16, 256));
  const frame = new Uint8Array(3 * width * height);
  const sums = [0, 1, 2].map(() => new Float64Array(width));
  for (let y = 0; y < height; y++) {
    sums.forEach((sum) => sum.fill(0));
    scene.waves.forEach(([, , , ...weights], i) => addWave(sums, weights, across[i], down[i].cosine[y], down[i].sine[y]));
    for (let x = 0; x < width; x++) {
      const distance = (16 * x - discX) ** 2 + (16 * y - discY) ** 2;
      const disc = Math.min(Math.floor((Math.max(scene.radius ** 2 - distance, 0) * 8) / scene.radius), 256);
      for (let c = 0; c < 3; c++) {
        let level = 32768 + Math.floor(sums[c][x] / 2 ** 30);
        level = mix(mix(level, COLOURS[0][c], disc), COLOURS[1][c], barCoverage[x]);
        frame[3 * (y * width + x) + c] = clamp((level + 128) >> 8, 255);
      }
    }
  }
  return frame;
}

/**
 * @param {Float64Array[]} sums of the row so far, for each channel
 * @param {number[]} weights for each channel
 * @param {{cosine: Float64Array, sine: Float64Array}} across
 * @param {number} cosine of the row
 * @param {number} sine of the row
 */
function addWave(sums, weights, across, cosine, sine) {
  for (let c = 0; c < 3; c++) {
    const sum = sums[c];
    const even = weights[c] * cosine;
    const odd = weights[c] * sine;
    for (let x = 0; x < sum.length; x++) sum[x] += even * across.cosine[x] - odd * across.sine[x];
  }
}

/** @param {number} count @param {(i: number) => number} phase modulo 2^32 */
function phases(count, phase) {
  const cosine = new Float64Array(count);
  const sine = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    cosine[i] = wave(phase(i) + QUARTER);
    sine[i] = wave(phase(i));
  }
  return { cosine, sine };
}

/** Two parabolas for a sine: a cycle of 2^32 -> whole numbers from -32768 to 32768. @param {number} phase */
function wave(phase) {
  const p = ((phase | 0) >>> 16) & 0xffff;
  const q = p & 0x7fff;
  const h = (q * (0x8000 - q)) >> 13;
  return p & 0x8000 ? -h : h;
}

/** @param {number} level @param {number} colour @param {number} coverage from 0 to 256 */
function mix(level, colour, coverage) {
  return level + (((256 * colour - level) * coverage) >> 8);
}

/** @param {number} value @param {number} high */
function clamp(value, high) {
  return Math.min(Math.max(value, 0), high);
}
