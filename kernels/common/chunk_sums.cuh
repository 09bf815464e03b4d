// Sums of the columns of a tile in shared memory, of which each of 128 threads takes a chunk of WIDTH
// columns, 8 or 4, of every GROUPS-th row; threads beyond whole groups have none.
#pragma once
#include "vector.cuh"

template <int COLUMNS, int WIDTH> struct ChunkSums {
    enum : u32 { CHUNKS = COLUMNS / WIDTH, GROUPS = 128 / CHUNKS, BYTES = 4096 };

    // [GROUPS, COLUMNS].
    f32* at;

    DEV static u32 chunk() { return threadIdx.x % CHUNKS; }
    DEV static u32 group() { return threadIdx.x / CHUNKS; }
    DEV static bool idle() { return group() >= GROUPS; }

    DEV void clear() const {
        if (!idle()) store(mine(), splat<WIDTH>(0.0f));
    }
    DEV void add(const Vector<WIDTH>& values) const {
        Vector<WIDTH> sums = load<WIDTH>(mine());
#pragma unroll
        for (u32 e = 0; e < WIDTH; ++e) sums.at[e] += values.at[e];
        store(mine(), sums);
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
    DEV f32 total_of(const Vector<WIDTH>& values) const {
        __syncthreads();  // the last sums were read
        if (!idle()) store(mine(), values);
        return total();
    }

  private:
    DEV f32* mine() const { return at + group() * COLUMNS + chunk() * WIDTH; }
};
