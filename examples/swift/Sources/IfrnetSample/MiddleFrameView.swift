import IfrnetKit
import PhotosUI
import SwiftUI

/// Proves an artifact on this device, then shows the frame between two pictures of the library.
///
///     MiddleFrameView(artifact: Bundle.main.url(forResource: "artifact", withExtension: nil)!)
public struct MiddleFrameView: View {
    @StateObject private var model: MiddleFrameModel
    @State private var chosen: [PhotosPickerItem] = []

    /// - Parameter artifact: the folder of an artifact of target ncnn.
    public init(artifact: URL) {
        _model = StateObject(wrappedValue: MiddleFrameModel(artifact: artifact))
    }

    public var body: some View {
        VStack(alignment: .leading, spacing: 12) {
            Text(model.verdict)
            PhotosPicker("Choose two pictures", selection: $chosen, maxSelectionCount: 2, matching: .images)
                .disabled(!model.ready)
            Text(model.outcome)
            if let middle = model.middle {
                Image(decorative: middle, scale: 1).resizable().scaledToFit()
            }
        }
        .padding()
        .task { await model.open() }
        .task(id: chosen) { await model.show(chosen) }
    }
}
