import CoreImage
import Foundation
import IfrnetKit
import PhotosUI
import SwiftUI

/// What the view shows, and the calls that change it.
@MainActor
final class MiddleFrameModel: ObservableObject {
    @Published private(set) var verdict = "Proving the artifact on this device..."
    @Published private(set) var outcome = ""
    @Published private(set) var middle: CGImage?
    @Published private(set) var ready = false

    private let artifact: URL
    private let context = CIContext()
    private var ifrnet: Ifrnet?

    init(artifact: URL) {
        self.artifact = artifact
    }

    func open() async {
        guard ifrnet == nil else { return }
        do {
            var options = Ifrnet.Options()
            options.unproven = .prove
            let opened = try await Ifrnet.open(folder: artifact, options: options)
            let info = try opened.describe()
            verdict = "\(info.name) on \(info.device) in \(info.arithmetic), \(info.threads) threads: "
                + (info.proven ? "proved here" : "not proved here: \(info.reason)")
            ifrnet = opened
            ready = true
        } catch {
            verdict = error.localizedDescription
        }
    }

    func show(_ chosen: [PhotosPickerItem]) async {
        guard let ifrnet, chosen.count == 2 else { return }
        do {
            let info = try ifrnet.describe()
            let first = try await picture(chosen[0], width: info.width, height: info.height)
            let second = try await picture(chosen[1], width: info.width, height: info.height)
            let begin = ContinuousClock.now
            let frame = try await ifrnet.interpolate(first, second)
            outcome = "\(info.width) x \(info.height) in \(ContinuousClock.now - begin)"
            let image = CIImage(cvPixelBuffer: frame)
            middle = context.createCGImage(image, from: image.extent)
        } catch is CancellationError {
            outcome = ""
        } catch {
            outcome = error.localizedDescription
        }
    }

    /// A picture in the artifact's size, scaled where it has another.
    private func picture(_ item: PhotosPickerItem, width: Int, height: Int) async throws -> CVPixelBuffer {
        guard let data = try await item.loadTransferable(type: Data.self), let image = CIImage(data: data) else {
            throw PictureError(errorDescription: "a chosen file is no picture")
        }
        var made: CVPixelBuffer?
        CVPixelBufferCreate(nil, width, height, kCVPixelFormatType_32BGRA, nil, &made)
        guard let made else { throw PictureError(errorDescription: "no memory for a picture of \(width) x \(height)") }
        let scale = CGAffineTransform(
            scaleX: CGFloat(width) / image.extent.width, y: CGFloat(height) / image.extent.height)
        context.render(image.transformed(by: scale), to: made)
        return made
    }
}

private struct PictureError: LocalizedError {
    let errorDescription: String?
}
