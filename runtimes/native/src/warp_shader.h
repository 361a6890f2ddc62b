// The compute shader of the warp, in ncnn's dialect of GLSL: sfp is what is stored, afp what is computed in, and
// buffer_ld1, buffer_st1 and their kind of four convert. TYPE, REAL, HALF, LOAD and STORE are filled in by warp.cpp, for
// one channel or four in an element; FLOW and READ for a flow in float32 or one stored as the features are.
#pragma once

namespace ifrnet {

// Positions are float32 whatever the options say: half precision would be 0.5 pixels off at 1920. So are the weighted sums,
// which cost nothing beside the reads. A position that is not a number is taken as 0.
inline constexpr const char WARP_SHADER[] = R"(#version 450

#define plain(data, i) data[i]

layout(constant_id = 0) const int pixels = 0; // 1: flow in pixels; 0: positions from -1 to 1

layout(binding = 0) readonly buffer feature_blob { TYPE feature_data[]; };
layout(binding = 1) readonly buffer flow_blob { FLOW flow_data[]; };
layout(binding = 2) writeonly buffer top_blob { TYPE top_data[]; };

layout(push_constant) uniform parameter
{
    int w;
    int h;
    int c;
    int cstep;
    int flow_cstep;
    int feature_w;
    int feature_h;
    int feature_cstep;
} p;

float inside(float x, float last)
{
    return x > 0.0 ? min(x, last) : 0.0;
}

void main()
{
    int gx = int(gl_GlobalInvocationID.x);
    int gy = int(gl_GlobalInvocationID.y);
    int gz = int(gl_GlobalInvocationID.z);

    if (gx >= p.w || gy >= p.h || gz >= p.c)
        return;

    int at = gy * p.w + gx;
    float x = float(READ(flow_data, at));
    float y = float(READ(flow_data, p.flow_cstep + at));

    int last_x = p.feature_w - 1;
    int last_y = p.feature_h - 1;
    x = pixels == 1 ? float(gx) + x : (x + 1.0) * 0.5 * float(last_x);
    y = pixels == 1 ? float(gy) + y : (y + 1.0) * 0.5 * float(last_y);
    x = inside(x, float(last_x));
    y = inside(y, float(last_y));

    int x0 = clamp(int(x), 0, last_x);
    int y0 = clamp(int(y), 0, last_y);
    int x1 = min(x0 + 1, last_x);
    int y1 = min(y0 + 1, last_y);
    float a = x - float(x0);
    float b = y - float(y0);

    int row0 = gz * p.feature_cstep + y0 * p.feature_w;
    int row1 = gz * p.feature_cstep + y1 * p.feature_w;
    REAL v00 = REAL(LOAD(feature_data, row0 + x0));
    REAL v01 = REAL(LOAD(feature_data, row0 + x1));
    REAL v10 = REAL(LOAD(feature_data, row1 + x0));
    REAL v11 = REAL(LOAD(feature_data, row1 + x1));
    REAL v = mix(mix(v00, v01, a), mix(v10, v11, a), b);

    STORE(top_data, gz * p.cstep + at, HALF(v));
}
)";

}  // namespace ifrnet
