package ifrnet

/**
 * What a call of [Ifrnet] throws. The classes have the names of `runtimes.errors` in Python, one for each status of the
 * C ABI; the message says what was got, what is expected and what to do.
 */
open class RuntimesError(message: String) : RuntimeException(message)

/** No artifact, a changed one, or one of a newer format. */
class ArtifactError(message: String) : RuntimesError(message)

/** The device is missing, or it failed. */
class BackendError(message: String) : RuntimesError(message)

/** The artifact failed its proof on this device, or was never proved here. */
class ParityError(message: String) : RuntimesError(message)

/** An image of another size or layout, or memory too small for it. */
class FrameError(message: String) : RuntimesError(message)

/** A t that the checkpoint does not serve. */
class TimestepError(message: String) : RuntimesError(message)

/** Memory ran out; Python's `MemoryError`. */
class MemoryError(message: String) : RuntimesError(message)

/** [Ifrnet.cancel] was called. */
class CancelledError(message: String) : RuntimesError(message)

/** A bug in the library: report it. */
class InternalError(message: String) : RuntimesError(message)
