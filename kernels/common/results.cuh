// Where a gather's results go from shared memory: segments of channels, as a concatenation of them
// would be cut up, and statistics of what is stored, each block's in a part of its own.
//
//   y (+)= results, or zeros where mask <= 0
//   moments [parts, 3, channels of all segments]  count, mean, M2 of the results
//   sums    [parts, 2, channels]                  S1 = sum g, S2 = sum g (x - mean)
//
// with g = f'(scale x + shift) y, where y is the gradient of what a batch normalisation of x made,
// f is relu or nothing and normalizer is [4, channels] scale, shift, mean, r. Channels are a multiple
// of 4 but for a single segment that is stored and has no sums. Sums are f32 and rounded once more.
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
    // How many channels a thread stores at once: 4 where all segments have a multiple of 4 and not
    // all one of 8, else 8.
    u32 width;
    Sink at[MOST_SEGMENTS];

    DEV u32 part() const { return first_part + blockIdx.z * gridDim.x + blockIdx.x; }
};

// The results of a block: COLUMNS filters of some positions of a tile.
template <int COLUMNS, class T> struct Results {
    enum : u32 { PITCH = (COLUMNS / 8 | 1) * 16 };

    const Gather& g;
    const Phase& phase;
    const Sinks& sinks;
    Corner corner;
    u8* rows;
    u32 count;
    // BYTES of ChunkSums and an f32 a column.
    u8* scratch;

    DEV void store() const {
        if (sinks.width == 4) {
            store_by<4>();
        } else {
            store_by<8>();
        }
    }

    // Sums of a block without results.
    DEV void store_nothing() const {
        if (sinks.summed) store_sums(0.0f, 0.0f);
    }

  private:
    template <int WIDTH> using Sums = ChunkSums<COLUMNS, WIDTH>;

    // Stores chunks of WIDTH filters.
    template <int WIDTH> DEV void store_by() const {
        u32 filter = blockIdx.y * COLUMNS + Sums<WIDTH>::chunk() * WIDTH;
        const Sink& sink = find(filter);
        u32 channel = filter - sink.first;
        bool there = filter < g.output.channels && !Sums<WIDTH>::idle();
        Vector<WIDTH> first = splat<WIDTH>(0.0f), second = first;
        Vector<WIDTH> scale = first, shift = first, mean = first;
        if (there && sink.sums) {
            const f32* lines = sink.normalizer + channel;
            scale = load<WIDTH>(lines), shift = load<WIDTH>(lines + sink.channels);
            mean = load<WIDTH>(lines + 2 * sink.channels);
        }
        u32 live = 0;
#pragma unroll 1
        for (u32 i = 0; there && row<WIDTH>(i) < count; ++i) {
            u64 pixel = 0;
            if (!find_pixel(row<WIDTH>(i), pixel)) continue;
            live |= 1u << i;
            u64 at = pixel * sink.channels + channel;
            store_chunk<WIDTH>(chunk<WIDTH>(i), sink, at, sink.channels - channel);
            if (sinks.moments) {
                Vector<WIDTH> values = load<WIDTH>(chunk<WIDTH>(i));
#pragma unroll
                for (u32 e = 0; e < WIDTH; ++e) first.at[e] += values.at[e];
            } else if (sink.sums) {
                Vector<WIDTH> dy = load<WIDTH>(chunk<WIDTH>(i));
                Vector<WIDTH> x = load<WIDTH>(static_cast<const T*>(sink.x) + at);
                u32 function = sink.relu ? RELU : IDENTITY;
#pragma unroll
                for (u32 e = 0; e < WIDTH; ++e) {
                    f32 g = gradient(function, scale.at[e], shift.at[e], x.at[e], dy.at[e]);
                    first.at[e] += g;
                    second.at[e] += g * (x.at[e] - mean.at[e]);
                }
            }
        }
        if (sinks.moments) {
            store_moments<WIDTH>(first, live);
        } else if (sinks.summed) {
            Sums<WIDTH> sums = {reinterpret_cast<f32*>(scratch)};
            f32 s1 = sums.total_of(first);
            store_sums(s1, sums.total_of(second));
        }
    }

    DEV const Sink& find(u32 filter) const {
        u32 segment = 0;
        while (segment + 1 < sinks.segments && filter >= sinks.at[segment + 1].first) ++segment;
        return sinks.at[segment];
    }

    // This thread's i-th row, of at most 32.
    template <int WIDTH> DEV u32 row(u32 i) const {
        return Sums<WIDTH>::group() + i * Sums<WIDTH>::GROUPS;
    }
    template <int WIDTH> DEV T* chunk(u32 i) const {
        T* results = reinterpret_cast<T*>(rows + row<WIDTH>(i) * PITCH);
        return results + Sums<WIDTH>::chunk() * WIDTH;
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

    // Stores WIDTH results, which are left as they are stored, or the `count` that there are.
    template <int WIDTH>
    DEV static void store_chunk(T* from, const Sink& sink, u64 at, u32 count) {
        T* y = static_cast<T*>(sink.y) + at;
        const T* mask = sink.mask ? static_cast<const T*>(sink.mask) + at : nullptr;
        if (sink.channels % WIDTH == 0) {
            Packed<T, WIDTH> results = packed<WIDTH>(from);
            if (mask) {
                Packed<T, WIDTH> passes = packed<WIDTH>(mask);
#pragma unroll
                for (u32 e = 0; e < WIDTH; ++e) results.at[e] = keep(results.at[e], passes.at[e]);
            }
            if (sink.add) {
                Packed<T, WIDTH> before = packed<WIDTH>(y);
#pragma unroll
                for (u32 e = 0; e < WIDTH; ++e) {
                    f32 sum = to_f32(before.at[e]) + to_f32(results.at[e]);
                    results.at[e] = from_f32<T>(sum);
                }
            }
            *reinterpret_cast<Packed<T, WIDTH>*>(y) = results;
            *reinterpret_cast<Packed<T, WIDTH>*>(from) = results;
        } else {
#pragma unroll
            for (u32 e = 0; e < WIDTH; ++e) {
                if (e >= count) return;
                y[e] = mask ? keep(from[e], mask[e]) : from[e];
            }
        }
    }

    // The result if its mask is above zero, else zero.
    DEV static T keep(T result, T mask) {
        return to_f32(mask) > 0.0f ? result : T{0};
    }

    // From the sums of this thread's rows, of which some live.
    template <int WIDTH> DEV void store_moments(const Vector<WIDTH>& sum, u32 live) const {
        Sums<WIDTH> sums = {reinterpret_cast<f32*>(scratch)};
        f32* means = sums.at + Sums<WIDTH>::BYTES / 4;
        Vector<WIDTH> squares = splat<WIDTH>(0.0f);
        f32 all = sums.total_of(splat<WIDTH>((f32)__popc(live)));
        f32 mean = sums.total_of(sum) / all;
        if (threadIdx.x < COLUMNS) means[threadIdx.x] = mean;
        __syncthreads();
        Vector<WIDTH> centre = load<WIDTH>(means + Sums<WIDTH>::chunk() * WIDTH);
#pragma unroll 1
        for (u32 i = 0, left = live; left; ++i, left >>= 1) {
            if (!(left & 1)) continue;
            Vector<WIDTH> values = load<WIDTH>(chunk<WIDTH>(i));
#pragma unroll
            for (u32 e = 0; e < WIDTH; ++e) {
                f32 deviation = values.at[e] - centre.at[e];
                squares.at[e] += deviation * deviation;
            }
        }
        f32 square = sums.total_of(squares);
        u32 filter = blockIdx.y * COLUMNS + threadIdx.x, filters = g.output.channels;
        if (threadIdx.x >= COLUMNS || filter >= filters) return;
        f32* part = sinks.moments + (u64)sinks.part() * 3 * filters + filter;
        part[0] = all, part[filters] = mean, part[2 * filters] = square;
    }

    DEV void store_sums(f32 s1, f32 s2) const {
        u32 filter = blockIdx.y * COLUMNS + threadIdx.x;
        if (threadIdx.x >= COLUMNS || filter >= g.output.channels) return;
        const Sink& sink = find(filter);
        if (!sink.sums) return;
        f32* part = sink.sums + (u64)sinks.part() * 2 * sink.channels + (filter - sink.first);
        part[0] = s1, part[sink.channels] = s2;
    }
};
