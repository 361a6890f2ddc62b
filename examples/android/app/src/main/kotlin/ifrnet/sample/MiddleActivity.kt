package ifrnet.sample

import android.app.Activity
import android.content.Intent
import android.graphics.Bitmap
import android.net.Uri
import android.os.Bundle
import android.os.SystemClock
import android.view.View
import android.widget.Button
import android.widget.ImageView
import android.widget.LinearLayout
import android.widget.TextView
import ifrnet.CancelledError
import ifrnet.Frame
import ifrnet.Ifrnet
import ifrnet.Layout
import ifrnet.Options
import ifrnet.RuntimesError
import ifrnet.Unproven
import ifrnet.openAssets
import ifrnet.toBitmap
import ifrnet.toFrame
import java.io.IOException
import java.util.concurrent.Executors

/** Proves the artifact on this phone, then shows the frame between two pictures, or between two frames of a video. */
class MiddleActivity : Activity() {
    private val worker = Executors.newSingleThreadExecutor()
    private lateinit var text: TextView
    private lateinit var picture: ImageView
    private lateinit var choices: List<Button>

    @Volatile
    private var ifrnet: Ifrnet? = null

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        text = TextView(this)
        picture = ImageView(this).apply { adjustViewBounds = true }
        choices = listOf(
            choice("Choose two pictures", "image/*", PICTURES),
            choice("Choose a video", "video/*", VIDEO)
        )
        setContentView(LinearLayout(this).apply {
            orientation = LinearLayout.VERTICAL
            fitsSystemWindows = true
            (listOf<View>(text) + choices + picture).forEach { addView(it) }
        })
        text.text = "Proving the artifact on this phone..."
        work { openProven() }
    }

    override fun onDestroy() {
        super.onDestroy()
        worker.shutdownNow()
        ifrnet?.apply {
            cancel()
            close()
        }
    }

    @Deprecated("The way without AndroidX, which this sample does without")
    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        val opened = ifrnet
        if (result != RESULT_OK || data == null || opened == null) {
            return
        }
        val clip = data.clipData
        val chosen = if (clip == null) listOfNotNull(data.data) else List(clip.itemCount) { clip.getItemAt(it).uri }
        when {
            request == VIDEO -> work { ofVideo(opened, chosen.first()) }
            chosen.size == 2 -> work { ofPictures(opened, chosen) }
            else -> text.text = "${chosen.size} pictures were chosen: choose two (hold the first one)"
        }
    }

    private fun choice(label: String, type: String, request: Int) = Button(this).apply {
        this.text = label
        isEnabled = false
        setOnClickListener {
            val intent = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType(type)
            intent.putExtra(Intent.EXTRA_ALLOW_MULTIPLE, request == PICTURES)
            @Suppress("DEPRECATION")
            startActivityForResult(intent, request)
        }
    }

    private fun openProven(): Result {
        val options = Options(unproven = Unproven.PROVE, cache = cacheDir.path)
        val begin = SystemClock.elapsedRealtime()
        val opened = openAssets(assets, "artifact", options)
        ifrnet = opened
        if (isDestroyed) {
            opened.close()
        }
        return Result(verdict(opened) + "\nopened in ${SystemClock.elapsedRealtime() - begin} ms", null)
    }

    private fun ofPictures(opened: Ifrnet, chosen: List<Uri>): Result {
        val size = opened.describe()
        val (img0, img1) = chosen.map { readPicture(contentResolver, it, size.width, size.height).toFrame() }
        return middle(opened, img0, img1)
    }

    private fun ofVideo(opened: Ifrnet, video: Uri): Result =
        FramePair.decode(this, video).use { pair -> middle(opened, pair.first, pair.second) }

    private fun middle(opened: Ifrnet, img0: Frame, img1: Frame): Result {
        val output = Frame.allocate(Layout.RGBA, img0.width, img0.height)
        val begin = SystemClock.elapsedRealtime()
        opened.interpolate(img0, img1, output)
        val took = SystemClock.elapsedRealtime() - begin
        return Result(verdict(opened) + "\n${img0.layout} to RGBA in $took ms", output.toBitmap())
    }

    private fun verdict(opened: Ifrnet): String = opened.describe().run {
        val verdict = if (proven) "proved here" else "not proved here: $reason"
        "$name on $device in $arithmetic, $threads threads\n$verdict"
    }

    /** Runs on the worker, and shows what comes of it. */
    private fun work(task: () -> Result) {
        choices.forEach { it.isEnabled = false }
        worker.execute {
            val result = try {
                task()
            } catch (error: CancelledError) {
                return@execute
            } catch (error: RuntimesError) {
                Result("${error.javaClass.simpleName}: ${error.message}", null)
            } catch (error: IOException) {
                Result("The file cannot be read: ${error.message}", null)
            }
            runOnUiThread { show(result) }
        }
    }

    private fun show(result: Result) {
        text.text = result.text
        picture.setImageBitmap(result.picture)
        choices.forEach { it.isEnabled = ifrnet != null }
    }

    private class Result(val text: String, val picture: Bitmap?)

    private companion object {
        const val PICTURES = 1
        const val VIDEO = 2
    }
}
