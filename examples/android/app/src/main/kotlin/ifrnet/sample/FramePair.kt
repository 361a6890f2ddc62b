package ifrnet.sample

import android.content.Context
import android.media.MediaCodec
import android.media.MediaCodecInfo.CodecCapabilities
import android.media.MediaExtractor
import android.media.MediaFormat
import android.net.Uri
import ifrnet.Frame
import ifrnet.asFrame
import ifrnet.yuvOf
import java.io.IOException

/**
 * The first two frames of a video, in memory of their own, for `MediaCodec` takes its memory back with every frame.
 *
 * A player would keep the decoder's frame until the next one is there, and pass both to `interpolate` without a copy.
 */
class FramePair private constructor(
    private val codec: MediaCodec,
    private val extractor: MediaExtractor
) : AutoCloseable {
    private val frames = mutableListOf<Frame>()
    val first: Frame get() = frames[0]
    val second: Frame get() = frames[1]

    override fun close() {
        codec.release()
        extractor.release()
    }

    private fun decodeTwo() {
        val info = MediaCodec.BufferInfo()
        var fed = false
        while (frames.size < 2) {
            fed = fed || feed()
            val index = codec.dequeueOutputBuffer(info, TIMEOUT_US)
            if (index < 0) {
                continue // another format, or nothing yet
            }
            val image = if (info.size > 0) codec.getOutputImage(index) else null
            image?.use { frames += it.asFrame(yuvOf(codec.outputFormat, it.height)).copy() }
            codec.releaseOutputBuffer(index, false)
            if (info.flags and MediaCodec.BUFFER_FLAG_END_OF_STREAM != 0 && frames.size < 2) {
                throw IOException("the video has ${frames.size} frames, two are needed")
            }
        }
    }

    /** Gives the decoder the next packet, if it takes one; true after the last. */
    private fun feed(): Boolean {
        val index = codec.dequeueInputBuffer(TIMEOUT_US)
        if (index < 0) {
            return false
        }
        val buffer = codec.getInputBuffer(index) ?: throw IOException("the decoder gave no buffer")
        val bytes = extractor.readSampleData(buffer, 0)
        if (bytes < 0) {
            codec.queueInputBuffer(index, 0, 0, 0, MediaCodec.BUFFER_FLAG_END_OF_STREAM)
            return true
        }
        codec.queueInputBuffer(index, 0, bytes, extractor.sampleTime, 0)
        extractor.advance()
        return false
    }

    companion object {
        private const val TIMEOUT_US = 10_000L

        /** @throws IOException there is no video in it, or fewer than two frames. */
        fun decode(context: Context, uri: Uri): FramePair {
            val extractor = MediaExtractor().apply { setDataSource(context, uri, null) }
            val track = (0 until extractor.trackCount).firstOrNull { mime(extractor, it).startsWith("video/") }
                ?: throw IOException("$uri has no video")
            extractor.selectTrack(track)
            val format = extractor.getTrackFormat(track)
            format.setInteger(MediaFormat.KEY_COLOR_FORMAT, CodecCapabilities.COLOR_FormatYUV420Flexible)
            val codec = MediaCodec.createDecoderByType(mime(extractor, track))
            val pair = FramePair(codec, extractor)
            try {
                codec.configure(format, null, null, 0)
                codec.start()
                pair.decodeTwo()
                return pair
            } catch (error: IllegalStateException) {
                pair.close()
                throw IOException("the decoder failed: ${error.message}", error)
            } catch (error: Exception) {
                pair.close()
                throw error
            }
        }

        private fun mime(extractor: MediaExtractor, track: Int): String =
            extractor.getTrackFormat(track).getString(MediaFormat.KEY_MIME).orEmpty()
    }
}
