/** Reading an artifact: manifest, sizes and sha256 of every file, all checked before anything is loaded. */

import { ArtifactError } from "./errors.js";
import { parseJson } from "./json.js";

const FORMAT = 2;
const MANIFEST_LIMIT = 4 * 2 ** 20;
const FILE_LIMIT = 256 * 2 ** 20;
const MAX_FILES = 64;
const MAX_SIDE = 16384;
const PRECISIONS = ["fp32", "fp16", "bf16", "int8"];
const VERDICTS = ["passed", "failed", "not run", "file checked", "passed (emulated)"];
const PLAIN = /^[A-Za-z0-9_-][A-Za-z0-9_.-]*(\/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$/;

/**
 * Read an artifact's folder.
 *
 * @param {import("./ifrnet.js").Source} source the folder's URL, or its files
 * @param {(done: number, total: number) => void} progress of the bytes
 * @returns {Promise<import("./ifrnet.js").Artifact>}
 */
export async function readArtifact(source, progress) {
  if (!globalThis.crypto?.subtle) {
    throw new ArtifactError("this page is neither https nor localhost, so the browser cannot check sha256: serve it from one of them");
  }
  const read = typeof source === "string" || source instanceof URL ? fromUrl(new URL(source, baseUrl())) : fromFiles(source);
  const text = await read("manifest.json", MANIFEST_LIMIT, () => {});
  const manifest = checkManifest(parse(text));
  const total = Object.values(manifest.files).reduce((sum, file) => sum + file.bytes, 0);
  /** @type {Map<string, ArrayBuffer>} */
  const files = new Map();
  let done = 0;
  for (const [name, expected] of Object.entries(manifest.files)) {
    const before = done;
    const data = await read(name, expected.bytes, (bytes) => progress(before + bytes, total));
    if (data.byteLength !== expected.bytes || (await sha256(data)) !== expected.sha256) {
      throw new ArtifactError(`${name} of ${manifest.name} has changed since it was exported (its sha256 differs): take it from where it was made`);
    }
    files.set(name, data);
    done += expected.bytes;
    progress(done, total);
  }
  return { manifest, files, identity: await sha256(text) };
}

/**
 * The URL of a file in a folder; the folder's query, which may be a version or a signature, goes with it.
 *
 * @param {URL} folder
 * @param {string} name
 * @returns {URL}
 */
export function within(folder, name) {
  const url = new URL(folder);
  url.pathname = `${folder.pathname.replace(/\/$/, "")}/${name}`;
  return url;
}

/** @returns {string} */
function baseUrl() {
  return globalThis.document?.baseURI ?? globalThis.location.href;
}

/** @param {ArrayBuffer} data @returns {any} */
function parse(data) {
  try {
    return parseJson(data);
  } catch (error) {
    throw new ArtifactError(`manifest.json cannot be read (${error instanceof Error ? error.message : error}): this folder is not an artifact`);
  }
}

/**
 * @param {any} data
 * @returns {import("./ifrnet.js").Manifest}
 */
function checkManifest(data) {
  if (typeof data?.format !== "number") throw new ArtifactError("manifest.json has no format: this folder is not an artifact");
  if (data.format !== FORMAT) {
    throw new ArtifactError(`the artifact is of format ${data.format}, this page reads ${FORMAT}: take a page and an artifact of one version`);
  }
  if (data.backend !== "onnxruntime") {
    throw new ArtifactError(`the artifact is for ${data.backend}, a browser runs ONNX: make one with python -m export --target web`);
  }
  const sizes = /** @type {any} */ ({});
  for (const key of ["minimum", "typical", "maximum"]) sizes[key] = size(data.sizes?.[key]);
  for (const side of ["width", "height"]) {
    const [low, middle, high] = [sizes.minimum[side], sizes.typical[side], sizes.maximum[side]];
    if (low > middle || middle > high) throw new ArtifactError(`the manifest's ${side}s are ${low}, ${middle}, ${high}, not in order: export the artifact again`);
  }
  const files = data.files;
  if (typeof files !== "object" || files === null || !("model.onnx" in files)) {
    throw new ArtifactError("the manifest lists no model.onnx: export the artifact again");
  }
  if (Object.keys(files).length > MAX_FILES) throw new ArtifactError(`the manifest lists ${Object.keys(files).length} files, expected at most ${MAX_FILES}: export the artifact again`);
  for (const [name, file] of Object.entries(files)) {
    if (!PLAIN.test(name) || name === "manifest.json") throw new ArtifactError(`file name ${JSON.stringify(name)} is not plain: the manifest was changed`);
    if (!Number.isInteger(file?.bytes) || file.bytes < 0 || file.bytes > FILE_LIMIT || !/^[0-9a-f]{64}$/.test(file?.sha256)) {
      throw new ArtifactError(`the manifest says nothing usable of ${name}: export the artifact again`);
    }
  }
  const { name, precision, parity } = data;
  if (typeof name !== "string" || !PRECISIONS.includes(precision)) throw new ArtifactError("the manifest has no name or no known precision: export the artifact again");
  if (!Array.isArray(parity) || !parity.every((record) => VERDICTS.includes(record?.verdict))) throw new ArtifactError("the manifest has no verdicts, or one that this page does not know: export the artifact again");
  if (parity.some((record) => record.verdict === "failed")) {
    throw new ArtifactError(`${data.name} failed its comparison with PyTorch where it was exported: export it again`);
  }
  if (data.timesteps !== "any" && data.timesteps !== "0.5") throw new ArtifactError(`the manifest's time steps are ${JSON.stringify(data.timesteps)}: export the artifact again`);
  return { name, precision, timesteps: data.timesteps, sizes, files, parity };
}

/** @param {any} text @returns {import("./ifrnet.js").Size} */
function size(text) {
  const match = /^(\d{1,9})[xX](\d{1,9})$/.exec(typeof text === "string" ? text : "");
  const found = match && { width: Number(match[1]), height: Number(match[2]) };
  if (!found || found.width < 1 || found.height < 1 || found.width > MAX_SIDE || found.height > MAX_SIDE) {
    throw new ArtifactError(`the manifest's size is ${JSON.stringify(text)}, not WIDTHxHEIGHT: export the artifact again`);
  }
  return found;
}

/**
 * @param {URL} base
 * @returns {Reader}
 */
function fromUrl(base) {
  return async (name, limit, progress) => {
    const url = within(base, name);
    const response = await fetch(url).catch(() => null);
    if (!response?.ok) {
      const why = response ? `the server answers ${response.status}` : "no server answers";
      throw new ArtifactError(`${url.href} cannot be read (${why}): ${name === "manifest.json" ? "this folder is not an artifact" : "the artifact is not whole"}`);
    }
    return collect(response, name, limit, progress);
  };
}

/**
 * Read a response, no more than is expected of it.
 *
 * @param {Response} response
 * @param {string} name
 * @param {number} limit in bytes
 * @param {(bytes: number) => void} progress
 * @returns {Promise<ArrayBuffer>}
 */
async function collect(response, name, limit, progress) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  /** @type {Uint8Array[]} */
  const parts = [];
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read().catch((error) => {
      throw new ArtifactError(`${name} broke off after ${bytes} bytes (${error instanceof Error ? error.message : error}): look at the connection and try again`);
    });
    if (done) break;
    bytes += value.length;
    if (bytes > limit) {
      await reader.cancel();
      throw new ArtifactError(`${name} is longer than the ${limit} bytes expected of it: take it from where it was made`);
    }
    parts.push(value);
    progress(bytes);
  }
  return new Blob(/** @type {BlobPart[]} */ (parts)).arrayBuffer();
}

/**
 * @param {Iterable<File>} files
 * @returns {Reader}
 */
function fromFiles(files) {
  const given = [...files];
  const path = (/** @type {File} */ file) => file.webkitRelativePath || file.name;
  const manifest = given.find((file) => path(file).split("/").pop() === "manifest.json");
  const root = manifest ? path(manifest).slice(0, -"manifest.json".length) : "";
  return async (name, limit, progress) => {
    const file = given.find((candidate) => path(candidate) === root + name);
    if (!file) throw new ArtifactError(name === "manifest.json" ? "there is no manifest.json among these files: choose the whole folder of an artifact" : `${name} is missing: choose the whole folder of the artifact`);
    if (file.size > limit) throw new ArtifactError(`${name} is longer than the ${limit} bytes expected of it: take it from where it was made`);
    progress(file.size);
    return file.arrayBuffer();
  };
}

/** @param {BufferSource} data @returns {Promise<string>} hexadecimal */
export async function sha256(data) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @typedef {(name: string, limit: number, progress: (bytes: number) => void) => Promise<ArrayBuffer>} Reader */
