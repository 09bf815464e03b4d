// embedding: y[i, :] = table[index[i], :] and dtable[index[i], :] += dy[i, :].
//
// The table, y and dy are f32 with rows of `width`, the indices are u32 [count] and below the
// number of the table's rows. Nothing overlaps.
// Grid: forward a thread an element, ceil(count width / 256) blocks; backward a warp a row of the
// table and 128 columns, ceil(rows / 8) x ceil(width / 128) blocks of 256 threads. Each warp reads
// all indices once and adds up the rows of dy that are its row's, in the order of i. No shared
// memory.
//
//   embedding           y
//   embedding_backward  dtable, added to
#include "prelude.cuh"

struct Lookup {
    u64 count;
    u64 width;
    u64 rows;
};

extern "C" __global__ void __launch_bounds__(256)
    embedding(const f32* table, const u32* index, f32* y, Lookup g) {
    u64 element = (u64)blockIdx.x * 256 + threadIdx.x;
    if (element >= g.count * g.width) return;
    u64 row = element / g.width;
    y[element] = table[index[row] * g.width + (element - row * g.width)];
}

extern "C" __global__ void __launch_bounds__(256)
    embedding_backward(const u32* index, const f32* dy, f32* dtable, Lookup g) {
    constexpr u32 COLUMNS = 4;
    u32 lane = threadIdx.x % 32;
    u64 row = (u64)blockIdx.x * 8 + threadIdx.x / 32;
    u64 column = (u64)blockIdx.y * 32 * COLUMNS + lane;
    if (row >= g.rows) return;
    f32* to = dtable + row * g.width + column;
    f32 sums[COLUMNS];
    bool found = false;
    for (u64 first = 0; first < g.count; first += 32) {
        u64 i = first + lane;
        u32 equal = __ballot_sync(0xffffffffu, i < g.count && index[i] == row);
        if (equal && !found) {
#pragma unroll
            for (u32 j = 0; j < COLUMNS; ++j) {
                if (column + 32 * j < g.width) sums[j] = to[32 * j];
            }
        }
        found |= equal != 0;
        for (; equal; equal &= equal - 1) {
            const f32* from = dy + (first + __ffs(equal) - 1) * g.width + column;
#pragma unroll
            for (u32 j = 0; j < COLUMNS; ++j) {
                if (column + 32 * j < g.width) sums[j] += from[32 * j];
            }
        }
    }
#pragma unroll
    for (u32 j = 0; j < COLUMNS; ++j) {
        if (found && column + 32 * j < g.width) to[32 * j] = sums[j];
    }
}
