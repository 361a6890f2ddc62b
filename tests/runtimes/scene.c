/* The arithmetic of docs/proof.md in C: numbers of a scene on standard input, RGB bytes of one frame on standard output.
   width height waves (x y phase red green blue)... shift_x shift_y disc_x disc_y bar radius half_width */
#include <inttypes.h>
#include <stdio.h>

static int64_t wave(uint32_t phase) {
    int64_t p = phase >> 16, q = p & 32767, h = (q * (32768 - q)) >> 13;
    return p & 32768 ? -h : h;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

static int64_t next(void) {
    int64_t value = 0;
    return scanf("%" SCNd64, &value) == 1 ? value : 0;
}

int main(void) {
    static const int colours[2][3] = {{235, 77, 31}, {26, 140, 242}};
    int64_t w[64][6], s[7], width = next(), height = next(), waves = next();
    for (int i = 0; i < waves && i < 64; i++)
        for (int k = 0; k < 6; k++) w[i][k] = next();
    for (int k = 0; k < 7; k++) s[k] = next();
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++) {
            int64_t sum[3] = {0, 0, 0};
            for (int i = 0; i < waves; i++) {
                uint32_t a = (uint32_t)(w[i][0] * (256 * x + s[0])), b = (uint32_t)(w[i][1] * (256 * y + s[1]) + w[i][2]);
                int64_t both = wave(a + (1u << 30)) * wave(b + (1u << 30)) - wave(a) * wave(b);
                for (int c = 0; c < 3; c++) sum[c] += w[i][3 + c] * both;
            }
            int64_t dx = 16 * x - s[2], dy = 16 * y - s[3], bar = 16 * x - s[4];
            int64_t inside = s[5] * s[5] - dx * dx - dy * dy;
            int64_t cover[2] = {clamp((inside > 0 ? inside : 0) * 8 / s[5], 0, 256),
                                clamp((s[6] - (bar < 0 ? -bar : bar)) * 16, 0, 256)};
            for (int c = 0; c < 3; c++) {
                int64_t level = 32768 + (sum[c] >> 30);
                for (int k = 0; k < 2; k++) level += ((256 * colours[k][c] - level) * cover[k]) >> 8;
                putchar((int)clamp((level + 128) >> 8, 0, 255));
            }
        }
    return 0;
}
