package ifrnet

import java.nio.ByteBuffer

/** The functions of ifrnet_jni.cpp. Texts go in as UTF-8; a status other than IFRNET_OK comes back as an exception. */
internal object Native {
    init {
        System.loadLibrary("ifrnet_jni")
    }

    @JvmStatic external fun version(): String

    /** Five texts for each device: name, description, driver, reason, and "1" where it is software. */
    @JvmStatic external fun devices(): Array<String>

    /** [options]: threads, unproven, precision. */
    @JvmStatic external fun open(folder: ByteArray, device: ByteArray, cache: ByteArray?, options: IntArray): Long

    @JvmStatic external fun openMemory(
        names: Array<ByteArray>,
        contents: Array<ByteBuffer>,
        device: ByteArray,
        cache: ByteArray?,
        options: IntArray
    ): Long

    /** Fills [numbers] (width, height, any timestep, proven, threads); gives the seven texts of `ifrnet_info`. */
    @JvmStatic external fun describe(handle: Long, numbers: IntArray): Array<String>

    /** Images as three buffers (null where there is none) and nine numbers each: img0, img1, then the outputs. */
    @JvmStatic external fun interpolate(handle: Long, planes: Array<ByteBuffer?>, numbers: IntArray, t: FloatArray)

    /** Seven numbers for each comparison: width, height, together, t, max_error, psnr, block_error. */
    @JvmStatic external fun verify(handle: Long): DoubleArray

    @JvmStatic external fun cancel(handle: Long)

    @JvmStatic external fun close(handle: Long)

    /** Of a direct buffer's first byte. */
    @JvmStatic external fun address(buffer: ByteBuffer): Long
}
