/** JSON of files that are not trusted: what Python's and C++'s reader take, and nothing else. */

import { ArtifactError } from "./errors.js";

const DEPTH = 64;
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?|([[{])|([\]}])/g;

/**
 * The value of a JSON text in UTF-8. JSON.parse alone would take the last of two values of one name.
 *
 * @param {ArrayBuffer} data
 * @returns {any}
 */
export function parseJson(data) {
  let value;
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
    value = JSON.parse(text);
  } catch (error) {
    throw new ArtifactError(`it is no JSON: ${error instanceof Error ? error.message : error}`);
  }
  let [depth, names] = [0, 0];
  for (const [, name, open, close] of text.matchAll(TOKENS)) {
    if (name) names++;
    depth += open ? 1 : close ? -1 : 0;
    if (depth > DEPTH) throw new ArtifactError(`it is nested deeper than ${DEPTH} levels`);
  }
  if (countNames(value) !== names) throw new ArtifactError("a name stands twice in an object");
  return value;
}

/** @param {any} value @returns {number} of all objects within */
function countNames(value) {
  if (value === Infinity || value === -Infinity) throw new ArtifactError("a number is too large");
  if (typeof value !== "object" || value === null) return 0;
  const values = Object.values(value);
  return values.reduce((sum, item) => sum + countNames(item), Array.isArray(value) ? 0 : values.length);
}
