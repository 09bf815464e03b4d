// select: the next batch of a dataset that is on the device.
//
//   clock += [1, 1]; row = clock[1]
//   indices[i] = order[row stride + i], selected[i] = labels[indices[i]] for i < count
//
// All are u32: order has a batch at every `stride`, labels a label for every image, clock is
// [step, row], indices and selected are [count]. Nothing overlaps.
// Grid: one block of 256 threads, so that the clock is read by all before it moves. No shared memory.
//
//   select_batch
#include "prelude.cuh"

struct Batch {
    u64 stride;
    u64 count;
};

extern "C" __global__ void __launch_bounds__(256)
    select_batch(const u32* order, const u32* labels, u32* clock, u32* indices, u32* selected,
                 Batch g) {
    u32 row = clock[1] + 1;
    __syncthreads();
    if (threadIdx.x == 0) {
        clock[0] += 1;
        clock[1] = row;
    }
    for (u64 i = threadIdx.x; i < g.count; i += 256) {
        u32 image = order[row * g.stride + i];
        indices[i] = image;
        selected[i] = labels[image];
    }
}
