// conv2d_pack: filters of many convolutions in the order in which gathers read them.
//
//   packed[8 i + e] = w[first + e step] for e < count, else 0
//
// A job is a convolution: w is f32, packed is of the type that the kernel is named after. sources is
// [eights, 2]: for each eight i its `first`, and its count in the lower 4 bits of a word whose upper
// bits say which of two steps it has. Nothing overlaps.
// Grid: blocks of 256 threads, a thread an eight; the blocks of a job come after those of the jobs
// before it. No shared memory.
//
//   conv2d_pack_{f32,bf16,f16}
#include "jobs.cuh"
#include "types.cuh"

struct Job {
    const f32* w;
    const u32* sources;
    void* packed;
    u64 eights;
    u64 steps[2];
    // The first of its blocks.
    u64 block;
};
struct Jobs {
    Job at[64];
    u64 count;
};

template <class T> DEV void pack(const Jobs& jobs) {
    const Job& job = job_of_block(jobs.at, (u32)jobs.count);
    u64 place = (blockIdx.x - job.block) * 256 + threadIdx.x;
    if (place >= job.eights) return;
    u32 how = job.sources[2 * place + 1], count = how & 15;
    u64 step = how >> 4 ? job.steps[1] : job.steps[0];
    const f32* from = job.w + job.sources[2 * place];
    Eight values;
#pragma unroll
    for (u32 e = 0; e < 8; ++e) values.at[e] = e < count ? from[e * step] : 0.0f;
    store8((T*)job.packed + 8 * place, values);
}

#define CONV2D_PACK(T)                                                                         \
    extern "C" __global__ void __launch_bounds__(256)                                          \
        conv2d_pack_##T(const __grid_constant__ Jobs jobs) {                                   \
        pack<T>(jobs);                                                                         \
    }
EACH_FLOAT(CONV2D_PACK)
