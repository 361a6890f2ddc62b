/** Runs the network beside the page, so that the page stays responsive. One question, one answer, by `id`. */

import { openArtifact } from "../ifrnet.js";

/** @type {import("../ifrnet.js").Runtime | null} */
let runtime = null;

/** @type {Record<string, (question: any, progress: (done: number, total: number) => void, starting: () => void) => Promise<any>>} */
const ACTIONS = {
  async open({ source, options }, progress, starting) {
    await runtime?.close();
    runtime = null;
    runtime = await openArtifact(source, { ...options, progress, starting });
    const { manifest, device, adapter, engine, threads, verdict, conditions } = runtime;
    return { manifest, device, adapter, engine, threads, verdict, conditions };
  },
  verify: (_, progress) => opened().verify(progress),
  async interpolate({ first, second, t }) {
    const start = performance.now();
    const image = await opened().interpolate(first, second, t);
    return { image, ms: performance.now() - start };
  },
};

/** @returns {import("../ifrnet.js").Runtime} */
function opened() {
  if (!runtime) throw new Error("no artifact is open");
  return runtime;
}

self.addEventListener("message", async ({ data: { id, action, question } }) => {
  try {
    const progress = (/** @type {number} */ done, /** @type {number} */ total) => self.postMessage({ id, progress: [done, total] });
    const answer = await ACTIONS[action](question, progress, () => self.postMessage({ id, starting: true }));
    self.postMessage({ id, answer });
  } catch (error) {
    self.postMessage({ id, trouble: error instanceof Error ? error.message : String(error) });
  }
});

// A lock that is held for as long as this worker lives: no event tells the page that a browser has ended it.
const life = crypto.randomUUID();
navigator.locks?.request(life, () => {
  self.postMessage({ life });
  return new Promise(() => {});
});
