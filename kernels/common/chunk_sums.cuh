// Sums of the columns of a tile in shared memory, of which each of 128 threads takes a chunk of 8
// columns of every GROUPS-th row. N is the number of chunks; threads beyond whole groups have none.
#pragma once
#include "types.cuh"

template <int N> struct ChunkSums {
    enum : u32 { GROUPS = 128 / N, COLUMNS = N * 8, BYTES = 4096 };

    // [GROUPS, COLUMNS].
    f32* at;

    DEV static u32 chunk() { return threadIdx.x % N; }
    DEV static u32 group() { return threadIdx.x / N; }
    DEV static bool idle() { return group() >= GROUPS; }

    DEV void clear() const {
        Eight zeros = {};
        if (!idle()) store8(mine(), zeros);
    }
    DEV void add(const Eight& values) const {
        Eight sums = load8(mine());
#pragma unroll
        for (u32 e = 0; e < 8; ++e) sums.at[e] += values.at[e];
        store8(mine(), sums);
    }
    // Adds up the groups in their order: the first COLUMNS threads get the sum of a column each.
    DEV f32 total() const {
        f32 sum = 0.0f;
        __syncthreads();
        if (threadIdx.x >= COLUMNS) return sum;
#pragma unroll
        for (u32 group = 0; group < GROUPS; ++group) sum += at[group * COLUMNS + threadIdx.x];
        return sum;
    }
    DEV f32 total_of(const Eight& values) const {
        __syncthreads();  // the last sums were read
        if (!idle()) store8(mine(), values);
        return total();
    }

  private:
    DEV f32* mine() const { return at + group() * COLUMNS + chunk() * 8; }
};
