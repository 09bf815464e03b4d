// Every instruction of prelude.cuh by value: what it gives is compared with what it is documented to
// give, which the host computes. x and y are words; each kernel runs as one warp.
#include "prelude.cuh"

struct Count {
    u64 len;
};

// y[i] = the 16-bit pattern x[i] as f32.
template <class T> DEV void widen(const u32* x, u32* y, Count count) {
    for (u64 i = threadIdx.x; i < count.len; i += 32) {
        T narrow;
        narrow.bits = (u16)x[i];
        y[i] = __float_as_uint(to_f32(narrow));
    }
}

// y[i] = the f32 pattern x[i] rounded to 16 bits.
template <class T> DEV void narrow(const u32* x, u32* y, Count count) {
    for (u64 i = threadIdx.x; i < count.len; i += 32) {
        y[i] = from_f32<T>(__uint_as_float(x[i])).bits;
    }
}

// x: 64 pieces of N words, which lane by lane and half by half are copied to the place 5 further on,
// unless the piece's last bit is set. y: what is there once all is complete, then what the first
// half was once all but one group were.
template <int N, class Copy> DEV void copies(const u32* x, u32* y, Copy copy) {
    __shared__ __align__(16) u32 pieces[64][N];
    u32 lane = threadIdx.x;
    for (u32 half = 0; half < 2; ++half) {
        for (u32 i = 0; i < N; ++i) pieces[32 * half + lane][i] = 0xffffffffu;
    }
    __syncthreads();
    for (u32 half = 0; half < 2; ++half) {
        const u32* from = x + N * (32 * half + lane);
        copy(pieces[32 * half + (lane + 5) % 32], from, from[0] % 2 == 0);
        cp_async_commit();
    }
    cp_async_wait<1>();
    __syncthreads();
    for (u32 i = 0; i < N; ++i) y[64 * N + N * lane + i] = pieces[lane][i];
    cp_async_wait<0>();
    __syncthreads();
    for (u32 half = 0; half < 2; ++half) {
        for (u32 i = 0; i < N; ++i) {
            y[N * (32 * half + lane) + i] = pieces[32 * half + lane][i];
        }
    }
}

// x: 32 rows of 16 bytes, row 11 l % 32 at the address of lane l. y: the registers of each lane.
template <int N, class Load> DEV void matrices(const u32* x, u32* y, Load load) {
    __shared__ __align__(16) u32 rows[32][4];
    u32 lane = threadIdx.x;
    for (u32 i = 0; i < 4; ++i) rows[lane][i] = x[4 * lane + i];
    __syncthreads();
    u32 loaded[N];
    load(loaded, rows[11 * lane % 32]);
    for (u32 i = 0; i < N; ++i) y[N * lane + i] = loaded[i];
}

// x: a as 16 rows of 8 words, b as 8 columns of 8 words, c as 16 rows of 8 f32. y: c + a b.
template <class T> DEV void multiply(const u32* x, u32* y) {
    u32 g = threadIdx.x / 4, t = threadIdx.x % 4;
    const u32 *left = x, *right = x + 128, *start = x + 192;
    u32 a[4] = {left[8 * g + t], left[8 * (g + 8) + t], left[8 * g + t + 4],
                left[8 * (g + 8) + t + 4]};
    u32 b[2] = {right[8 * g + t], right[8 * g + t + 4]};
    u32 places[4] = {8 * g + 2 * t, 8 * g + 2 * t + 1, 8 * (g + 8) + 2 * t,
                     8 * (g + 8) + 2 * t + 1};
    f32 sums[4];
    for (u32 i = 0; i < 4; ++i) sums[i] = __uint_as_float(start[places[i]]);
    mma<T>(sums, a, b);
    for (u32 i = 0; i < 4; ++i) y[places[i]] = __float_as_uint(sums[i]);
}

#define INSTRUCTION(NAME, BODY)                                                                    \
    extern "C" __global__ void __launch_bounds__(32) NAME(const u32* x, u32* y, Count count) {     \
        BODY;                                                                                      \
    }

INSTRUCTION(to_f32_of_f16, widen<f16>(x, y, count))
INSTRUCTION(to_f32_of_bf16, widen<bf16>(x, y, count))
INSTRUCTION(from_f32_to_f16, narrow<f16>(x, y, count))
INSTRUCTION(from_f32_to_bf16, narrow<bf16>(x, y, count))
INSTRUCTION(cp_async_8, copies<2>(x, y, [](void* to, const void* from, bool valid) {
                cp_async8(to, from, valid);
            }))
INSTRUCTION(cp_async_16, copies<4>(x, y, [](void* to, const void* from, bool valid) {
                cp_async16(to, from, valid);
            }))
INSTRUCTION(ldmatrix2,
            matrices<2>(x, y, [](u32 (&to)[2], const void* row) { ldmatrix_x2(to, row); }))
INSTRUCTION(ldmatrix4,
            matrices<4>(x, y, [](u32 (&to)[4], const void* row) { ldmatrix_x4(to, row); }))
INSTRUCTION(ldmatrix4_trans,
            matrices<4>(x, y, [](u32 (&to)[4], const void* row) { ldmatrix_x4_trans(to, row); }))
INSTRUCTION(mma_bf16, multiply<bf16>(x, y))
INSTRUCTION(mma_f16, multiply<f16>(x, y))
