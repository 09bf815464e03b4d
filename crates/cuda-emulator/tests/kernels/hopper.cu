// c[m,n] (f32) = a[m,k] b, bf16, by TMA, mbarriers and wgmma: one warpgroup a 64x64 tile, two
// stages. b is [n,k] (K-major) or [k,n] (MN-major); a comes from shared memory or from registers.
// For the emulator alone: the instructions are called by their emulated names.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
struct __align__(64) TensorMap { u64 opaque[16]; };

__device__ u64 descriptor(const void* shared, u64 leading, u64 stride) {
    u64 a = __cvta_generic_to_shared(shared);
    return (a & 0x3ffff) >> 4 | leading >> 4 << 16 | stride >> 4 << 32 | (u64)1 << 62;
}
__device__ void load_stage(u8* to, const TensorMap* ta, const TensorMap* tb, u64* full, int k,
                           int m, int n, bool b_mn_major) {
    __emu_mbar_arrive(full, 16384);
    int at[5] = {k, m, 0, 0, 0}, bt[5] = {b_mn_major ? n : k, b_mn_major ? k : n, 0, 0, 0};
    __emu_tma_load(to, ta, full, at);
    __emu_tma_load(to + 8192, tb, full, bt);
}
template <bool A_IN_REGISTERS, bool B_MN_MAJOR>
__device__ void gemm(float* c, const u16* a, const TensorMap& ta, const TensorMap& tb, int n, int k) {
    extern __shared__ __align__(1024) u8 shared[];
    u64* full = (u64*)(shared + 2 * 16384);
    int row = blockIdx.y * 64, column = blockIdx.x * 64, steps = k / 64;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    if (threadIdx.x == 0) {
        __emu_mbar_init(&full[0], 1);
        __emu_mbar_init(&full[1], 1);
    }
    __syncthreads();
    float acc[32];
    if (threadIdx.x == 0) load_stage(shared, &ta, &tb, full, 0, row, column, B_MN_MAJOR);
    for (int s = 0; s < steps; s++) {
        u8* stage = shared + s % 2 * 16384;
        if (threadIdx.x == 0 && s + 1 < steps)
            load_stage(shared + (s + 1) % 2 * 16384, &ta, &tb, &full[(s + 1) % 2], (s + 1) * 64, row,
                       column, B_MN_MAJOR);
#ifndef WRONG_WAIT
        while (!__emu_mbar_try_wait(&full[s % 2], s / 2 & 1)) {}
#endif
        for (int i = 0; i < 4; i++) {
            u64 db = B_MN_MAJOR ? descriptor(stage + 8192 + i * 2048, 0, 1024)
                                : descriptor(stage + 8192, 16, 1024) + 2 * i;
            if (A_IN_REGISTERS) {
                u32 r[4];
                for (int j = 0; j < 4; j++) {
                    int m = row + warp * 16 + lane / 4 + j % 2 * 8, kk = s * 64 + i * 16 + lane % 4 * 2 + j / 2 * 8;
                    r[j] = *(const u32*)(a + (size_t)m * k + kk);
                }
                __emu_wgmma_issue(acc, r, db, s + i > 0, B_MN_MAJOR);
            } else
                __emu_wgmma_issue(acc, descriptor(stage, 16, 1024) + 2 * i, db, s + i > 0, B_MN_MAJOR);
        }
        __emu_wgmma_commit();
        __emu_wgmma_wait<64>(0);
        __syncthreads();
    }
    for (int i = 0; i < 32; i++) {
        int r = row + warp * 16 + lane / 4 + i / 2 % 2 * 8, q = column + i / 4 * 8 + lane % 4 * 2 + i % 2;
        c[(size_t)r * n + q] = acc[i];
    }
}
#define KERNEL(name, registers, mn_major)                                                          \
    extern "C" __global__ void __launch_bounds__(128)                                              \
    name(float* c, const u16* a, const __grid_constant__ TensorMap ta,                             \
         const __grid_constant__ TensorMap tb, int n, int k) {                                     \
        gemm<registers, mn_major>(c, a, ta, tb, n, k);                                             \
    }
KERNEL(wgmma_ss_k, false, false)
KERNEL(wgmma_ss_mn, false, true)
KERNEL(wgmma_rs_k, true, false)
KERNEL(wgmma_rs_mn, true, true)
