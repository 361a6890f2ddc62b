import CIfrnet
import CoreVideo
import Foundation

/// A loaded artifact. Calls run one after the other on a queue of its own; it is released with its last reference.
public final class Ifrnet: @unchecked Sendable {
    /// What to do with an artifact that no verdict covers on this device.
    public enum Unproven: Sendable {
        case refuse, prove, allow, inspect
    }

    public struct Options: Sendable {
        /// "cpu"; never another device than the one that is named.
        public var device = "cpu"
        /// 0: one for each fast core.
        public var threads = 0
        public var unproven = Unproven.refuse
        /// Compute in float32 whatever the weights are stored in.
        public var float32 = false
        /// Folder for verdicts, where the artifact's cannot be written; nil keeps nothing.
        public var cache = FileManager.default.urls(for: .cachesDirectory, in: .userDomainMask).first

        public init() {}
    }

    public struct Info: Sendable {
        public let width: Int
        public let height: Int
        /// Whether any 0 < t < 1 is served; otherwise t = 0.5 only.
        public let anyTimestep: Bool
        public let proven: Bool
        public let threads: Int
        public let name: String
        public let device: String
        public let precision: String
        public let arithmetic: String
        /// Why it is not proven; "" when it is, or why its verdict could not be kept.
        public let reason: String
    }

    private let runtime: OpaquePointer
    private let queue = DispatchQueue(label: "ifrnet", qos: .userInitiated)

    /// Opens an artifact's folder, for example one in the app's bundle. With `.prove` this takes as long as the proof.
    public convenience init(folder: URL, options: Options = Options()) throws {
        self.init(runtime: try opened(options) { ifrnet_open(folder.path, $0, $1) })
    }

    /// The same from memory: file names and contents, the manifest among them.
    public convenience init(files: [String: Data], options: Options = Options()) throws {
        let contents = files.map { ($0.key, $0.value as NSData) }
        let names = contents.map { strdup($0.0) }
        defer { names.forEach { free($0) } }
        let list = zip(names, contents).map { ifrnet_file(name: $0, data: $1.1.bytes, bytes: $1.1.length) }
        let runtime = try withExtendedLifetime(contents) {
            try opened(options) { ifrnet_open_memory(list, list.count, $0, $1) }
        }
        self.init(runtime: runtime)
    }

    /// Opens a folder without blocking the caller.
    public static func open(folder: URL, options: Options = Options()) async throws -> Ifrnet {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global(qos: .userInitiated).async {
                continuation.resume(with: Result { try Ifrnet(folder: folder, options: options) })
            }
        }
    }

    private init(runtime: OpaquePointer) {
        self.runtime = runtime
    }

    deinit {
        ifrnet_close(runtime)
    }

    public func describe() throws -> Info {
        var info = ifrnet_info()
        info.size = UInt32(MemoryLayout<ifrnet_info>.stride)
        try check(ifrnet_describe(runtime, &info))
        return Info(
            width: Int(info.width), height: Int(info.height), anyTimestep: info.any_timestep == 1,
            proven: info.proven == 1, threads: Int(info.threads), name: text(info.name), device: text(info.device),
            precision: text(info.precision), arithmetic: text(info.arithmetic), reason: text(info.reason))
    }

    /// The frame at `t` between two, in the first one's format and colours. Cancelling the task ends the call early.
    public func interpolate(
        _ first: CVPixelBuffer, _ second: CVPixelBuffer, at t: Float = 0.5
    ) async throws -> CVPixelBuffer {
        try await interpolate(first, second, at: [t])[0]
    }

    /// The frames at several time steps; the pair is encoded once.
    public func interpolate(
        _ first: CVPixelBuffer, _ second: CVPixelBuffer, at steps: [Float]
    ) async throws -> [CVPixelBuffer] {
        let pair = Pair(first: first, second: second)
        let job = Job()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                queue.async {
                    continuation.resume(with: Result { try job.run { try self.compute(pair, at: steps) } })
                }
            }
        } onCancel: {
            job.cancel { ifrnet_cancel(self.runtime) }
        }
    }

    /// Runs the artifact's proof and keeps the verdict; throws `IfrnetError` of kind `.parity` when it failed.
    public func verify() async throws {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, Error>) in
            queue.async {
                var count = 0
                continuation.resume(with: Result { try check(ifrnet_verify(self.runtime, nil, &count)) })
            }
        }
    }

    private func compute(_ pair: Pair, at steps: [Float]) throws -> [CVPixelBuffer] {
        let outputs = try steps.map { _ in try newBuffer(like: pair.first) }
        try withImages([pair.first, pair.second], flags: .readOnly) { inputs in
            try withImages(outputs, flags: []) { images in
                try inputs.withUnsafeBufferPointer { input in
                    let first = input.baseAddress!
                    try check(ifrnet_interpolate(runtime, first, first + 1, steps, steps.count, images))
                }
            }
        }
        return outputs
    }
}

/// Two pictures on their way to the queue; nobody writes to them meanwhile.
private struct Pair: @unchecked Sendable {
    let first: CVPixelBuffer
    let second: CVPixelBuffer
}

/// One call on the queue, so that a task that is cancelled ends its own call and no other's.
private final class Job: @unchecked Sendable {
    private let lock = NSLock()
    private var running = false
    private var cancelled = false

    func run<T>(_ body: () throws -> T) throws -> T {
        try lock.withLock {
            if cancelled { throw CancellationError() }
            running = true
        }
        defer { lock.withLock { running = false } }
        return try body()
    }

    func cancel(_ stop: () -> Void) {
        lock.withLock {
            cancelled = true
            if running { stop() }
        }
    }
}

private typealias Open = (UnsafePointer<ifrnet_options>, UnsafeMutablePointer<OpaquePointer?>) -> ifrnet_status

private func opened(_ options: Ifrnet.Options, _ open: Open) throws -> OpaquePointer {
    guard ifrnet_abi() == UInt32(IFRNET_ABI) else {
        throw IfrnetError(
            kind: .runtimes,
            message: "libifrnet has ABI \(ifrnet_abi()), expected \(IFRNET_ABI): build both from one checkout")
    }
    var runtime: OpaquePointer?
    let status = options.device.withCString { device -> ifrnet_status in
        (options.cache?.path ?? "").withCString { cache -> ifrnet_status in
            var values = ifrnet_options()
            values.size = UInt32(MemoryLayout<ifrnet_options>.stride)
            values.threads = Int32(options.threads)
            values.device = device
            values.unproven = Int32(unproven(options.unproven).rawValue)
            values.precision = Int32((options.float32 ? IFRNET_FLOAT32 : IFRNET_AS_EXPORTED).rawValue)
            values.cache = cache
            return open(&values, &runtime)
        }
    }
    try check(status)
    return runtime! // IFRNET_OK promises it
}

private func unproven(_ choice: Ifrnet.Unproven) -> ifrnet_unproven {
    switch choice {
    case .refuse: return IFRNET_REFUSE
    case .prove: return IFRNET_PROVE
    case .allow: return IFRNET_ALLOW
    case .inspect: return IFRNET_INSPECT
    }
}

/// A C array of characters, up to its zero.
private func text<Characters>(_ characters: Characters) -> String {
    withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
}
