/** Scene cuts: between two shots there is nothing to interpolate. The score and its limit are those of runtimes/video/scenes.py. */

const LIMIT = 27;
const WIDTH = 256;

/** @param {ImageData} first @param {ImageData} second @returns {boolean} */
export function isCut(first, second) {
  const [a, b] = [thumbnail(first), thumbnail(second)];
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += Math.abs(a[i] - b[i]);
  return sum / a.length >= LIMIT;
}

/** Hue (0 to 179), saturation and value of a small picture. @param {ImageData} image @returns {Int16Array} */
function thumbnail(image) {
  const width = Math.min(WIDTH, image.width);
  const height = Math.max(1, Math.round((image.height * width) / image.width));
  const source = new OffscreenCanvas(image.width, image.height);
  /** @type {OffscreenCanvasRenderingContext2D} */ (source.getContext("2d")).putImageData(image, 0, 0);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true }));
  context.drawImage(source, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const hsv = new Int16Array(3 * width * height);
  for (let i = 0, k = 0; i < data.length; i += 4, k += 3) {
    const [r, g, b] = [data[i], data[i + 1], data[i + 2]];
    const value = Math.max(r, g, b);
    const spread = value - Math.min(r, g, b);
    const divisor = spread || 1;
    const sector = value === r ? (g - b) / divisor : value === g ? 2 + (b - r) / divisor : 4 + (r - g) / divisor;
    hsv[k] = ((Math.round(sector * 30) % 180) + 180) % 180;
    hsv[k + 1] = Math.round((255 * spread) / (value || 1));
    hsv[k + 2] = value;
  }
  return hsv;
}
