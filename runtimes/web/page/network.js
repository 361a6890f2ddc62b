/** The worker, as functions that the page awaits. */

const START_MS = 15_000; // a thread starts within a second
const STUCK = "the threads did not start";
const ENDED = "the worker ended (the browser may be short of memory): take smaller pictures, and try again";
const NOT_LOADED = "the worker did not load: look at the connection and try again";

/** @type {Worker | null} none where it ended: the next question starts another */
let worker = start();
let last = 0;
let watch = 0;
let stopped = false;
let whenEnded = () => {};
/** @type {Map<number, {resolve: (answer: any) => void, reject: (error: Error) => void, progress?: (done: number, total: number) => void}>} */
const waiting = new Map();

function start() {
  const made = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  made.addEventListener("message", ({ data: { life, id, answer, trouble, progress, starting } }) => {
    if (life) return navigator.locks.request(life, () => end(ENDED, made));
    const question = waiting.get(id);
    if (!question) return;
    if (progress) return question.progress?.(progress[0], progress[1]);
    if (starting) {
      watch = window.setTimeout(() => end(STUCK), START_MS);
      return;
    }
    clearTimeout(watch);
    waiting.delete(id);
    if (trouble === undefined) question.resolve(answer);
    else question.reject(new Error(trouble));
  });
  made.addEventListener("error", ({ message }) => end(message ? `the worker ended (${message}): try again` : NOT_LOADED, made));
  return made;
}

/** End the worker in the middle of its work; whatever it had open is gone. @param {string} why */
function end(why, which = worker) {
  if (!which || which !== worker) return;
  clearTimeout(watch);
  which.terminate();
  worker = null;
  whenEnded();
  for (const { reject } of waiting.values()) reject(new Error(why));
  waiting.clear();
}

/** @param {() => void} listener called where a worker ended, with what it had open */
export function onEnd(listener) {
  whenEnded = listener;
}

/**
 * @param {string} action
 * @param {any} question
 * @param {(done: number, total: number) => void} [progress]
 * @returns {Promise<any>}
 */
export async function ask(action, question = {}, progress) {
  unlessStopped();
  const id = ++last;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject, progress });
    worker ??= start();
    worker.postMessage({ id, action, question });
  });
}

/**
 * Open an artifact: where the threads do not start (see `starting` of ifrnet.d.ts), once more, and then with one.
 *
 * @param {{source: any, options: any}} question
 * @param {(done: number, total: number) => void} progress
 * @returns {Promise<any>}
 */
export async function openArtifact({ source, options }, progress) {
  for (let attempt = 1; ; attempt++) {
    const threads = attempt > 2 ? 1 : undefined;
    try {
      return await ask("open", { source, options: { ...options, threads } }, progress);
    } catch (error) {
      if (!(error instanceof Error) || error.message !== STUCK) throw error;
    }
  }
}

/** What is asked from here on is answered again. */
export function begin() {
  stopped = false;
}

/** Refuse to go on after `stop`, where nothing more is asked. */
export function unlessStopped() {
  if (stopped) throw new Error("stopped");
}

/** End what runs; until `begin`, what it asks next is refused too. */
export function stop() {
  stopped = true;
  end("stopped");
}
