/* Doubles the frame rate of a y4m stream (4:2:0, 8 bits), through the C ABI of libifrnet.
 *
 *     cc -O2 y4m_double.c $(pkg-config --cflags --libs ifrnet) -o y4m_double
 *     ffmpeg -i in.mp4 -pix_fmt yuv420p -f yuv4mpegpipe - | ./y4m_double ARTIFACT \
 *         | ffmpeg -i - -i in.mp4 -map 0:v -map '1:a?' out.mp4
 *     ffmpeg -i in.mp4 -pix_fmt yuv420p -f yuv4mpegpipe - | ./y4m_double ARTIFACT | mpv -
 *
 * The artifact is one of target ncnn in the video's size; it is proved on this machine the first time. Between two
 * frames comes the one in the middle; the last frame stands twice, so that the sound stays as long as the picture. y4m
 * does not say which matrix the colours have: 709 from 720 lines up and 601 below, or the second argument.
 *
 * Exit codes: 0 fine, 1 wrong input, 2 the artifact failed its proof.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ifrnet.h>

#if defined(_WIN32)
#include <fcntl.h>
#include <io.h>
#endif

#define MOST 16384 /* pixels of a side */
#define LINE 1024  /* bytes of a header */

typedef struct Stream {
    int width, height;
    int rate, per;   /* frames a second: rate / per */
    char rest[LINE]; /* the other parameters, as they are written again */
    ifrnet_matrix matrix;
    ifrnet_range range;
    ifrnet_chroma chroma;
} Stream;

static void quit(int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("y4m_double: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(code);
}

static void check(ifrnet_status status) {
    if (status != IFRNET_OK) quit(status == IFRNET_PARITY ? 2 : 1, "%s", ifrnet_error());
}

/* A line without its end; 0 at the end of the stream. */
static int read_line(char *line) {
    int length = 0, c;
    while ((c = getchar()) != EOF && c != '\n') {
        if (length == LINE - 1) quit(1, "a header of more than %d bytes: expected a y4m stream", LINE);
        line[length++] = (char)c;
    }
    line[length] = 0;
    return length > 0 || c == '\n';
}

static void read_chroma(Stream *stream, const char *name) {
    if (strcmp(name, "420jpeg") == 0 || strcmp(name, "420") == 0) stream->chroma = IFRNET_CENTER;
    else if (strcmp(name, "420mpeg2") == 0) stream->chroma = IFRNET_LEFT;
    else if (strcmp(name, "420paldv") == 0) stream->chroma = IFRNET_TOPLEFT;
    else quit(1, "pixels are %s, expected 4:2:0 in 8 bits: give ffmpeg -pix_fmt yuv420p", name);
}

/* Numbers of more than nine digits are none: twice as many still fit into an int. */
static void read_parameter(Stream *stream, const char *word) {
    char end;
    switch (word[0]) {
    case 'W':
        if (sscanf(word, "W%9d%c", &stream->width, &end) != 1) stream->width = 0;
        return;
    case 'H':
        if (sscanf(word, "H%9d%c", &stream->height, &end) != 1) stream->height = 0;
        return;
    case 'F':
        if (sscanf(word, "F%9d:%9d%c", &stream->rate, &stream->per, &end) != 2) stream->rate = 0;
        return;
    case 'I':
        if (strcmp(word, "Ip") != 0 && strcmp(word, "I?") != 0)
            quit(1, "the video is interlaced (%s): give ffmpeg -vf bwdif", word);
        break;
    case 'C': read_chroma(stream, word + 1); break;
    case 'X':
        if (strcmp(word, "XCOLORRANGE=FULL") == 0) stream->range = IFRNET_FULL;
        break;
    }
    strcat(strcat(stream->rest, " "), word); /* as long as the line that it comes from */
}

static Stream read_header(const char *matrix) {
    Stream stream = {0};
    char line[LINE], *word;
    if (!read_line(line) || strncmp(line, "YUV4MPEG2 ", 10) != 0)
        quit(1, "standard input is no y4m stream: give ffmpeg -f yuv4mpegpipe");
    stream.chroma = IFRNET_CENTER;
    for (word = strtok(line + 10, " "); word; word = strtok(NULL, " ")) read_parameter(&stream, word);
    if (stream.width < 1 || stream.width > MOST || stream.height < 1 || stream.height > MOST)
        quit(1, "frames of %d x %d, expected 1 to %d pixels a side", stream.width, stream.height, MOST);
    if (stream.rate < 1 || stream.per < 1)
        quit(1, "the header states no frame rate: give ffmpeg -r 30");
    if (!matrix) matrix = stream.height >= 720 ? "709" : "601";
    if (strcmp(matrix, "709") == 0) stream.matrix = IFRNET_BT709;
    else if (strcmp(matrix, "601") == 0) stream.matrix = IFRNET_BT601;
    else if (strcmp(matrix, "2020") == 0) stream.matrix = IFRNET_BT2020;
    else quit(1, "the matrix %s, expected 709, 601 or 2020", matrix);
    return stream;
}

/* A frame in memory of its own: Y, U and V one after the other, as y4m has them. */
static ifrnet_image new_frame(const Stream *stream) {
    ifrnet_image image = {0};
    size_t half_width = ((size_t)stream->width + 1) / 2, half_height = ((size_t)stream->height + 1) / 2;
    size_t luma = (size_t)stream->width * (size_t)stream->height, chroma = half_width * half_height;
    unsigned char *memory = malloc(luma + 2 * chroma);
    if (!memory) quit(1, "no memory for a frame of %d x %d", stream->width, stream->height);
    image.size = sizeof image;
    image.layout = IFRNET_I420;
    image.width = stream->width, image.height = stream->height;
    image.plane[0] = memory, image.plane[1] = memory + luma, image.plane[2] = memory + luma + chroma;
    image.stride[0] = stream->width, image.stride[1] = image.stride[2] = (ptrdiff_t)half_width;
    image.bytes[0] = luma, image.bytes[1] = image.bytes[2] = chroma;
    image.matrix = stream->matrix, image.range = stream->range, image.chroma = stream->chroma;
    return image;
}

static size_t frame_bytes(const ifrnet_image *image) { return image->bytes[0] + image->bytes[1] + image->bytes[2]; }

/* 0 at the end of the stream. */
static int read_frame(const ifrnet_image *image) {
    char line[LINE];
    if (!read_line(line)) return 0;
    if (strncmp(line, "FRAME", 5) != 0 || (line[5] != 0 && line[5] != ' '))
        quit(1, "no frame where one must begin: the stream is damaged");
    if (fread(image->plane[0], 1, frame_bytes(image), stdin) != frame_bytes(image))
        quit(1, "the stream ends within a frame");
    return 1;
}

static void write_frame(const ifrnet_image *image) {
    if (fputs("FRAME\n", stdout) < 0 || fwrite(image->plane[0], 1, frame_bytes(image), stdout) != frame_bytes(image))
        quit(1, "standard output cannot be written");
}

int main(int count, char **arguments) {
    ifrnet_options options = {0};
    ifrnet_runtime *runtime;
    const float middle = 0.5f;
    if (count < 2 || count > 3) quit(1, "usage: y4m_double ARTIFACT [709|601|2020] < in.y4m > out.y4m");
#if defined(_WIN32)
    _setmode(_fileno(stdin), _O_BINARY), _setmode(_fileno(stdout), _O_BINARY);
#endif
    const Stream stream = read_header(count == 3 ? arguments[2] : NULL);
    options.size = sizeof options;
    options.unproven = IFRNET_PROVE;
    check(ifrnet_open(arguments[1], &options, &runtime));
    ifrnet_image last = new_frame(&stream), next = new_frame(&stream), between = new_frame(&stream);
    if (!read_frame(&last)) quit(1, "the stream has no frame");
    printf("YUV4MPEG2 W%d H%d F%d:%d%s\n", stream.width, stream.height, 2 * stream.rate, stream.per, stream.rest);
    write_frame(&last);
    while (read_frame(&next)) {
        const ifrnet_image kept = last;
        check(ifrnet_interpolate(runtime, &last, &next, &middle, 1, &between));
        write_frame(&between);
        write_frame(&next);
        last = next, next = kept;
    }
    write_frame(&last);
    if (fflush(stdout) != 0) quit(1, "standard output cannot be written");
    free(last.plane[0]), free(next.plane[0]), free(between.plane[0]);
    check(ifrnet_close(runtime));
    return 0;
}
