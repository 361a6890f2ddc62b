/** The worker, as functions that the page awaits. */

let worker = start();
let last = 0;
/** @type {Map<number, {resolve: (answer: any) => void, reject: (error: Error) => void, progress?: (done: number, total: number) => void}>} */
const waiting = new Map();

function start() {
  const made = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  made.addEventListener("message", ({ data: { id, answer, trouble, progress } }) => {
    const question = waiting.get(id);
    if (!question) return;
    if (progress) return question.progress?.(progress[0], progress[1]);
    waiting.delete(id);
    if (trouble === undefined) question.resolve(answer);
    else question.reject(new Error(trouble));
  });
  made.addEventListener("error", (event) => fail(`the worker ended (${event.message || "it ran out of memory"}): take smaller pictures`));
  return made;
}

/** @param {string} why */
function fail(why) {
  for (const { reject } of waiting.values()) reject(new Error(why));
  waiting.clear();
}

/**
 * @param {string} action
 * @param {any} question
 * @param {(done: number, total: number) => void} [progress]
 * @returns {Promise<any>}
 */
export function ask(action, question = {}, progress) {
  const id = ++last;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject, progress });
    worker.postMessage({ id, action, question });
  });
}

/** End the worker in the middle of its work; whatever it had open is gone. */
export function restart() {
  worker.terminate();
  fail("stopped");
  worker = start();
}
