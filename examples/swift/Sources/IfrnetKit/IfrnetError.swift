import CIfrnet
import Foundation

/// What a call throws. The kinds have the names of `runtimes.errors` in Python; the message says what was got, what is
/// expected and what to do.
public struct IfrnetError: Error, LocalizedError, Sendable {
    public enum Kind: String, Sendable {
        /// A struct of another size, a library of another ABI.
        case runtimes = "RuntimesError"
        /// No artifact, a changed one, or one of a newer format.
        case artifact = "ArtifactError"
        /// The device is missing, or it failed.
        case backend = "BackendError"
        /// The artifact failed its proof on this device, or was never proved here.
        case parity = "ParityError"
        /// A picture of another size or format, or memory too small for it.
        case frame = "FrameError"
        /// A t that the checkpoint does not serve.
        case timestep = "TimestepError"
        case memory = "MemoryError"
        /// A bug in the library: report it.
        case `internal` = "InternalError"
    }

    public let kind: Kind
    public let message: String

    public var errorDescription: String? { "\(kind.rawValue): \(message)" }
}

/// Throws what the status says: `CancellationError`, or an `IfrnetError` with this thread's sentence.
func check(_ status: ifrnet_status) throws {
    let kind: IfrnetError.Kind
    switch status {
    case IFRNET_OK: return
    case IFRNET_CANCELLED: throw CancellationError()
    case IFRNET_ARTIFACT: kind = .artifact
    case IFRNET_BACKEND: kind = .backend
    case IFRNET_PARITY: kind = .parity
    case IFRNET_FRAME: kind = .frame
    case IFRNET_TIMESTEP: kind = .timestep
    case IFRNET_MEMORY: kind = .memory
    case IFRNET_INTERNAL: kind = .internal
    default: kind = .runtimes
    }
    throw IfrnetError(kind: kind, message: String(cString: ifrnet_error()))
}
