package ifrnet

import android.content.res.AssetManager
import android.graphics.Bitmap
import android.graphics.ImageFormat
import android.media.Image
import android.media.MediaFormat
import java.nio.ByteBuffer

/**
 * A picture of `MediaCodec` or the camera as a frame, without a copy. Close the picture after the call that reads it:
 * its memory goes with it.
 *
 * @param yuv what the stream says of its colours: [yuvOf] reads it from a decoder's output format.
 * @throws FrameError another format than YUV_420_888, or planes that are neither apart nor interleaved.
 */
fun Image.asFrame(yuv: Yuv): Frame {
    if (format != ImageFormat.YUV_420_888) {
        throw FrameError("a picture of format $format, expected YUV_420_888: ask for COLOR_FormatYUV420Flexible")
    }
    if (cropRect.left != 0 || cropRect.top != 0) {
        throw FrameError("a picture whose crop begins at (${cropRect.left}, ${cropRect.top}), expected (0, 0): copy it")
    }
    return yuvFrame(
        cropRect.width(), cropRect.height(), planes.map { it.buffer }, planes.map { it.rowStride },
        planes[1].pixelStride, yuv
    )
}

/** What a decoder's output format says of the colours, and of untagged video what [Yuv.untagged] assumes. */
fun yuvOf(format: MediaFormat, height: Int): Yuv {
    fun tag(key: String) = if (format.containsKey(key)) format.getInteger(key) else 0
    val matrix = when (tag(MediaFormat.KEY_COLOR_STANDARD)) {
        MediaFormat.COLOR_STANDARD_BT709 -> Matrix.BT709
        MediaFormat.COLOR_STANDARD_BT601_PAL, MediaFormat.COLOR_STANDARD_BT601_NTSC -> Matrix.BT601
        MediaFormat.COLOR_STANDARD_BT2020 -> Matrix.BT2020
        else -> Yuv.untagged(height).matrix
    }
    val full = tag(MediaFormat.KEY_COLOR_RANGE) == MediaFormat.COLOR_RANGE_FULL
    return Yuv(matrix, if (full) Range.FULL else Range.LIMITED)
}

/** A copy of an ARGB_8888 picture. */
fun Bitmap.toFrame(): Frame {
    if (config != Bitmap.Config.ARGB_8888) {
        throw FrameError("a Bitmap of $config, expected ARGB_8888: copy(Bitmap.Config.ARGB_8888, false) makes one")
    }
    val pixels = ByteBuffer.allocateDirect(rowBytes * height)
    copyPixelsToBuffer(pixels)
    pixels.rewind()
    return Frame(Layout.RGBA, width, height, listOf(pixels), listOf(rowBytes))
}

/** A picture to show, of an RGBA frame of [Frame.allocate]. */
fun Frame.toBitmap(): Bitmap {
    if (layout != Layout.RGBA || strides[0] != 4 * width) {
        throw FrameError("$layout with rows of ${strides[0]} bytes, expected RGBA with rows of ${4 * width}")
    }
    return Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888).also { it.copyPixelsFromBuffer(plane(0)) }
}

/**
 * An artifact out of an app's assets.
 *
 * @param folder inside `assets`.
 * @throws ArtifactError there is no such folder, or it is empty.
 */
fun openAssets(assets: AssetManager, folder: String, options: Options = Options()): Ifrnet {
    val names = assets.list(folder).orEmpty()
    if (names.isEmpty()) {
        throw ArtifactError("no files in the asset folder $folder: copy an artifact to src/main/assets/$folder")
    }
    return Ifrnet.open(names.associate { it to readAsset(assets, "$folder/$it") }, options)
}

private fun readAsset(assets: AssetManager, path: String): ByteBuffer {
    val bytes = assets.open(path).use { it.readBytes() }
    return ByteBuffer.allocateDirect(bytes.size).apply {
        put(bytes)
        rewind()
    }
}
