// Reductions over a warp or a block, in an order that the number of threads alone decides, so that
// the same operands give the same bits.
#pragma once
#include "prelude.cuh"

#define INFINITY_F32 __uint_as_float(0x7f800000u)

struct Sum {
    template <class V> DEV V operator()(V a, V b) const { return a + b; }
};
struct Max {
    DEV f32 operator()(f32 a, f32 b) const { return fmaxf(a, b); }
};
struct Min {
    DEV u32 operator()(u32 a, u32 b) const { return min(a, b); }
};

// The threads that share a row: they are lane() of lanes(), and reduce() gives every one of them
// the same result. `Op` is commutative; values are combined in a butterfly of lane bits.
struct Warp {
    // Most elements of a row that a thread keeps in registers.
    static constexpr u32 HELD = 32;

    DEV static u32 lanes() { return 32; }
    DEV static u32 lane() { return threadIdx.x % 32; }
    // The row of this warp, in a grid whose blocks hold whole warps.
    DEV static u64 row() { return ((u64)blockIdx.x * blockDim.x + threadIdx.x) / 32; }

    template <class V, class Op> DEV static V reduce(V value, Op op) {
#pragma unroll
        for (int bit = 16; bit > 0; bit /= 2) {
            value = op(value, __shfl_xor_sync(0xffffffffu, value, bit));
        }
        return value;
    }
};

// A block of 256 threads.
struct Block {
    static constexpr u32 HELD = 40;

    DEV static u32 lanes() { return 256; }
    DEV static u32 lane() { return threadIdx.x; }
    DEV static u64 row() { return blockIdx.x; }

    template <class V, class Op> DEV static V reduce(V value, Op op) {
        __shared__ V of_warp[8];
        value = Warp::reduce(value, op);
        __syncthreads();  // the last reduction's values were read
        if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
        __syncthreads();
        value = of_warp[threadIdx.x % 8];
#pragma unroll
        for (int bit = 4; bit > 0; bit /= 2) {
            value = op(value, __shfl_xor_sync(0xffffffffu, value, bit));
        }
        return value;
    }
};
