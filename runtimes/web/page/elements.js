/** The page's elements by name, and how it says things. */

/** @template {HTMLElement} T @param {string} id @param {new () => T} kind @returns {T} */
export function element(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${id}`);
  return found;
}

export const at = {
  files: element("files", HTMLInputElement), drop: element("drop", HTMLLabelElement), example: element("example", HTMLButtonElement),
  pair: element("pair", HTMLDivElement), first: element("first", HTMLCanvasElement), second: element("second", HTMLCanvasElement),
  firstName: element("first-name", HTMLElement), secondName: element("second-name", HTMLElement),
  clipName: element("clip-name", HTMLParagraphElement), inputNote: element("input-note", HTMLParagraphElement),
  form: element("form", HTMLFormElement), time: element("time", HTMLInputElement), timeValue: element("time-value", HTMLOutputElement),
  timeLabel: element("time-label", HTMLLabelElement), side: element("side", HTMLSelectElement), device: element("device", HTMLSelectElement),
  make: element("make", HTMLButtonElement), cancel: element("cancel", HTMLButtonElement), progress: element("progress", HTMLProgressElement),
  status: element("status", HTMLParagraphElement), trouble: element("trouble", HTMLParagraphElement),
  result: element("result", HTMLElement), stage: element("stage", HTMLDivElement), ours: element("ours", HTMLCanvasElement),
  mean: element("mean", HTMLCanvasElement), split: element("split", HTMLInputElement), splitLabel: element("split-label", HTMLLabelElement),
  video: element("video", HTMLVideoElement), download: element("download", HTMLAnchorElement), resultNote: element("result-note", HTMLParagraphElement),
  verify: element("verify", HTMLButtonElement), artifactNote: element("artifact-note", HTMLParagraphElement), artifact: element("artifact", HTMLInputElement),
};

/** @param {string} text */
export function say(text) {
  at.status.textContent = text;
}

/** @param {unknown} error */
export function message(error) {
  return error instanceof Error ? error.message : String(error);
}

/** @param {number} ms */
export function seconds(ms) {
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** @param {number[]} values */
export function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

/** @param {number} bytes */
export function amount(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
