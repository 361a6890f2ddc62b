import CIfrnet
import CoreVideo

/// Locks pictures and passes them as the C ABI has them, without a copy.
func withImages<T>(
    _ buffers: [CVPixelBuffer], flags: CVPixelBufferLockFlags, _ body: ([ifrnet_image]) throws -> T
) throws -> T {
    var locked: [CVPixelBuffer] = []
    defer { locked.forEach { CVPixelBufferUnlockBaseAddress($0, flags) } }
    for buffer in buffers {
        let code = CVPixelBufferLockBaseAddress(buffer, flags)
        guard code == kCVReturnSuccess else { throw frameError("a CVPixelBuffer cannot be locked (\(code))") }
        locked.append(buffer)
    }
    return try body(buffers.map(lockedImage))
}

/// A new picture of the same size, format and colours.
func newBuffer(like buffer: CVPixelBuffer) throws -> CVPixelBuffer {
    let attributes = [kCVPixelBufferIOSurfacePropertiesKey: [:] as CFDictionary] as CFDictionary
    var made: CVPixelBuffer?
    let code = CVPixelBufferCreate(
        nil, CVPixelBufferGetWidth(buffer), CVPixelBufferGetHeight(buffer), CVPixelBufferGetPixelFormatType(buffer),
        attributes, &made)
    guard code == kCVReturnSuccess, let made else {
        throw IfrnetError(kind: .memory, message: "no CVPixelBuffer for the output (\(code))")
    }
    CVBufferPropagateAttachments(buffer, made)
    return made
}

/// A locked picture.
private func lockedImage(of buffer: CVPixelBuffer) throws -> ifrnet_image {
    var image = ifrnet_image()
    image.size = UInt32(MemoryLayout<ifrnet_image>.stride)
    image.width = Int32(CVPixelBufferGetWidth(buffer))
    image.height = Int32(CVPixelBufferGetHeight(buffer))
    let layout = try pixelLayout(of: buffer)
    image.layout = Int32(layout.rawValue)
    if layout == IFRNET_BGRA {
        image.plane.0 = CVPixelBufferGetBaseAddress(buffer)
        image.stride.0 = CVPixelBufferGetBytesPerRow(buffer)
        image.bytes.0 = image.stride.0 * CVPixelBufferGetHeight(buffer)
        return image
    }
    image.plane.0 = CVPixelBufferGetBaseAddressOfPlane(buffer, 0)
    image.plane.1 = CVPixelBufferGetBaseAddressOfPlane(buffer, 1)
    image.stride.0 = CVPixelBufferGetBytesPerRowOfPlane(buffer, 0)
    image.stride.1 = CVPixelBufferGetBytesPerRowOfPlane(buffer, 1)
    image.bytes.0 = image.stride.0 * CVPixelBufferGetHeightOfPlane(buffer, 0)
    image.bytes.1 = image.stride.1 * CVPixelBufferGetHeightOfPlane(buffer, 1)
    image.range = Int32((isFullRange(buffer) ? IFRNET_FULL : IFRNET_LIMITED).rawValue)
    image.matrix = Int32(try matrix(of: buffer).rawValue)
    image.chroma = Int32(try chroma(of: buffer).rawValue)
    return image
}

private func pixelLayout(of buffer: CVPixelBuffer) throws -> ifrnet_layout {
    let format = CVPixelBufferGetPixelFormatType(buffer)
    switch format {
    case kCVPixelFormatType_32BGRA:
        return IFRNET_BGRA
    case kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange, kCVPixelFormatType_420YpCbCr8BiPlanarFullRange:
        return IFRNET_NV12
    case kCVPixelFormatType_420YpCbCr10BiPlanarVideoRange, kCVPixelFormatType_420YpCbCr10BiPlanarFullRange:
        return IFRNET_P010
    default:
        let code = withUnsafeBytes(of: format.bigEndian) { String(decoding: $0, as: UTF8.self) }
        throw frameError("a CVPixelBuffer of format \(code), expected BGRA, 420v, 420f, x420 or xf20")
    }
}

private func isFullRange(_ buffer: CVPixelBuffer) -> Bool {
    let format = CVPixelBufferGetPixelFormatType(buffer)
    return format == kCVPixelFormatType_420YpCbCr8BiPlanarFullRange
        || format == kCVPixelFormatType_420YpCbCr10BiPlanarFullRange
}

private func attachment(_ buffer: CVPixelBuffer, _ key: CFString) -> String? {
    CVBufferCopyAttachment(buffer, key, nil) as? String
}

/// Untagged pictures are BT.709 from 720 lines up and BT.601 below.
private func matrix(of buffer: CVPixelBuffer) throws -> ifrnet_matrix {
    switch attachment(buffer, kCVImageBufferYCbCrMatrixKey) {
    case nil: return CVPixelBufferGetHeight(buffer) >= 720 ? IFRNET_BT709 : IFRNET_BT601
    case String(kCVImageBufferYCbCrMatrix_ITU_R_709_2): return IFRNET_BT709
    case String(kCVImageBufferYCbCrMatrix_ITU_R_601_4): return IFRNET_BT601
    case String(kCVImageBufferYCbCrMatrix_ITU_R_2020): return IFRNET_BT2020
    case let .some(other):
        throw frameError("a CVPixelBuffer with the matrix \(other), expected BT.709, BT.601 or BT.2020")
    }
}

private func chroma(of buffer: CVPixelBuffer) throws -> ifrnet_chroma {
    switch attachment(buffer, kCVImageBufferChromaLocationTopFieldKey) {
    case nil, String(kCVImageBufferChromaLocation_Left): return IFRNET_LEFT
    case String(kCVImageBufferChromaLocation_Center): return IFRNET_CENTER
    case String(kCVImageBufferChromaLocation_TopLeft): return IFRNET_TOPLEFT
    case let .some(other): throw frameError("a CVPixelBuffer with chroma at \(other), expected Left, Center or TopLeft")
    }
}

private func frameError(_ message: String) -> IfrnetError {
    IfrnetError(kind: .frame, message: message)
}
