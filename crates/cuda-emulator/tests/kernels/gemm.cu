// c[m,n] (f32) = a[m,k] b[k,n], bf16 row major; m and n multiples of 64, k of 32. 128 threads:
// four warps, each a 32x32 piece of the 64x64 tile; a ring of two stages in dynamic shared memory.
#include "prelude.cuh"

#define BM 64
#define BN 64
#define BK 32
#define LDA (BK + 8)
#define LDB (BN + 8)
#define STAGE (BM * LDA + BK * LDB)

__device__ void load_tile(u16* stage, const u16* a, const u16* b, int k, int n) {
    for (int i = threadIdx.x; i < BM * BK / 8; i += 128) {
        int r = i / (BK / 8), c = i % (BK / 8) * 8;
        cp_async16(stage + r * LDA + c, a + (size_t)r * k + c);
    }
    for (int i = threadIdx.x; i < BK * BN / 8; i += 128) {
        int r = i / (BN / 8), c = i % (BN / 8) * 8;
        cp_async16(stage + BM * LDA + r * LDB + c, b + (size_t)r * n + c);
    }
}

extern "C" __global__ void __launch_bounds__(128)
gemm_bf16(float* out, const u16* a, const u16* b, int m, int n, int k) {
    extern __shared__ __align__(128) u16 shared[];
    int row = blockIdx.y * BM, column = blockIdx.x * BN;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int wm = warp / 2 * 32, wn = warp % 2 * 32, steps = k / BK;
    float acc[2][4][4] = {};
    a += (size_t)row * k;
    b += column;
    load_tile(shared, a, b, k, n);
    cp_async_commit();
    for (int s = 0; s < steps; s++) {
        if (s + 1 < steps)
            load_tile(shared + (s + 1) % 2 * STAGE, a + (s + 1) * BK, b + (size_t)(s + 1) * BK * n, k, n);
        cp_async_commit();
#ifndef WRONG_WAIT
        cp_async_wait<1>();
#else
        cp_async_wait<2>();
#endif
        __syncthreads();
        u16 *sa = shared + s % 2 * STAGE, *sb = sa + BM * LDA;
        for (int kk = 0; kk < BK; kk += 16) {
            u32 fa[2][4], fb[4][2];
            for (int i = 0; i < 2; i++)
                ldmatrix_x4(fa[i], sa + (wm + i * 16 + lane % 16) * LDA + kk + lane / 16 * 8);
            for (int j = 0; j < 4; j++) ldmatrix_x2_trans(fb[j], sb + (kk + lane % 16) * LDB + wn + j * 8);
            for (int i = 0; i < 2; i++)
                for (int j = 0; j < 4; j++) mma_bf16(acc[i][j], fa[i], fb[j]);
        }
#ifndef WRONG_BARRIER
        __syncthreads();
#endif
    }
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 4; j++)
            for (int h = 0; h < 2; h++) {
                int r = row + wm + i * 16 + lane / 4 + h * 8, c = column + wn + j * 8 + lane % 4 * 2;
                *(float2*)(out + (size_t)r * n + c) = make_float2(acc[i][j][2 * h], acc[i][j][2 * h + 1]);
            }
}
