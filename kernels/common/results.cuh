// Where a gather's results go from shared memory: segments of channels, as a concatenation of them
// would be cut up, and statistics of what is stored, each block's in a part of its own.
//
//   y (+)= results, or zeros where mask <= 0
//   moments [parts, 3, channels of all segments]  count, mean, M2 of the results
//   sums    [parts, 2, channels]                  S1 = sum g, S2 = sum g (x - mean)
//
// with g = f'(scale x + shift) y, where y is the gradient of what a batch normalisation of x made,
// f is relu or nothing and normalizer is [4, channels] scale, shift, mean, r. Channels are a multiple
// of 8 but for a single segment that is stored and has no sums. Sums are f32 and rounded once more.
#pragma once
#include "chunk_sums.cuh"
#include "halo.cuh"
#include "normalise.cuh"

// mask, x, normalizer and sums may be null; x and mask are like y, which may be the mask.
struct Sink {
    void* y;
    const void* mask;
    const void* x;
    const f32* normalizer;
    f32* sums;
    u32 channels;
    // The first of the segment's channels among those of all.
    u32 first;
    u32 add;
    u32 relu;
};

struct Sinks {
    f32* moments;
    u32 segments;
    // Whether a segment has sums.
    u32 summed;
    // The part of the grid's first block.
    u32 first_part;
    u32 reserved;
    Sink at[MOST_SEGMENTS];

    DEV u32 part() const { return first_part + blockIdx.z * gridDim.x + blockIdx.x; }
};

// The results of a block: N chunks of 8 filters of some positions of a tile.
template <int N, class T> struct Results {
    enum : u32 { PITCH = (N | 1) * 16 };

    const Gather& g;
    const Phase& phase;
    const Sinks& sinks;
    Corner corner;
    u8* rows;
    u32 count;
    // BYTES of ChunkSums and an f32 a column.
    u8* scratch;

    DEV void store() const {
        u32 filter = (blockIdx.y * N + ChunkSums<N>::chunk()) * 8;
        const Sink& sink = find(filter);
        u32 channel = filter - sink.first;
        bool there = filter < g.output.channels && !ChunkSums<N>::idle();
        Eight first = {}, second = {}, scale = {}, shift = {}, mean = {};
        if (there && sink.sums) {
            const f32* lines = sink.normalizer + channel;
            scale = load8(lines), shift = load8(lines + sink.channels);
            mean = load8(lines + 2 * sink.channels);
        }
        u32 live = 0;
#pragma unroll 1
        for (u32 i = 0; there && row(i) < count; ++i) {
            u64 pixel = 0;
            if (!find_pixel(row(i), pixel)) continue;
            live |= 1u << i;
            u64 at = pixel * sink.channels + channel;
            store_chunk(chunk(i), sink, at, sink.channels - channel);
            if (sinks.moments) {
                Eight values = load8(chunk(i));
#pragma unroll
                for (u32 e = 0; e < 8; ++e) first.at[e] += values.at[e];
            } else if (sink.sums) {
                Eight dy = load8(chunk(i));
                Eight x = load8(static_cast<const T*>(sink.x) + at);
                u32 function = sink.relu ? RELU : IDENTITY;
#pragma unroll
                for (u32 e = 0; e < 8; ++e) {
                    f32 g = gradient(function, scale.at[e], shift.at[e], x.at[e], dy.at[e]);
                    first.at[e] += g;
                    second.at[e] += g * (x.at[e] - mean.at[e]);
                }
            }
        }
        if (sinks.moments) {
            store_moments(first, live);
        } else if (sinks.summed) {
            ChunkSums<N> sums = {reinterpret_cast<f32*>(scratch)};
            f32 s1 = sums.total_of(first);
            store_sums(s1, sums.total_of(second));
        }
    }

    // Sums of a block without results.
    DEV void store_nothing() const {
        if (sinks.summed) store_sums(0.0f, 0.0f);
    }

  private:
    DEV const Sink& find(u32 filter) const {
        u32 segment = 0;
        while (segment + 1 < sinks.segments && filter >= sinks.at[segment + 1].first) ++segment;
        return sinks.at[segment];
    }

    DEV u32 row(u32 i) const { return ChunkSums<N>::group() + i * ChunkSums<N>::GROUPS; }
    DEV T* chunk(u32 i) const {
        return reinterpret_cast<T*>(rows + row(i) * PITCH + ChunkSums<N>::chunk() * 16);
    }

    // The pixel of a row's position, if it is one.
    DEV bool find_pixel(u32 row, u64& pixel) const {
        Position at = Position::of(phase.tiling, row);
        u32 image = corner.image + at.image;
        u32 p = corner.row + at.row, q = corner.column + at.column;
        if (!at.live || image >= g.output.images || p >= phase.positions[0] ||
            q >= phase.positions[1]) {
            return false;
        }
        p = phase.first[0] + p * g.step_out[0], q = phase.first[1] + q * g.step_out[1];
        pixel = ((u64)image * g.output.extent[0] + p) * g.output.extent[1] + q;
        return true;
    }

    // Stores 8 results, or the `count` that there are; eights are left as they are stored.
    DEV static void store_chunk(T* from, const Sink& sink, u64 at, u32 count) {
        T* y = static_cast<T*>(sink.y) + at;
        const T* mask = sink.mask ? static_cast<const T*>(sink.mask) + at : nullptr;
        uint4 results = *reinterpret_cast<const uint4*>(from);
        if (sink.channels % 8 == 0) {
            if (mask) {
                uint4 passes = *reinterpret_cast<const uint4*>(mask);
                results = make_uint4(keep(results.x, passes.x), keep(results.y, passes.y),
                                     keep(results.z, passes.z), keep(results.w, passes.w));
            }
            if (sink.add) {
                results = make_uint4(plus(results.x, y), plus(results.y, y + 2),
                                     plus(results.z, y + 4), plus(results.w, y + 6));
            }
            *reinterpret_cast<uint4*>(y) = *reinterpret_cast<uint4*>(from) = results;
        } else if (sink.channels % 4 == 0) {
            store_half(make_uint2(results.x, results.y), mask, y);
            if (count > 4) store_half(make_uint2(results.z, results.w), mask ? mask + 4 : mask, y + 4);
        } else {
#pragma unroll
            for (u32 e = 0; e < 8; ++e) {
                if (e >= count) return;
                bool passes = !mask || to_f32(mask[e]) > 0.0f;
                y[e] = passes ? from[e] : from_f32<T>(0.0f);
            }
        }
    }

    DEV static void store_half(uint2 results, const T* mask, T* y) {
        if (mask) {
            uint2 passes = *reinterpret_cast<const uint2*>(mask);
            results = make_uint2(keep(results.x, passes.x), keep(results.y, passes.y));
        }
        *reinterpret_cast<uint2*>(y) = results;
    }

    // Those of two results whose mask is above zero, and zeros.
    DEV static u32 keep(u32 results, u32 mask) {
        u32 kept = to_f32(T{(u16)mask}) > 0.0f ? results & 0xffffu : 0;
        return kept | (to_f32(T{(u16)(mask >> 16)}) > 0.0f ? results & 0xffff0000u : 0);
    }

    DEV static u32 plus(u32 results, const T* y) {
        f32 first = to_f32(T{(u16)results}), second = to_f32(T{(u16)(results >> 16)});
        return pack<T>(to_f32(y[0]) + first, to_f32(y[1]) + second);
    }

    // From the sums of this thread's rows, of which some live.
    DEV void store_moments(const Eight& sum, u32 live) const {
        ChunkSums<N> sums = {reinterpret_cast<f32*>(scratch)};
        f32* means = sums.at + ChunkSums<N>::BYTES / 4;
        Eight rows = {}, squares = {};
#pragma unroll
        for (u32 e = 0; e < 8; ++e) rows.at[e] = (f32)__popc(live);
        f32 all = sums.total_of(rows), mean = sums.total_of(sum) / all;
        if (threadIdx.x < ChunkSums<N>::COLUMNS) means[threadIdx.x] = mean;
        __syncthreads();
        Eight centre = load8(means + ChunkSums<N>::chunk() * 8);
#pragma unroll 1
        for (u32 i = 0; live >> i; ++i) {
            if (!(live >> i & 1)) continue;
            Eight values = load8(chunk(i));
#pragma unroll
            for (u32 e = 0; e < 8; ++e) {
                f32 deviation = values.at[e] - centre.at[e];
                squares.at[e] += deviation * deviation;
            }
        }
        f32 square = sums.total_of(squares);
        u32 filter = blockIdx.y * ChunkSums<N>::COLUMNS + threadIdx.x, filters = g.output.channels;
        if (threadIdx.x >= ChunkSums<N>::COLUMNS || filter >= filters) return;
        f32* part = sinks.moments + (u64)sinks.part() * 3 * filters + filter;
        part[0] = all, part[filters] = mean, part[2 * filters] = square;
    }

    DEV void store_sums(f32 s1, f32 s2) const {
        u32 filter = blockIdx.y * ChunkSums<N>::COLUMNS + threadIdx.x;
        if (threadIdx.x >= ChunkSums<N>::COLUMNS || filter >= g.output.channels) return;
        const Sink& sink = find(filter);
        if (!sink.sums) return;
        f32* part = sink.sums + (u64)sinks.part() * 2 * sink.channels + (filter - sink.first);
        part[0] = s1, part[sink.channels] = s2;
    }
};
