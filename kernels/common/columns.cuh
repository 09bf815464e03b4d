// Sums of the channels of rows, in two launches whose order the shape alone decides.
//
// First launch: rows are cut into slices; a block of 256 threads sums 32 channels of one slice, 8
// rows at a time or, as vectors of eight channels, 64, into partial[slice, channel].
// Grid: (ceil(channels / 32), slices).
// Second launch: a thread adds up the slices of a channel, in their order. Grid: as common/
// elementwise.cuh says for one element a thread: ceil(channels / 256) blocks of 256 threads.
#pragma once
#include "types.cuh"

struct Slices {
    u64 rows;
    u64 channels;
    u64 rows_a_slice;
    u32 slices;
    // Whether the sums are added to what is there.
    u32 add;
};

// partial[slice, channel] = sum of value(row, channel) over the rows of the slice of this block.
template <class F> DEV void sum_slice(f32* partial, const Slices& g, F value) {
    __shared__ f32 sums[8][32];
    u32 lane = threadIdx.x % 32, group = threadIdx.x / 32;
    u64 channel = (u64)blockIdx.x * 32 + lane;
    u64 begin = blockIdx.y * g.rows_a_slice;
    u64 end = min(begin + g.rows_a_slice, g.rows);
    f32 sum = 0.0f;
    if (channel < g.channels) {
        for (u64 row = begin + group; row < end; row += 8) sum += value(row, channel);
    }
    sums[group][lane] = sum;
    __syncthreads();
    if (group == 0 && channel < g.channels) {
#pragma unroll
        for (int other = 1; other < 8; ++other) sum += sums[other][lane];
        partial[blockIdx.y * g.channels + channel] = sum;
    }
}

// partial[slice, channel] = sum of x[row, channel], for a multiple of eight channels.
template <class T> DEV void sum_slice_of_eights(const T* x, f32* partial, const Slices& g) {
    __shared__ __align__(16) f32 sums[8][32];
    u32 eight = threadIdx.x % 4 * 8, group = threadIdx.x / 4, warp = threadIdx.x / 32;
    u64 first = (u64)blockIdx.x * 32;
    u64 begin = blockIdx.y * g.rows_a_slice;
    u64 end = min(begin + g.rows_a_slice, g.rows);
    Eight sum = {};
    if (first + eight < g.channels) {
        for (u64 row = begin + group; row < end; row += 64) {
            Eight values = load8(x + row * g.channels + first + eight);
#pragma unroll
            for (int i = 0; i < 8; ++i) sum.at[i] += values.at[i];
        }
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) {
#pragma unroll
        for (int bit = 4; bit < 32; bit *= 2) {
            sum.at[i] += __shfl_xor_sync(0xffffffffu, sum.at[i], bit);
        }
    }
    if (threadIdx.x % 32 < 4) store8(&sums[warp][eight], sum);
    __syncthreads();
    if (threadIdx.x < 32 && first + threadIdx.x < g.channels) {
        f32 total = 0.0f;
#pragma unroll
        for (int of = 0; of < 8; ++of) total += sums[of][threadIdx.x];
        partial[blockIdx.y * g.channels + first + threadIdx.x] = total;
    }
}

// sum[channel] (+)= the partial sums of the channel of this thread.
DEV void sum_of_slices(const f32* partial, f32* sum, const Slices& g) {
    u64 channel = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= g.channels) return;
    f32 total = 0.0f;
    for (u32 slice = 0; slice < g.slices; ++slice) total += partial[slice * g.channels + channel];
    sum[channel] = g.add ? sum[channel] + total : total;
}
