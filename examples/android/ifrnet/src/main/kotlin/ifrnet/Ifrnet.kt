package ifrnet

import java.nio.ByteBuffer

/** What to do with an artifact that no verdict covers on this device; the order is that of `ifrnet_unproven`. */
enum class Unproven { REFUSE, PROVE, ALLOW, INSPECT }

/** The order is that of `ifrnet_precision`. */
enum class Precision { AS_EXPORTED, FLOAT32 }

/**
 * How an artifact is opened.
 *
 * @param device "cpu", "vulkan:0", ...; never another one than is named.
 * @param threads 0: one for each fast core.
 * @param cache folder for verdicts and compiled shaders; on Android pass `context.cacheDir.path`. null is the library's
 *   choice, "" keeps nothing.
 */
data class Options(
    val device: String = "cpu",
    val threads: Int = 0,
    val unproven: Unproven = Unproven.REFUSE,
    val precision: Precision = Precision.AS_EXPORTED,
    val cache: String? = null
) {
    internal fun numbers(): IntArray = intArrayOf(threads, unproven.ordinal, precision.ordinal)
}

data class Device(
    val name: String,
    val description: String,
    val driver: String,
    /** Why it cannot be used; "" when it can. */
    val reason: String,
    val software: Boolean
)

data class Info(
    val width: Int,
    val height: Int,
    /** Whether any 0 < t < 1 is served; otherwise t = 0.5 only. */
    val anyTimestep: Boolean,
    val proven: Boolean,
    val threads: Int,
    val name: String,
    val device: String,
    val precision: String,
    val arithmetic: String,
    /** Why it is not proven; "" when it is, or why its verdict could not be kept. */
    val reason: String,
    val identity: String,
    val machine: String
)

data class Comparison(
    val width: Int,
    val height: Int,
    val together: Boolean,
    val t: Float,
    val maxError: Double,
    val psnr: Double,
    val blockError: Double
)

/**
 * A loaded artifact. Any thread may call it; calls run one after the other, so keep them off the main thread.
 *
 * Every call throws a [RuntimesError], or one derived from it.
 */
class Ifrnet private constructor(private var handle: Long) : AutoCloseable {
    private val lock = Any()
    private var calls = 0
    private var closed = false

    /** Size, time steps and verdict. */
    fun describe(): Info = held { handle ->
        val numbers = IntArray(5)
        val texts = Native.describe(handle, numbers)
        Info(
            numbers[0], numbers[1], numbers[2] == 1, numbers[3] == 1, numbers[4],
            texts[0], texts[1], texts[2], texts[3], texts[4], texts[5], texts[6]
        )
    }

    /**
     * Writes the frame at [t] between two into [output], whose layout may be another one.
     *
     * @throws FrameError another size than the artifact's, rows that leave their buffer, an output over an input.
     */
    fun interpolate(img0: Frame, img1: Frame, output: Frame, t: Float = 0.5f) =
        interpolate(img0, img1, floatArrayOf(t), listOf(output))

    /** The frames at several time steps; the pair is encoded once. */
    fun interpolate(img0: Frame, img1: Frame, t: FloatArray, outputs: List<Frame>) {
        if (t.size != outputs.size) {
            throw RuntimesError("${t.size} time steps need as many outputs, got ${outputs.size}")
        }
        if (!outputs.all { it.writable }) {
            throw FrameError("an output's buffers are read-only: pass memory that can be written, as of Frame.allocate")
        }
        val images = listOf(img0, img1) + outputs
        val planes = images.flatMap { image -> List(3) { image.buffers.getOrNull(it) } }
        val numbers = images.flatMap { it.numbers() }
        held { Native.interpolate(it, planes.toTypedArray(), numbers.toIntArray(), t) }
    }

    /**
     * Runs the artifact's proof and keeps the verdict.
     *
     * @throws ParityError it failed.
     */
    fun verify(): List<Comparison> = held { handle ->
        Native.verify(handle).toList().chunked(7).map {
            Comparison(it[0].toInt(), it[1].toInt(), it[2] == 1.0, it[3].toFloat(), it[4], it[5], it[6])
        }
    }

    /** Makes the call that runs now, if one does, throw [CancelledError] soon. From any thread. */
    fun cancel() = held { Native.cancel(it) }

    /** Releases the artifact, or lets the call that runs on another thread do so at its end. Closing twice is fine. */
    override fun close() {
        val mine = synchronized(lock) {
            val first = !closed
            closed = true
            first && calls == 0
        }
        if (mine) {
            Native.close(handle)
        }
    }

    /** Runs a call on the handle, which nobody closes meanwhile. */
    private fun <T> held(call: (Long) -> T): T {
        synchronized(lock) {
            if (closed) {
                throw RuntimesError("this artifact was closed: open it again with Ifrnet.open")
            }
            calls += 1
        }
        try {
            return call(handle)
        } finally {
            val last = synchronized(lock) {
                calls -= 1
                closed && calls == 0
            }
            if (last) {
                Native.close(handle)
            }
        }
    }

    companion object {
        private const val DEVICE_TEXTS = 5

        /** Versions of the library and of ncnn. */
        fun version(): String = Native.version()

        /** The devices here; looking for GPUs starts the Vulkan driver. */
        fun devices(): List<Device> = Native.devices().toList().chunked(DEVICE_TEXTS).map {
            Device(it[0], it[1], it[2], it[3], it[4] == "1")
        }

        /**
         * Opens an artifact's folder.
         *
         * @throws ArtifactError the files are not what the manifest says.
         * @throws ParityError it failed its proof here, or has no verdict and [Options.unproven] is REFUSE.
         */
        fun open(folder: String, options: Options = Options()): Ifrnet {
            val cache = options.cache?.toByteArray()
            return Ifrnet(Native.open(folder.toByteArray(), options.device.toByteArray(), cache, options.numbers()))
        }

        /** The same from memory: file names and direct buffers (from position to limit), the manifest among them. */
        fun open(files: Map<String, ByteBuffer>, options: Options = Options()): Ifrnet {
            if (files.values.any { !it.isDirect }) {
                throw RuntimesError("the files must be direct buffers (ByteBuffer.allocateDirect)")
            }
            val names = files.keys.map { it.toByteArray() }.toTypedArray()
            val contents = files.values.map { it.slice() }.toTypedArray()
            val cache = options.cache?.toByteArray()
            return Ifrnet(Native.openMemory(names, contents, options.device.toByteArray(), cache, options.numbers()))
        }
    }
}
