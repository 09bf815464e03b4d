// embedding: y[i, :] = table[index[i], :] and dtable[index[i], :] += dy[i, :].
//
// The table, y and dy are f32 with rows of `width`, the indices are u32 [count] and below the
// number of the table's rows. Nothing overlaps.
// Grid: forward a thread an element, ceil(count width / 256) blocks; backward a block an index. Of
// the blocks whose indices are equal the first does the work of all, in the order of i, so that
// nothing is written twice. No shared memory.
//
//   embedding           y
//   embedding_backward  dtable, added to
#include "prelude.cuh"

struct Lookup {
    u64 count;
    u64 width;
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
    u64 first = blockIdx.x;
    u32 mine = index[first];
    int seen = 0;
    for (u64 i = threadIdx.x; i < first; i += 256) seen |= index[i] == mine;
    if (__syncthreads_or(seen)) return;
    for (u64 column = threadIdx.x; column < g.width; column += 256) {
        f32* to = dtable + mine * g.width + column;
        f32 sum = *to;
        for (u64 i = first; i < g.count; ++i) {
            if (index[i] == mine) sum += dy[i * g.width + column];
        }
        *to = sum;
    }
}
