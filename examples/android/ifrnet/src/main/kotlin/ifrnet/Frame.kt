package ifrnet

import java.nio.ByteBuffer

/** How the pixels of a [Frame] lie in memory; the order is that of `ifrnet_layout`. */
enum class Layout(internal val planes: Int) {
    /** 3 bytes a pixel. */
    RGB(1),
    BGR(1),

    /** 4 bytes a pixel, as in an ARGB_8888 `Bitmap`; alpha is not read, and written as 255. */
    RGBA(1),
    BGRA(1),

    /** Planes Y, then U and V side by side at half size, rounded up. */
    NV12(2),

    /** The same with V before U. */
    NV21(2),

    /** Planes Y, U, V. */
    I420(3),

    /** As NV12 in 16 bits, the value in the upper ten. */
    P010(2)
}

enum class Matrix { BT709, BT601, BT2020 }

enum class Range { LIMITED, FULL }

/** Where the samples of U and V lie. */
enum class Chroma { LEFT, CENTER, TOPLEFT }

/** How a YUV frame's numbers become colours. Untagged video is BT.709 from 720 lines up and BT.601 below. */
data class Yuv(val matrix: Matrix, val range: Range = Range.LIMITED, val chroma: Chroma = Chroma.LEFT) {
    companion object {
        /** What untagged video of this height is taken as. */
        fun untagged(height: Int): Yuv = Yuv(if (height >= 720) Matrix.BT709 else Matrix.BT601)
    }
}

/**
 * A picture in memory of the caller's, for the time of a call.
 *
 * @param planes direct buffers, from position to limit, the upper row first. Where U and V share their memory, the
 *   Android camera and decoders give two buffers one byte apart, and neither covers the plane alone: pass both, with
 *   NV12 as Y, U, V and with NV21 as Y, V, U.
 * @param strides bytes from a row to the one below, one for each plane of the layout.
 * @throws FrameError a buffer that is not direct, or too few of them.
 */
class Frame(
    val layout: Layout,
    val width: Int,
    val height: Int,
    planes: List<ByteBuffer>,
    val strides: List<Int>,
    val yuv: Yuv = Yuv.untagged(height)
) {
    internal val buffers: List<ByteBuffer> = planes.map { it.slice() }
    internal val writable: Boolean = planes.none { it.isReadOnly }

    init {
        val shared = layout == Layout.NV12 || layout == Layout.NV21
        if (planes.size != layout.planes && !(shared && planes.size == 3)) {
            throw FrameError("$layout has ${layout.planes} planes, got ${planes.size} buffers")
        }
        if (strides.size != layout.planes) {
            throw FrameError("$layout has ${layout.planes} planes, got ${strides.size} strides")
        }
        if (planes.any { !it.isDirect }) {
            throw FrameError("the planes must be direct buffers (ByteBuffer.allocateDirect)")
        }
    }

    /** One plane's memory: a new view from its first byte to its last. */
    fun plane(index: Int): ByteBuffer = buffers[index].duplicate().apply { rewind() }

    /** The same picture in memory of its own. */
    fun copy(): Frame {
        val planes = List(layout.planes) { index ->
            val whole = plane(index)
            val tail = if (index == 1 && layout.planes == 2 && buffers.size == 3) plane(2) else ByteBuffer.allocate(0)
            tail.position(minOf(tail.capacity(), maxOf(whole.capacity() - 1, 0))) // it begins one byte after `whole`
            ByteBuffer.allocateDirect(whole.capacity() + tail.remaining()).put(whole).put(tail).apply { rewind() }
        }
        return Frame(layout, width, height, planes, strides, yuv)
    }

    /** What the JNI file reads, in the order that it knows. */
    internal fun numbers(): List<Int> {
        val rows = strides + List(3 - strides.size) { 0 }
        return listOf(layout.ordinal, width, height) + rows +
            listOf(yuv.matrix.ordinal, yuv.range.ordinal, yuv.chroma.ordinal)
    }

    companion object {
        /** A frame in new memory, without gaps between its rows. */
        fun allocate(layout: Layout, width: Int, height: Int, yuv: Yuv = Yuv.untagged(height)): Frame {
            val half = (width + 1) / 2
            val strides = when (layout) {
                Layout.RGB, Layout.BGR -> listOf(3 * width)
                Layout.RGBA, Layout.BGRA -> listOf(4 * width)
                Layout.NV12, Layout.NV21 -> listOf(width, 2 * half)
                Layout.I420 -> listOf(width, half, half)
                Layout.P010 -> listOf(2 * width, 4 * half)
            }
            val planes = strides.mapIndexed { plane, stride ->
                ByteBuffer.allocateDirect(Math.multiplyExact(stride, if (plane == 0) height else (height + 1) / 2))
            }
            return Frame(layout, width, height, planes, strides, yuv)
        }
    }
}

/**
 * Which layout three planes with 4:2:0 chroma have, as `Image` in YUV_420_888 gives them.
 *
 * @param pixelStride bytes between two samples of U, and of V.
 * @param u address of the first sample of U, and [v] of V: what lies first decides between NV12 and NV21.
 * @throws FrameError planes that are neither apart nor interleaved.
 */
fun yuvLayout(pixelStride: Int, u: Long, v: Long): Layout = when {
    pixelStride == 1 -> Layout.I420
    pixelStride == 2 && v - u == 1L -> Layout.NV12
    pixelStride == 2 && u - v == 1L -> Layout.NV21
    else -> throw FrameError(
        "U and V with $pixelStride bytes between samples and V ${v - u} bytes after U are no NV12, NV21 or I420: " +
            "copy them into a frame of Frame.allocate"
    )
}

/**
 * A frame over three planes with 4:2:0 chroma, without a copy.
 *
 * @param planes Y, U, V: direct buffers.
 * @param rowStrides bytes from row to row of each, and [pixelStride] from sample to sample of U and V.
 * @throws FrameError planes that are neither apart nor interleaved.
 */
fun yuvFrame(
    width: Int,
    height: Int,
    planes: List<ByteBuffer>,
    rowStrides: List<Int>,
    pixelStride: Int,
    yuv: Yuv = Yuv.untagged(height)
): Frame {
    val (y, u, v) = planes.map { it.slice() }
    return when (val layout = yuvLayout(pixelStride, Native.address(u), Native.address(v))) {
        Layout.I420 -> Frame(layout, width, height, listOf(y, u, v), rowStrides, yuv)
        Layout.NV12 -> Frame(layout, width, height, listOf(y, u, v), rowStrides.take(2), yuv)
        else -> Frame(layout, width, height, listOf(y, v, u), listOf(rowStrides[0], rowStrides[2]), yuv)
    }
}
