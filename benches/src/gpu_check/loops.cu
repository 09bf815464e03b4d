// The speeds that kernels are compared with: reads of the second-level cache, and tensor cores fed
// from registers and from shared memory.
//
// Everything is summed to y, a word a thread, so that nothing is left out as unused. x has `words`
// words, 1,536 at least, in 16-byte pieces, and does not overlap y.
// Grid: blocks of 256 threads, as many as the host likes. Shared: 144 bytes a row and a column of
// mma_shared_*, static.
//
//   l2_read        `rounds` times all of x, which the blocks share equally; in every round a block
//                  reads another's part, which its first-level cache does not hold
//   mma_registers  `rounds` times eight independent products of 16 x 8 x 16 in each warp
//   mma_shared_*   `rounds` times a warp's tile of rows x columns x 64, whose operands come from
//                  shared memory by ldmatrix for each 16 of the 64
#include "prelude.cuh"

struct Effort {
    u64 words;
    u64 rounds;
};

extern "C" __global__ void __launch_bounds__(256) l2_read(const u32* x, u32* y, Effort g) {
    const uint4* pieces = reinterpret_cast<const uint4*>(x);
    u64 part = g.words / 4 / gridDim.x;
    u32 sum = 0;
    for (u64 round = 0; round < g.rounds; ++round) {
        const uint4* from = pieces + (blockIdx.x + round) % gridDim.x * part;
        for (u64 i = threadIdx.x; i < part; i += 256) {
            uint4 piece = from[i];
            sum += piece.x + piece.y + piece.z + piece.w;
        }
    }
    y[blockIdx.x * 256 + threadIdx.x] = sum;
}

extern "C" __global__ void __launch_bounds__(256) mma_registers(const u32* x, u32* y, Effort g) {
    f32 sums[8][4] = {};
    u32 a[4], b[2];
    for (u32 i = 0; i < 4; ++i) a[i] = x[4 * threadIdx.x + i];
    for (u32 i = 0; i < 2; ++i) b[i] = x[1024 + 2 * threadIdx.x + i];
    for (u64 round = 0; round < g.rounds; ++round) {
#pragma unroll
        for (u32 tile = 0; tile < 8; ++tile) mma<bf16>(sums[tile], a, b);
    }
    f32 sum = 0.0f;
#pragma unroll
    for (u32 i = 0; i < 32; ++i) sum += sums[i / 4][i % 4];
    y[blockIdx.x * 256 + threadIdx.x] = __float_as_uint(sum);
}

// Rows of 64 elements in 72, so that the eight rows of a matrix are in different banks.
template <u32 ROWS, u32 COLUMNS> DEV void mma_shared(const u32* x, u32* y, Effort g) {
    __shared__ __align__(16) u32 left[ROWS * 36];
    __shared__ __align__(16) u32 right[COLUMNS * 36];
    for (u32 i = threadIdx.x; i < ROWS * 36; i += 256) left[i] = x[i % 1024];
    for (u32 i = threadIdx.x; i < COLUMNS * 36; i += 256) right[i] = x[i % 1024];
    __syncthreads();
    u32 lane = threadIdx.x % 32;
    const u32* of_left = left + lane % 16 * 36 + lane / 16 * 4;
    const u32* of_right = right + (lane % 8 + lane / 16 * 8) * 36 + lane / 8 % 2 * 4;
    f32 sums[ROWS / 16][COLUMNS / 8][4] = {};
    for (u64 round = 0; round < g.rounds; ++round) {
#pragma unroll
        for (u32 k = 0; k < 32; k += 8) {
            u32 a[ROWS / 16][4], b[COLUMNS / 16][4];
#pragma unroll
            for (u32 i = 0; i < ROWS / 16; ++i) ldmatrix_x4(a[i], of_left + i * 16 * 36 + k);
#pragma unroll
            for (u32 j = 0; j < COLUMNS / 16; ++j) ldmatrix_x4(b[j], of_right + j * 16 * 36 + k);
#pragma unroll
            for (u32 i = 0; i < ROWS / 16; ++i) {
#pragma unroll
                for (u32 j = 0; j < COLUMNS / 8; ++j) {
                    u32 column[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
                    mma<bf16>(sums[i][j], a[i], column);
                }
            }
        }
    }
    f32 sum = 0.0f;
#pragma unroll
    for (u32 i = 0; i < ROWS / 16; ++i) {
#pragma unroll
        for (u32 j = 0; j < COLUMNS / 2; ++j) sum += sums[i][j / 4][j % 4];
    }
    y[blockIdx.x * 256 + threadIdx.x] = __float_as_uint(sum);
}

#define MMA_SHARED(ROWS, COLUMNS)                                                                 \
    extern "C" __global__ void __launch_bounds__(256) mma_shared_##ROWS##x##COLUMNS(              \
        const u32* x, u32* y, Effort g) {                                                         \
        mma_shared<ROWS, COLUMNS>(x, y, g);                                                       \
    }
MMA_SHARED(64, 64)
MMA_SHARED(64, 32)
MMA_SHARED(32, 64)
