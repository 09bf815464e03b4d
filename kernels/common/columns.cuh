// Sums of the channels of rows, in two launches whose order the shape alone decides.
//
// First launch: rows are cut into slices; a block of 256 threads sums 32 channels of one slice, as
// 8 rows at a time, into partial[slice, channel]. Grid: (ceil(channels / 32), slices).
// Second launch: a thread adds up the slices of a channel, in their order. Grid: as common/
// elementwise.cuh says for one element a thread: ceil(channels / 256) blocks of 256 threads.
#pragma once
#include "prelude.cuh"

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

// sum[channel] (+)= the partial sums of the channel of this thread.
DEV void sum_of_slices(const f32* partial, f32* sum, const Slices& g) {
    u64 channel = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= g.channels) return;
    f32 total = 0.0f;
    for (u32 slice = 0; slice < g.slices; ++slice) total += partial[slice * g.channels + channel];
    sum[channel] = g.add ? sum[channel] + total : total;
}
