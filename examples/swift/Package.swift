// swift-tools-version: 5.9
import PackageDescription

let package = Package(
    name: "IfrnetKit",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [
        .library(name: "IfrnetKit", targets: ["IfrnetKit"]),
        .library(name: "IfrnetSample", targets: ["IfrnetSample"]),
    ],
    targets: [
        // Made by build_xcframework.sh: the static library, ifrnet.h and CIfrnet/module.modulemap.
        .binaryTarget(name: "CIfrnet", path: "CIfrnet.xcframework"),
        .target(name: "IfrnetKit", dependencies: ["CIfrnet"], linkerSettings: [.linkedLibrary("c++")]),
        .target(name: "IfrnetSample", dependencies: ["IfrnetKit"]),
    ]
)
