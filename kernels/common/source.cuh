// What a convolution on tensor cores reads: segments of channels side by side, as a concatenation of
// them would be, each as it is stored or through a batch normalisation.
//
//   x                                              lines null
//   f(scale x + shift)                             lines [2, channels] scale, shift
//   scale g + B y + C, g = f'(scale y + shift) x   y like x; lines [4, channels] scale, shift, B, C
//
// where f is relu or nothing. What is computed is rounded as batch_norm.cu would store it. Channels
// are a multiple of 4 but for a single segment that is read as it is stored.
//
// Channels move in chunks of 8, 16 bytes. Where a segment's pixels or what comes before it are no
// whole number of chunks, as with 36 channels, they move in halves: these are aligned, and a chunk
// that two segments share is one of each.
#pragma once
#include "normalise.cuh"
#include "vector.cuh"

enum : u32 { MOST_SEGMENTS = 24 };

struct Segment {
    const void* x;
    const void* y;
    const f32* lines;
    u32 channels;
    u32 relu;

    // Whether 8 channels from one on lie in one aligned vector in each pixel.
    DEV bool has_chunk(u32 channel) const { return (channels | channel) % 8 == 0; }
};

// Eight channels, of which the first is one of a segment; beyond the channels of the last segment
// there is none.
struct Chunk {
    u32 segment, channel;
};

struct Source {
    u32 segments;
    // Whether a segment is not read as it is stored.
    u32 normalised;
    Segment at[MOST_SEGMENTS];

    // The chunk from a channel on, counted from the first of a segment.
    DEV Chunk find(u32 segment, u32 channel) const {
        while (segment + 1 < segments && channel >= at[segment].channels) {
            channel -= at[segment++].channels;
        }
        return Chunk{segment, channel};
    }
    // What begins with a chunk's second half.
    DEV Chunk second_half(const Chunk& chunk) const {
        return find(chunk.segment, chunk.channel + 4);
    }
};

// Finds some chunks, a thread each.
DEV void find_chunks(const Source& source, u32 first, u32 count, Chunk* chunks) {
    if (threadIdx.x < count) chunks[threadIdx.x] = source.find(0, (first + threadIdx.x) * 8);
}

// Starts to bring 4 channels of a pixel to shared memory, zeros for what does not exist.
template <class T>
DEV void load_half(T* to, const Segment& from, u64 pixel, bool inside, u32 channel) {
    const T* x = static_cast<const T*>(from.x);
    bool there = inside && channel < from.channels;
    cp_async8(to, x + (there ? pixel * from.channels + channel : 0), there);
}

// The same of a chunk, or some of its channels one by one where not even halves are aligned.
template <class T>
DEV void load_chunk(T* to, const Source& source, const Chunk& chunk, u64 pixel, bool inside) {
    const Segment& from = source.at[chunk.segment];
    const T* x = static_cast<const T*>(from.x);
    x += inside ? pixel * from.channels + chunk.channel : 0;
    u32 count = inside && chunk.channel < from.channels ? from.channels - chunk.channel : 0;
    if (from.has_chunk(chunk.channel)) {
        cp_async16(to, x, count);
    } else if (from.channels % 4 == 0) {
        load_half(to, from, pixel, inside, chunk.channel);
        Chunk rest = source.second_half(chunk);
        load_half(to + 4, source.at[rest.segment], pixel, inside, rest.channel);
    } else {
        Packed<T, 8> elements;
#pragma unroll
        for (u32 e = 0; e < 8; ++e) elements.at[e].bits = e < count ? x[e].bits : 0;
        *reinterpret_cast<Packed<T, 8>*>(to) = elements;
    }
}

// What the segment makes of some of its channels of a pixel, which have landed in shared memory.
template <int WIDTH, class T>
DEV void normalise(T* landed, const Segment& from, u64 pixel, u32 channel) {
    if (!from.lines || channel >= from.channels) return;
    u32 function = from.relu ? RELU : IDENTITY;
    const f32* lines = from.lines + channel;
    Vector<WIDTH> x = load<WIDTH>(landed);
    Vector<WIDTH> scale = load<WIDTH>(lines), shift = load<WIDTH>(lines + from.channels);
    if (from.y) {
        const T* of_pixel = static_cast<const T*>(from.y) + pixel * from.channels + channel;
        Vector<WIDTH> y = load<WIDTH>(of_pixel);
        Vector<WIDTH> of_y = load<WIDTH>(lines + 2 * from.channels);
        Vector<WIDTH> constant = load<WIDTH>(lines + 3 * from.channels);
#pragma unroll
        for (u32 e = 0; e < WIDTH; ++e) {
            f32 g = gradient(function, scale.at[e], shift.at[e], y.at[e], x.at[e]);
            x.at[e] = scale.at[e] * g + (of_y.at[e] * y.at[e] + constant.at[e]);
        }
    } else {
#pragma unroll
        for (u32 e = 0; e < WIDTH; ++e) {
            x.at[e] = apply(function, x.at[e] * scale.at[e] + shift.at[e]);
        }
    }
    store(landed, x);
}

// The same of a chunk.
template <class T>
DEV void normalise_chunk(T* landed, const Source& source, const Chunk& chunk, u64 pixel) {
    const Segment& from = source.at[chunk.segment];
    if (from.has_chunk(chunk.channel)) return normalise<8>(landed, from, pixel, chunk.channel);
    normalise<4>(landed, from, pixel, chunk.channel);
    Chunk rest = source.second_half(chunk);
    normalise<4>(landed + 4, source.at[rest.segment], pixel, rest.channel);
}
