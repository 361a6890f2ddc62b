/** What the user dropped: pictures as pixels of the size that is worked at. */

/** @param {File | Blob} file @returns {Promise<ImageBitmap>} */
export async function decode(file) {
  try {
    return await createImageBitmap(file);
  } catch {
    throw new Error(`${nameOf(file)} is no picture that this browser reads: take a PNG, JPEG or WebP`);
  }
}

/** @param {File | Blob} file */
function nameOf(file) {
  return file instanceof File ? file.name : "the file";
}

/**
 * The size to work at: the picture's own, or one with even sides of at least 32 where that is larger than asked for, or
 * smaller than 32.
 *
 * @param {{width: number, height: number}} size
 * @param {number} longest side in pixels
 */
export function fit({ width, height }, longest) {
  const scale = Math.min(1, longest / Math.max(width, height));
  const side = (/** @type {number} */ pixels) => Math.max(32, 2 * Math.round((pixels * scale) / 2));
  return scale === 1 && width >= 32 && height >= 32 ? { width, height } : { width: side(width), height: side(height) };
}

/** The nearest size with even sides, which video wants. @param {{width: number, height: number}} size */
export function even({ width, height }) {
  return { width: width - (width % 2), height: height - (height % 2) };
}

/**
 * Pixels at a size, on white where the picture is transparent.
 *
 * @param {CanvasImageSource} picture
 * @param {{width: number, height: number}} size
 */
export function pixels(picture, size) {
  return painted(size, (context) => context.drawImage(picture, 0, 0, size.width, size.height));
}

/**
 * The same of what `paint` draws.
 *
 * @param {{width: number, height: number}} size
 * @param {(context: OffscreenCanvasRenderingContext2D) => void} paint
 */
export function painted({ width, height }, paint) {
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true }));
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  paint(context);
  return context.getImageData(0, 0, width, height);
}

/** The average of two pictures of one size. @param {ImageData} first @param {ImageData} second */
export function average(first, second) {
  const image = new ImageData(first.width, first.height);
  for (let i = 0; i < image.data.length; i++) image.data[i] = (first.data[i] + second.data[i]) / 2;
  return image;
}

/** @param {HTMLCanvasElement} canvas @param {ImageData} image */
export function show(canvas, image) {
  canvas.width = image.width;
  canvas.height = image.height;
  /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).putImageData(image, 0, 0);
}
