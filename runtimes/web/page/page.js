/** The page: what the user chose, what is made of it, and what is shown. */

import { Clip, Film, MOST_FRAMES } from "./clip.js";
import { isCut } from "./cuts.js";
import { amount, at, element, median, message, say, seconds } from "./elements.js";
import { proved, remember } from "./memory.js";
import { ask, begin, onEnd, openArtifact, stop, unlessStopped } from "./network.js";
import { average, decode, even, fit, pixels, show } from "./pictures.js";

const BUILTIN = new URL("../artifacts/ifrnet_s-web-fp16-dynamic/", import.meta.url).href;
const KINDS = /** @type {Record<string, {times: number, slow: number}>} */ ({
  slow2: { times: 2, slow: 2 }, slow8: { times: 8, slow: 8 },
  smooth2: { times: 2, slow: 1 }, slowclip2: { times: 2, slow: 2 }, slowclip8: { times: 8, slow: 8 },
});
const PICTURE_RATE = 2; // of two pictures without times: half a second from one to the other

/** @typedef {{width: number, height: number}} Size */

/** @type {{pictures: ImageBitmap[], clip: Clip | null, name: string, source: string | File[], opened: any, busy: boolean, result: string}} */
const state = { pictures: [], clip: null, name: "", source: BUILTIN, opened: null, busy: false, result: "" };

// ---- what the user has ----------------------------------------------------------------------------------------------

/** @param {File[]} files */
async function take(files) {
  if (files.length === 1 && files[0].type.startsWith("video/")) return takeClip(files[0]);
  if (files.length !== 2) throw new Error(`${files.length === 1 ? `${files[0].name} is no clip` : `there are ${files.length} files`}: choose two pictures, or one clip`);
  const sorted = [...files].sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  await takePictures(await Promise.all(sorted.map(decode)), sorted.map((file) => file.name));
}

/** @param {ImageBitmap[]} pictures @param {string[]} names */
async function takePictures(pictures, names) {
  const [a, b] = pictures;
  if (a.width !== b.width || a.height !== b.height) {
    throw new Error(`${names[0]} is ${a.width}x${a.height} and ${names[1]} ${b.width}x${b.height}: both must have one size`);
  }
  state.pictures = pictures;
  state.clip = null;
  state.name = names[0].replace(/\.\w+$/, "");
  [at.firstName.textContent, at.secondName.textContent] = names.map((name) => `${name}, ${a.width}x${a.height}`);
  [at.first, at.second].forEach((canvas, i) => show(canvas, pixels(pictures[i], fit(a, 640))));
  chosen("for-pictures");
}

/** @param {File} file */
async function takeClip(file) {
  const clip = await Clip.open(file);
  state.clip = clip;
  state.pictures = [];
  state.name = file.name.replace(/\.\w+$/, "");
  at.clipName.textContent = `${file.name}, ${clip.size.width}x${clip.size.height}, ${clip.rate.toFixed(2)} frames a second. The first ${MOST_FRAMES} frames are taken.`;
  chosen("for-clips");
}

/** @param {"for-pictures" | "for-clips"} kind */
function chosen(kind) {
  for (const other of /** @type {const} */ (["for-pictures", "for-clips"])) {
    document.querySelectorAll(`.${other}`).forEach((label) => { if (label instanceof HTMLElement) label.hidden = other !== kind; });
  }
  const radio = document.querySelector(`.${kind} input`);
  if (radio instanceof HTMLInputElement) radio.checked = true;
  at.pair.hidden = kind !== "for-pictures";
  at.clipName.hidden = kind !== "for-clips";
  at.make.disabled = false;
  at.trouble.textContent = "";
  refresh();
}

/** @returns {Size} of what is worked on */
function workSize() {
  const given = state.clip?.size ?? state.pictures[0];
  const size = fit(given, Number(at.side.value));
  return kind() === "middle" ? size : even(size);
}

function kind() {
  return String(new FormData(at.form).get("kind"));
}

function refresh() {
  at.timeLabel.hidden = kind() !== "middle";
  at.timeValue.value = Number(at.time.value).toFixed(2);
  if (!state.clip && !state.pictures.length) return;
  const given = state.clip?.size ?? state.pictures[0];
  const size = workSize();
  const smaller = size.width !== given.width || size.height !== given.height;
  at.inputNote.textContent = smaller ? `Scaled from ${given.width}x${given.height} to ${size.width}x${size.height}: "longest side" decides.` : "";
}

// ---- the network ----------------------------------------------------------------------------------------------------

/** @param {string} device @param {string | File[]} source stays where it opens */
async function open(device, source = state.source) {
  if (source === state.source && state.opened?.device === device) return;
  state.opened = null;
  say("Loading the network");
  state.opened = await openArtifact({ source, options: { device, engine: new URL("../engine/", import.meta.url).href, proved: proved() } }, (done, total) => {
    say(`Loading the network: ${(done / 1e6).toFixed(1)} of ${(total / 1e6).toFixed(1)} MB`);
    at.progress.value = total ? done / total : 0;
  });
  if (source !== state.source) for (const other of ["wasm", "webgpu"]) tell(other, "not run", "-", "-");
  state.source = source;
  const { manifest, threads, engine } = state.opened;
  at.artifactNote.textContent = `${manifest.name} on ${engine}` + (device === "wasm" ? `, ${threads} thread${threads === 1 ? " (this page is not cross-origin isolated, there is one core, or threads did not start)" : "s"}` : "");
  if (state.opened.verdict === "passed") tell(device, "passed", "before, in this browser", "");
}

/** Prove what is open. @returns {Promise<boolean>} whether it passed */
async function verify() {
  const { device, conditions } = state.opened;
  say(`Proving the network on the ${device === "wasm" ? "CPU" : "GPU"}`);
  const record = await ask("verify", {}, (done, total) => {
    say(`Proving the network on the ${device === "wasm" ? "CPU" : "GPU"}: frame ${Math.min(done + 1, total)} of ${total}`);
    at.progress.value = done / total;
  });
  const passed = record.verdict === "passed";
  remember(conditions, passed);
  state.opened.verdict = record.verdict;
  const psnr = Math.min(...record.results.map((/** @type {any} */ result) => result.psnr ?? -Infinity));
  const error = Math.max(...record.results.map((/** @type {any} */ result) => result.max_error ?? Infinity));
  tell(device, record.verdict, `${psnr.toFixed(1)} dB`, error.toExponential(1), record.adapter);
  say(passed ? `Proved in ${record.seconds.toFixed(0)} s: it is the same network here.` : `It came out wrong here: ${record.reason}`);
  return passed;
}

/** @param {string} device */
function tell(device, verdict = "", psnr = "", error = "", adapter = "") {
  const row = element(`proof-${device}`, HTMLTableRowElement);
  [`${device === "wasm" ? "CPU" : "GPU"}${adapter ? ` (${adapter})` : ""}`, verdict, psnr, error].forEach((text, i) => { row.cells[i].textContent = text; });
}

/** Open the device that was asked for; a GPU that comes out wrong gives way to the CPU, and the page says so. */
async function ready() {
  const wanted = at.device.value;
  try {
    await open(wanted);
    if (wanted === "wasm" || state.opened.verdict === "passed" || (await verify())) return "";
    throw new Error("this GPU computes the network wrongly");
  } catch (error) {
    if (wanted === "wasm" || message(error) === "stopped") throw error;
    at.device.value = "wasm";
    state.opened = null;
    await open("wasm");
    return `${message(error)}. The CPU is taken. `;
  }
}

// ---- making ---------------------------------------------------------------------------------------------------------

async function make() {
  const note = await ready();
  const place = where();
  const size = workSize();
  if (state.clip) return makeFilm(state.clip.frames(size), size, state.clip.rate, KINDS[kind()], state.clip.audio, note, place);
  const [first, second] = state.pictures.map((picture) => pixels(picture, size));
  if (kind() !== "middle") return makeFilm(pictureFrames(first, second), size, PICTURE_RATE, KINDS[kind()], null, note, place);
  say(`Computing ${size.width}x${size.height}`);
  const { image, ms } = await ask("interpolate", { first, second, t: Number(at.time.value) });
  show(at.ours, image);
  show(at.mean, average(first, second));
  const blob = await blobOf(at.ours);
  unlessStopped();
  offer(blob, "png");
  shown("picture");
  at.resultNote.textContent = `${note}${size.width}x${size.height}, t = ${Number(at.time.value)}: ${seconds(ms)} on ${place}.`;
}

/** @param {ImageData} first @param {ImageData} second */
async function* pictureFrames(first, second) {
  yield { image: first, timestamp: 0 };
  yield { image: second, timestamp: 1 / PICTURE_RATE };
}

/**
 * @param {AsyncIterable<{image: ImageData, timestamp: number}>} frames
 * @param {Size} size
 * @param {number} rate of the frames, in frames a second
 * @param {{times: number, slow: number}} how many times the frames, and how much slower
 * @param {any} audio
 * @param {string} note
 * @param {string} place where it is computed
 */
async function makeFilm(frames, size, rate, { times, slow }, audio, note, place) {
  const stretch = state.clip ? slow : 1;
  const film = await Film.create(size, (rate * times) / stretch, stretch === 1 ? audio : null);
  /** @type {number[]} */
  const spent = [];
  /** @type {{image: ImageData, timestamp: number} | null} */
  let before = null;
  let [origin, end, count, cuts] = [0, 0, 0, 0];
  try {
    for await (const frame of frames) {
      if (!before) origin = frame.timestamp;
      else {
        const gap = (frame.timestamp - before.timestamp) / times;
        const cut = Boolean(state.clip) && isCut(before.image, frame.image);
        cuts += Number(cut);
        for (let i = 0; i < times; i++) {
          const start = (before.timestamp - origin + i * gap) * stretch;
          await film.add(await between(before.image, frame.image, i / times, cut, spent), start, gap * stretch);
          end = start + gap * stretch;
        }
        if (spent.length) say(`Frame ${++count}: ${seconds(spent[spent.length - 1])} for each new one`);
        at.progress.value = (count % MOST_FRAMES) / MOST_FRAMES;
      }
      before = frame;
    }
    if (!before || !spent.length) throw new Error("the clip has no two frames of one shot: take a longer one");
    await film.add(before.image, end, stretch / rate);
    const { blob, extension } = await film.finish(origin, end + stretch / rate);
    unlessStopped();
    offer(blob, extension.replace(".", ""));
  } catch (error) {
    await film.cancel().catch(() => {});
    throw error;
  }
  at.video.src = at.download.href;
  shown("video");
  const sound = audio && !film.sound ? " Its sound is left out: it would not fit the pictures, or the file." : "";
  const shots = cuts ? ` ${cuts} scene cut${cuts === 1 ? "" : "s"} left as they are.` : "";
  at.resultNote.textContent = `${note}${size.width}x${size.height}, ${spent.length} new frames, ${seconds(median(spent))} each on ${place}.${shots}${sound}`;
}

/**
 * The frame at `t` from one frame to the next; across a cut the nearer of them.
 *
 * @param {ImageData} first
 * @param {ImageData} second
 * @param {number} t from 0
 * @param {boolean} cut
 * @param {number[]} spent receives the milliseconds
 */
async function between(first, second, t, cut, spent) {
  if (t === 0 || cut) return t < 0.5 ? first : second;
  const { image, ms } = await ask("interpolate", { first, second, t });
  spent.push(ms);
  return image;
}

/** @param {HTMLCanvasElement} canvas @returns {Promise<Blob>} */
function blobOf(canvas) {
  return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the browser has no memory for the picture: take a smaller side")))));
}

/** @param {Blob} blob @param {string} extension */
function offer(blob, extension) {
  if (state.result) URL.revokeObjectURL(state.result);
  state.result = URL.createObjectURL(blob);
  at.download.href = state.result;
  at.download.download = `${state.name || "frames"}-${kind()}.${extension}`;
  at.download.textContent = `Download ${at.download.download} (${amount(blob.size)})`;
}

/** @param {"picture" | "video"} what */
function shown(what) {
  at.result.hidden = false;
  at.stage.hidden = at.splitLabel.hidden = what !== "picture";
  at.video.hidden = what !== "video";
  say("Done.");
}

const starters = [at.make, at.verify, at.files, at.example, at.artifact];

/** Run one thing at a time; what goes wrong is said once, in a sentence. @param {() => Promise<unknown>} work */
async function busy(work) {
  if (state.busy) {
    at.trouble.textContent = "Something is being made: wait for it, or press Stop.";
    return;
  }
  state.busy = true;
  begin();
  at.trouble.textContent = "";
  for (const control of starters) control.disabled = true;
  at.cancel.hidden = at.progress.hidden = false;
  at.progress.value = 0;
  try {
    await work();
  } catch (error) {
    state.opened = null; // what failed may be the GPU, which opens again
    say("");
    if (message(error) !== "stopped") at.trouble.textContent = `${message(error)}.`;
    else say("Stopped.");
  } finally {
    state.busy = false;
    for (const control of starters) control.disabled = control === at.make && !state.clip && !state.pictures.length;
    at.cancel.hidden = at.progress.hidden = true;
  }
}

function where() {
  const { device, adapter, verdict } = state.opened;
  return `${device === "wasm" ? "the CPU" : `the GPU (${adapter})`}, ${verdict === "passed" ? "proved here" : "not proved in this browser yet"}`;
}

// ---- events ---------------------------------------------------------------------------------------------------------

at.files.addEventListener("change", () => busy(() => take([...(at.files.files ?? [])])));
// What is dropped beside the box would take the place of this page.
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => { if (event.target !== at.artifact) event.preventDefault(); });
at.drop.addEventListener("dragover", () => at.drop.classList.add("over"));
at.drop.addEventListener("dragleave", () => at.drop.classList.remove("over"));
at.drop.addEventListener("drop", (event) => {
  at.drop.classList.remove("over");
  busy(() => take([...(event.dataTransfer?.files ?? [])]));
});
at.example.addEventListener("click", () => busy(async () => {
  const names = ["frame0.webp", "frame1.webp"];
  const files = await Promise.all(names.map(async (name) => (await fetch(new URL(`example/${name}`, import.meta.url))).blob()));
  await takePictures(await Promise.all(files.map(decode)), names);
}));
at.form.addEventListener("submit", (event) => { event.preventDefault(); busy(make); });
at.form.addEventListener("input", refresh);
at.cancel.addEventListener("click", stop);
onEnd(() => { state.opened = null; });
at.split.addEventListener("input", () => at.stage.style.setProperty("--split", `${at.split.value}%`));
at.verify.addEventListener("click", () => busy(async () => {
  for (const device of "gpu" in navigator ? ["wasm", "webgpu"] : ["wasm"]) {
    try {
      await open(device);
      await verify();
    } catch (error) {
      if (device === "wasm" || message(error) === "stopped") throw error;
      tell(device, "cannot run", "-", "-");
      at.artifactNote.textContent = `${message(error)}.`;
    }
  }
}));
at.artifact.addEventListener("change", () => busy(async () => {
  try {
    await open(at.device.value, [...(at.artifact.files ?? [])]);
  } catch (error) {
    at.artifact.value = ""; // so that the same folder can be chosen again
    throw message(error) === "stopped" ? error : new Error(`${message(error)}. The network before it stays`);
  }
  say(`${state.opened.manifest.name} is open.`);
}));

if (!("gpu" in navigator)) tell("webgpu", "not run: this browser has no WebGPU", "-", "-");
chosen("for-pictures");
at.make.disabled = true;
document.documentElement.dataset.ready = "true";
