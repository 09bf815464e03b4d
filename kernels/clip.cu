// clip: all gradients scaled by most / norm if their common norm is above most.
//
// Gradients are f32 [len]. The squares are added up in f64: by blocks of 16,384 elements into
// `partial`, which holds those of all gradients one after the other, then in the order of blocks.
// `factor` is one f32: most / norm, or 1 if the norm is not above most or not finite, by which
// nothing is written.
// Grid: squares a block of 256 threads for each 16,384 elements; factor one block of 256 threads;
// scale as common/elementwise.cuh says. Shared: 64 bytes static.
//
//   clip_squares   partial[block] = sum g^2
//   clip_factor    factor from partial [blocks]
//   clip_scale     g *= factor
#include "elementwise.cuh"
#include "reduce.cuh"

struct Squares {
    u64 len;
    // The place of the first block's sum in `partial`.
    u64 first;
};
struct Factor {
    u64 blocks;
    f32 most;
    u32 reserved;
};
struct Scale {
    u64 len;
};

constexpr u32 BLOCK = 16384;

extern "C" __global__ void __launch_bounds__(256)
    clip_squares(const f32* gradient, double* partial, Squares g) {
    u64 begin = (u64)blockIdx.x * BLOCK;
    u64 end = min(begin + BLOCK, g.len);
    double sum = 0.0;
    for (u64 i = begin + threadIdx.x; i < end; i += 256) sum += (double)gradient[i] * gradient[i];
    sum = Block::reduce(sum, Sum());
    if (threadIdx.x == 0) partial[g.first + blockIdx.x] = sum;
}

extern "C" __global__ void __launch_bounds__(256)
    clip_factor(const double* partial, f32* factor, Factor g) {
    double sum = 0.0;
    for (u64 block = threadIdx.x; block < g.blocks; block += 256) sum += partial[block];
    double norm = sqrt(Block::reduce(sum, Sum()));
    // False for NaN.
    bool clips = norm > g.most && norm - norm == 0.0;
    if (threadIdx.x == 0) *factor = clips ? (f32)(g.most / norm) : 1.0f;
}

extern "C" __global__ void __launch_bounds__(256)
    clip_scale(const f32* factor, f32* gradient, Scale g) {
    f32 scale = *factor;
    if (scale == 1.0f) return;
    map(g.len, gradient, gradient, [=](f32 x, u64) { return x * scale; });
}
