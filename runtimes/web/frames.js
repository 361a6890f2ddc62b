/** Between pictures of the browser (RGBA bytes) and tensors of the network (planes of float32 in [0, 1]). */

import { FrameError } from "./errors.js";

const SCALE = Math.fround(1 / 255);
const WIDE = ["smpte432", "bt2020"]; // primaries beyond sRGB's: those of Display P3 and of HDR

/**
 * Bytes -> planes: value times the float32 of 1/255, as the proof asks for.
 *
 * @param {Uint8Array | Uint8ClampedArray} bytes pixels of `channels` bytes, red, green and blue first
 * @param {3 | 4} channels
 * @param {number} pixels
 * @returns {Float32Array} 3 x pixels
 */
export function toTensor(bytes, channels, pixels) {
  const tensor = new Float32Array(3 * pixels);
  for (let c = 0; c < 3; c++) {
    const plane = tensor.subarray(c * pixels, (c + 1) * pixels);
    for (let i = 0, k = c; i < pixels; i++, k += channels) plane[i] = bytes[k] * SCALE;
  }
  return tensor;
}

/**
 * Planes -> a picture: round(255 * clamp(x)), ties to even, the same as on every other backend.
 *
 * @param {Float32Array} tensor 3 x height x width
 * @param {import("./ifrnet.js").Size} size
 * @param {PredefinedColorSpace | undefined} colorSpace none in Firefox
 * @returns {ImageData}
 */
export function toImage(tensor, { width, height }, colorSpace) {
  // Firefox knows sRGB alone, and takes three arguments for another constructor.
  const image = (colorSpace ?? "srgb") === "srgb" ? new ImageData(width, height) : new ImageData(width, height, { colorSpace });
  const { data } = image; // clamps and rounds half to even
  const pixels = width * height;
  for (let i = 0; i < pixels; i++) {
    data[4 * i] = Math.fround(tensor[i] * 255);
    data[4 * i + 1] = Math.fround(tensor[pixels + i] * 255);
    data[4 * i + 2] = Math.fround(tensor[2 * pixels + i] * 255);
    data[4 * i + 3] = 255;
  }
  return image;
}

/**
 * The pixels of a picture at its own size.
 *
 * @param {import("./ifrnet.js").Picture} picture
 * @returns {ImageData}
 */
export function pixelsOf(picture) {
  if (picture instanceof ImageData) return picture;
  const { width, height } = sizeOf(picture);
  if (!width || !height) throw new FrameError("a picture has no pixels yet: wait until it is loaded");
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true, colorSpace: colorSpaceOf(picture) });
  if (!context) throw new FrameError(`the browser gives no memory for a picture of ${width}x${height}: take a smaller one`);
  context.drawImage(picture, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

/**
 * The colour space that a picture tells, sRGB where it tells none.
 *
 * @param {Exclude<import("./ifrnet.js").Picture, ImageData>} picture
 * @returns {PredefinedColorSpace}
 */
function colorSpaceOf(picture) {
  if ("displayWidth" in picture) return WIDE.includes(picture.colorSpace?.primaries ?? "") ? "display-p3" : "srgb";
  if (!("getContext" in picture)) return "srgb";
  try {
    // A canvas gives the context that it has, and null for the others.
    const context = ["2d", "webgl2", "webgl", "webgpu"].map((kind) => /** @type {any} */ (picture).getContext(kind)).find(Boolean);
    return context?.getContextAttributes?.()?.colorSpace ?? context?.drawingBufferColorSpace ?? context?.getConfiguration?.()?.colorSpace ?? "srgb";
  } catch {
    return "srgb"; // it was handed to a worker, which alone may ask it
  }
}

/** @param {Exclude<import("./ifrnet.js").Picture, ImageData>} picture @returns {import("./ifrnet.js").Size} */
function sizeOf(picture) {
  if ("displayWidth" in picture) return { width: picture.displayWidth, height: picture.displayHeight };
  if ("naturalWidth" in picture) return { width: picture.naturalWidth, height: picture.naturalHeight };
  if ("videoWidth" in picture) return { width: picture.videoWidth, height: picture.videoHeight };
  return { width: picture.width, height: picture.height };
}

/**
 * Check a pair of pictures.
 *
 * @param {ImageData} first
 * @param {ImageData} second
 * @returns {import("./ifrnet.js").Size}
 */
export function checkPair(first, second) {
  if (first.width !== second.width || first.height !== second.height) {
    throw new FrameError(`the pictures are ${first.width}x${first.height} and ${second.width}x${second.height}: both must have one size`);
  }
  if (first.colorSpace !== second.colorSpace) {
    throw new FrameError(`the colours of the pictures are ${first.colorSpace} and ${second.colorSpace}: both must have one colour space`);
  }
  for (const { data } of [first, second]) {
    if (!(data instanceof Uint8ClampedArray)) throw new FrameError("a picture has pixels of floats, expected bytes: call getImageData without pixelFormat");
    for (let i = 3; i < data.length; i += 4) {
      if (data[i] !== 255) throw new FrameError("a picture has transparent parts, and the network knows colour only: draw it on a background first");
    }
  }
  return { width: first.width, height: first.height };
}
