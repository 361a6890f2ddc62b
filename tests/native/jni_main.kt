// Runs the Kotlin class of examples/android on this machine's JVM, over stub_library.c. Prints a line for each check.
import ifrnet.*
import java.nio.ByteBuffer
import kotlin.concurrent.thread

fun expect(name: String, found: Any?, expected: Any?) {
    check(found == expected) { "$name: got $found, expected $expected" }
    println("ok $name")
}

fun thrown(call: () -> Any?): String = try {
    call()
    "nothing"
} catch (error: Throwable) {
    error.javaClass.name
}

fun direct(vararg values: Int): ByteBuffer =
    ByteBuffer.allocateDirect(values.size).apply { values.forEach { put(it.toByte()) } }.apply { rewind() }

fun values(buffer: ByteBuffer): List<Int> = List(buffer.capacity()) { buffer.get(it).toInt() and 255 }

/** As `use`, which an old Kotlin has for Closeable only. */
fun Ifrnet.closedAfter(body: (Ifrnet) -> Unit) = try {
    body(this)
} finally {
    close()
}

fun slice(buffer: ByteBuffer, from: Int, to: Int): ByteBuffer =
    buffer.duplicate().apply { position(from) }.apply { limit(to) }.slice()

/** A decoder's picture of 4x2: rows of 4 bytes, U and V one byte apart in memory that both share. */
fun picture(y: Int, chroma: ByteBuffer, first: Int): Frame {
    val last = chroma.capacity()
    val u = slice(chroma, first, last - 1 + first)
    val v = slice(chroma, 1 - first, last - first)
    return yuvFrame(4, 2, listOf(direct(y, y, y, y, y, y, y, y), u, v), listOf(4, 4, 4), 2)
}

fun statuses() {
    val names = "Runtimes Artifact Backend Parity Frame Timestep Memory Cancelled Internal".split(" ")
    names.forEachIndexed { i, name ->
        expect("status ${i + 1}", thrown { Ifrnet.open("status:${i + 1}") }, "ifrnet.${name}Error")
    }
    val message = try { Ifrnet.open("status:2 caf\u00e9\n") } catch (error: ArtifactError) { error.message }
    expect("message", message, "status:2 caf???")
    expect("device", thrown { Ifrnet.open("folder", Options(device = "vulkan:7")) }, "ifrnet.BackendError")
}

fun descriptions() {
    expect("version", Ifrnet.version(), "stub")
    expect("devices", Ifrnet.devices().map { Triple(it.name, it.description, it.software) },
        listOf(Triple("cpu", "caf??", false), Triple("vulkan:0", "", true)))
    Ifrnet.open("folder").closedAfter {
        expect("info", it.describe(), Info(6, 4, true, true, 2, "name", "cpu", "fp32", "fp16", "", "identity", "{}"))
        expect("verify", it.verify(), listOf(Comparison(6, 4, true, 0.5f, 0.25, 60.0, 0.125)))
    }
}

fun memory() {
    // "{}" between two letters: the position and the limit count
    val padded = direct(120, 123, 125, 120).apply { position(1) }.apply { limit(3) }
    Ifrnet.open(mapOf("model.bin" to direct(1), "manifest.json" to padded)).closedAfter {
        expect("memory", it.describe().width, 6)
    }
    expect("no manifest", thrown { Ifrnet.open(mapOf("model.bin" to direct(1))) }, "ifrnet.ArtifactError")
    expect("heap file", thrown { Ifrnet.open(mapOf("a" to ByteBuffer.allocate(1))) }, "ifrnet.RuntimesError")
}

fun frames(ifrnet: Ifrnet) {
    val img0 = Frame(Layout.RGBA, 1, 2, listOf(direct(0, 2, 4, 255, 9, 8, 6, 4, 2)), listOf(5))
    val img1 = Frame(Layout.RGBA, 1, 2, listOf(direct(10, 2, 0, 255, 9, 0, 0, 0, 0)), listOf(5))
    val output = Frame.allocate(Layout.RGBA, 1, 2)
    ifrnet.interpolate(img0, img1, output)
    expect("middle", values(output.plane(0)), listOf(5, 2, 2, 255, 4, 3, 2, 1))
    val outputs = List(2) { Frame.allocate(Layout.RGBA, 1, 2) }
    ifrnet.interpolate(img0, img1, floatArrayOf(0.5f, 0.25f), outputs)
    expect("several", outputs.map { values(it.plane(0))[4] }, listOf(4, 6))
    expect("copy", values(img0.copy().plane(0)), values(img0.plane(0)))

    expect("t", thrown { ifrnet.interpolate(img0, img1, output, 1.5f) }, "ifrnet.TimestepError")
    expect("t and outputs", thrown { ifrnet.interpolate(img0, img1, floatArrayOf(), outputs) }, "ifrnet.RuntimesError")
    val short = Frame(Layout.RGBA, 1, 2, listOf(direct(0, 0, 0, 0, 0, 0, 0)), listOf(4))
    expect("short", thrown { ifrnet.interpolate(short, img1, output) }, "ifrnet.FrameError")
    val fixed = Frame(Layout.RGBA, 1, 2, listOf(ByteBuffer.allocateDirect(8).asReadOnlyBuffer()), listOf(4))
    expect("read-only", thrown { ifrnet.interpolate(img0, img1, fixed) }, "ifrnet.FrameError")
    expect("read-only input", thrown { ifrnet.interpolate(fixed, img1, output) }, "nothing")
    expect("heap", thrown { Frame(Layout.RGBA, 1, 2, listOf(ByteBuffer.allocate(8)), listOf(4)) }, "ifrnet.FrameError")
    expect("planes", thrown { Frame(Layout.I420, 1, 2, listOf(direct(1)), listOf(1)) }, "ifrnet.FrameError")
    expect("strides", thrown { Frame(Layout.RGB, 1, 1, listOf(direct(1, 2, 3)), listOf(3, 3)) }, "ifrnet.FrameError")
}

fun pictures(ifrnet: Ifrnet) {
    val dark = picture(10, direct(1, 2, 3, 4), 0)
    val light = picture(30, direct(5, 6, 7, 8), 0)
    expect("NV12", dark.layout, Layout.NV12)
    val output = Frame.allocate(Layout.NV12, 4, 2)
    ifrnet.interpolate(dark, light, output)
    expect("luma", values(output.plane(0)).toSet(), setOf(20))
    expect("chroma to the last byte", values(output.plane(1)), listOf(3, 4, 5, 6))
    val copied = dark.copy()
    expect("copied chroma", values(copied.plane(1)), listOf(1, 2, 3, 4))
    expect("NV21", picture(1, direct(1, 2, 3, 4), 1).layout, Layout.NV21)
    expect("copied NV21", values(picture(1, direct(1, 2, 3, 4), 1).copy().plane(1)), listOf(1, 2, 3, 4))

    val planes = listOf(8, 2, 2).map { ByteBuffer.allocateDirect(it) }
    expect("I420", yuvFrame(4, 2, planes, listOf(4, 2, 2), 1).layout, Layout.I420)
    expect("far apart", thrown { yuvFrame(4, 2, planes, listOf(4, 2, 2), 2) }, "ifrnet.FrameError")
    expect("P010 with V", thrown { Frame(Layout.P010, 4, 2, planes, listOf(8, 8)) }, "ifrnet.FrameError")
    val strangers = Frame(Layout.NV12, 4, 2, planes, listOf(4, 4))
    expect("strangers", thrown { ifrnet.interpolate(strangers, light, output) }, "ifrnet.FrameError")
    expect("BT.601", Yuv.untagged(719).matrix, Matrix.BT601)
    expect("BT.709", Yuv.untagged(720).matrix, Matrix.BT709)
}

/** Closing during a call, from another thread: the call finishes, and nothing uses a closed handle. */
fun closing() {
    val ifrnet = Ifrnet.open("folder")
    val images = List(3) { Frame.allocate(Layout.RGB, 1, 1) }
    var slow = "not run"
    val call = thread { slow = thrown { ifrnet.interpolate(images[0], images[1], images[2], 0.75f) } }
    Thread.sleep(100)
    ifrnet.close()
    expect("closed", thrown { ifrnet.describe() }, "ifrnet.RuntimesError")
    call.join()
    expect("the call finished", slow, "nothing")
    ifrnet.close()
    println("ok closed twice")
}

fun cancelling() {
    val ifrnet = Ifrnet.open("folder")
    val images = List(3) { Frame.allocate(Layout.RGB, 1, 1) }
    var slow = "not run"
    val call = thread { slow = thrown { ifrnet.interpolate(images[0], images[1], images[2], 0.75f) } }
    Thread.sleep(100)
    ifrnet.cancel()
    call.join()
    expect("cancelled", slow, "ifrnet.CancelledError")
    ifrnet.close()
    expect("cancel after close", thrown { ifrnet.cancel() }, "ifrnet.RuntimesError")
}

fun main() {
    statuses()
    descriptions()
    memory()
    Ifrnet.open("folder").closedAfter {
        frames(it)
        pictures(it)
    }
    closing()
    cancelling()
    println("all checks ran")
}
