/** Clips: frames out of a file, frames into a file, with their times. Mediabunny reads and writes the containers. */

import * as media from "../media/mediabunny.min.mjs";
import { painted } from "./pictures.js";

export const MOST_FRAMES = 240; // of a clip, some seconds: a browser is no place for a film
const CODECS = /** @type {const} */ (["vp9", "vp8", "avc", "av1"]);

/** A clip that the browser decodes. */
export class Clip {
  /** @param {Blob} file @returns {Promise<Clip>} */
  static async open(file) {
    const input = new media.Input({ source: new media.BlobSource(file), formats: media.ALL_FORMATS });
    const name = file instanceof File ? file.name : "the clip";
    if (!(await input.canRead().catch(() => false))) throw new Error(`${name} is no video that is known here: take an MP4 or WebM`);
    const track = await input.getPrimaryVideoTrack();
    if (!track) throw new Error(`${name} has no picture in it: take a video`);
    if (!(await track.canDecode())) {
      throw new Error(`this browser cannot decode ${name} (${track.codec ?? "an unknown codec"}): take H.264, VP9 or AV1`);
    }
    const audio = await input.getPrimaryAudioTrack();
    const stats = await track.computePacketStats(MOST_FRAMES);
    return new Clip(track, audio, { width: track.displayWidth, height: track.displayHeight }, stats.averagePacketRate);
  }

  /** @param {any} track @param {any} audio @param {{width: number, height: number}} size @param {number} rate */
  constructor(track, audio, size, rate) {
    this.track = track;
    this.audio = audio;
    this.size = size;
    this.rate = rate;
  }

  /**
   * Its frames with their times in seconds, the first {@link MOST_FRAMES}.
   *
   * @param {{width: number, height: number}} size
   */
  async *frames(size) {
    let count = 0;
    for await (const sample of new media.VideoSampleSink(this.track).samples()) {
      // A sample is drawn upright, its VideoFrame as the camera held it.
      const image = painted(size, (context) => sample.draw(context, 0, 0, size.width, size.height));
      const { timestamp } = sample;
      sample.close();
      if (count++ === MOST_FRAMES) return;
      yield { image, timestamp };
    }
  }
}

/** A file that frames are written into. */
export class Film {
  /**
   * @param {{width: number, height: number}} size
   * @param {number} rate in frames a second
   * @param {any} audio a track that is copied, or null
   */
  static async create(size, rate, audio) {
    const [webm, mp4] = [new media.WebMOutputFormat(), new media.Mp4OutputFormat()];
    const [inWebm, inMp4] = [webm, mp4].map((file) => file.getSupportedAudioCodecs().includes(audio?.codec)); // no WebM holds AAC
    const codec = await media.getFirstEncodableVideoCodec(inMp4 && !inWebm ? ["avc", ...CODECS] : [...CODECS], size);
    if (!codec) throw new Error("this browser cannot write video (it has no VideoEncoder): make one frame instead, or take Chrome, Edge or Safari");
    const format = codec === "avc" ? mp4 : webm;
    const output = new media.Output({ format, target: new media.BufferTarget() });
    const canvas = new OffscreenCanvas(size.width, size.height);
    const picture = new media.CanvasSource(canvas, { codec, bitrate: media.QUALITY_VERY_HIGH });
    output.addVideoTrack(picture, { frameRate: rate });
    const copied = (codec === "avc" ? inMp4 : inWebm) ? audio : null;
    const sound = copied && new media.EncodedAudioPacketSource(copied.codec);
    if (sound) output.addAudioTrack(sound);
    await output.start();
    return new Film(output, canvas, picture, sound, copied);
  }

  /** @param {any} output @param {OffscreenCanvas} canvas @param {any} picture @param {any} sound @param {any} audio */
  constructor(output, canvas, picture, sound, audio) {
    this.output = output;
    this.context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.picture = picture;
    this.sound = sound;
    this.audio = audio;
  }

  /** @param {ImageData} image @param {number} timestamp in seconds @param {number} duration in seconds */
  async add(image, timestamp, duration) {
    this.context.putImageData(image, 0, 0);
    await this.picture.add(timestamp, duration);
  }

  /**
   * @param {number} origin in seconds, of the clip: there the film begins
   * @param {number} end in seconds, of the film: sound is copied up to there
   */
  async finish(origin, end) {
    if (this.sound) {
      const decoderConfig = await this.audio.getDecoderConfig();
      for await (const packet of new media.EncodedPacketSink(this.audio).packets()) {
        const timestamp = packet.timestamp - origin;
        if (timestamp > end) break;
        if (timestamp >= 0) await this.sound.add(packet.clone({ timestamp }), { decoderConfig });
      }
    }
    await this.output.finalize();
    const { mimeType, fileExtension } = this.output.format;
    return { blob: new Blob([this.output.target.buffer], { type: mimeType }), extension: fileExtension };
  }

  async cancel() {
    await this.output.cancel();
  }
}

