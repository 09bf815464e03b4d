// What a convolution on tensor cores reads: segments of channels side by side, as a concatenation of
// them would be, each as it is stored or through a batch normalisation.
//
//   x                                              lines null
//   f(scale x + shift)                             lines [2, channels] scale, shift
//   scale g + B y + C, g = f'(scale y + shift) x   y like x; lines [4, channels] scale, shift, B, C
//
// where f is relu or nothing. What is computed is rounded as batch_norm.cu would store it. Channels
// are a multiple of 8 but for a single segment that is read as it is stored.
#pragma once
#include "normalise.cuh"
#include "types.cuh"

enum : u32 { MOST_SEGMENTS = 24 };

struct Segment {
    const void* x;
    const void* y;
    const f32* lines;
    u32 channels;
    u32 relu;
};

struct Source {
    u32 segments;
    // Whether a segment is not read as it is stored.
    u32 normalised;
    Segment at[MOST_SEGMENTS];
};

// Eight channels: those of a segment from one on.
struct Chunk {
    u32 segment, channel;
};

// Finds some chunks, a thread each. One beyond the last is beyond the channels of a segment.
DEV void find_chunks(const Source& source, u32 first, u32 count, Chunk* chunks) {
    if (threadIdx.x >= count) return;
    u32 segment = 0, channel = (first + threadIdx.x) * 8;
    while (segment + 1 < source.segments && channel >= source.at[segment].channels) {
        channel -= source.at[segment++].channels;
    }
    chunks[threadIdx.x] = Chunk{segment, channel};
}

// Starts to bring 8 channels of a pixel to shared memory, zeros for what does not exist. Where
// vectors of eight are not aligned, halves of them may be; else elements come one by one.
template <class T>
DEV void load_chunk(void* to, const T* x, u32 channels, u64 pixel, bool inside, u32 channel) {
    x += inside ? pixel * channels + channel : 0;
    u32 count = inside && channel < channels ? channels - channel : 0;
    if (channels % 8 == 0) return cp_async16(to, x, count);
    uint4 chunk = make_uint4(0, 0, 0, 0);
    if (channels % 4 == 0) {
        const uint2* halves = reinterpret_cast<const uint2*>(x);
        uint2 first = count ? halves[0] : make_uint2(0, 0);
        uint2 second = count > 4 ? halves[1] : make_uint2(0, 0);
        chunk = make_uint4(first.x, first.y, second.x, second.y);
    } else {
        u32 bits[8];
#pragma unroll
        for (u32 i = 0; i < 8; ++i) bits[i] = i < count ? x[i].bits : 0;
        chunk = make_uint4(bits[0] | bits[1] << 16, bits[2] | bits[3] << 16,
                           bits[4] | bits[5] << 16, bits[6] | bits[7] << 16);
    }
    *reinterpret_cast<uint4*>(to) = chunk;
}

// What the segment makes of 8 channels of a pixel that have landed in shared memory.
template <class T>
DEV void normalise_chunk(void* chunk, const Segment& from, u64 pixel, u32 channel) {
    u32 function = from.relu ? RELU : IDENTITY;
    const f32* lines = from.lines + channel;
    Eight x = load8(static_cast<const T*>(chunk));
    Eight scale = load8(lines), shift = load8(lines + from.channels);
    if (from.y) {
        Eight y = load8(static_cast<const T*>(from.y) + pixel * from.channels + channel);
        Eight of_y = load8(lines + 2 * from.channels), constant = load8(lines + 3 * from.channels);
#pragma unroll
        for (u32 e = 0; e < 8; ++e) {
            f32 g = gradient(function, scale.at[e], shift.at[e], y.at[e], x.at[e]);
            x.at[e] = scale.at[e] * g + (of_y.at[e] * y.at[e] + constant.at[e]);
        }
    } else {
#pragma unroll
        for (u32 e = 0; e < 8; ++e) {
            x.at[e] = apply(function, x.at[e] * scale.at[e] + shift.at[e]);
        }
    }
    store8(static_cast<T*>(chunk), x);
}
