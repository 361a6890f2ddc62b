package ifrnet.sample

import android.content.ContentResolver
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.net.Uri
import java.io.IOException

/**
 * A picture in the artifact's size, in ARGB_8888. One of another size is scaled.
 *
 * @throws IOException it is no picture, or cannot be read.
 */
fun readPicture(resolver: ContentResolver, uri: Uri, width: Int, height: Int): Bitmap {
    val options = BitmapFactory.Options().apply { inPreferredConfig = Bitmap.Config.ARGB_8888 }
    val stream = resolver.openInputStream(uri) ?: throw IOException("$uri cannot be opened")
    val read = stream.use { BitmapFactory.decodeStream(it, null, options) } ?: throw IOException("$uri is no picture")
    val scaled = Bitmap.createScaledBitmap(read, width, height, true)
    return if (scaled.config == Bitmap.Config.ARGB_8888) scaled else scaled.copy(Bitmap.Config.ARGB_8888, false)
}
