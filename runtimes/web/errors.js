/** What was wrong with what the caller gave: its message is one sentence for the user. */
export class IfrnetError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = new.target.name;
  }
}

/** A folder that is no whole, unchanged artifact that this version reads. */
export class ArtifactError extends IfrnetError {}

/** Frames, or a time step, that the artifact does not take. */
export class FrameError extends IfrnetError {}

/** The engine cannot run here. */
export class EngineError extends IfrnetError {}
