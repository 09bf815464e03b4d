// Kernels with one mistake each, which the emulator must find on the line of the mistake.
#include "prelude.cuh"
#define N 256

extern "C" __global__ void far_outside(float* y) { y[(long long)threadIdx.x - (1ll << 40)] = 1.0f; } // LINE far_outside
extern "C" __global__ void asserts(float* y) {
    assert(threadIdx.x < 17); // LINE asserts
    y[threadIdx.x] = 0;
}
extern "C" __global__ void overflows_its_stack(float* y) {
    volatile float big[40000];
    big[threadIdx.x] = y[threadIdx.x]; // LINE overflows_its_stack
    y[threadIdx.x] = big[threadIdx.x];
}
extern "C" __global__ void deadlocks(float* y) {
    if (threadIdx.x < 100)
        __syncthreads(); // LINE deadlocks
    else
        __emu_bar_sync(3, N);
    y[threadIdx.x] = 0;
}
extern "C" __global__ void leaves_a_shuffle(float* y) {
    if (threadIdx.x == 7) return;
    y[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.0f, 1); // LINE leaves_a_shuffle
}
extern "C" __global__ void mixes_operations(int* y) {
    int v = threadIdx.x;
    if (v % 2) v = __shfl_xor_sync(0xffffffffu, v, 1); // LINE mixes_operations
    else v = __ballot_sync(0xffffffffu, v);
    y[threadIdx.x] = v;
}
extern "C" __global__ void misaligned_vector(float* y) {
    float4 v = *(float4*)(y + 2); // LINE misaligned_vector
    *(float4*)(y + 4) = make_float4(v.w, v.z, v.y, v.x);
}
extern "C" __global__ void spins(volatile int* y) {
    while (y[0] == 0) __nanosleep(1);
}

// ---- found in checked mode ----
extern "C" __global__ void one_too_many(float* y, int n) {
    if (threadIdx.x <= n) y[threadIdx.x] = 1.0f; // LINE one_too_many
}
extern "C" __global__ void reads_before(float* y) {
    y[threadIdx.x] = y[(int)threadIdx.x - 1]; // LINE reads_before
}
extern "C" __global__ void keeps_a_pointer(float* y) {
    static_assert(sizeof(y) == 8, "");
    y[threadIdx.x] = 2.0f; // LINE keeps_a_pointer
}
extern "C" __global__ void misaligned_word(char* y) {
    if (threadIdx.x > 0) return;
    *(float*)(y + 2) = 1; // LINE misaligned_word
}
extern "C" __global__ void outside_shared(float* y) {
    extern __shared__ __align__(16) float t[];
    t[threadIdx.x + 1] = threadIdx.x; // LINE outside_shared
    __syncthreads();
    y[threadIdx.x] = t[threadIdx.x];
}
extern "C" __global__ void reads_unwritten(float* y) {
    __shared__ float t[N];
    if (threadIdx.x < 128) t[threadIdx.x] = 1;
    __syncthreads();
    y[threadIdx.x] = t[threadIdx.x]; // LINE reads_unwritten
}
extern "C" __global__ void forgets_syncthreads(float* y) {
    __shared__ float t[N];
    t[threadIdx.x] = 0;
    __syncthreads();
    t[threadIdx.x] = threadIdx.x; // LINE forgets_syncthreads
    y[threadIdx.x] = t[N - 1 - threadIdx.x];
}
extern "C" __global__ void forgets_syncwarp(float* y) {
    __shared__ float t[N];
    t[threadIdx.x] = threadIdx.x;
    if (threadIdx.x % 2) y[threadIdx.x] = t[threadIdx.x ^ 1]; // LINE forgets_syncwarp
}
extern "C" __global__ void overwrites_too_early(float* y) {
    extern __shared__ __align__(16) float t[];
    t[threadIdx.x] = threadIdx.x;
    __syncthreads();
    y[threadIdx.x] = t[(threadIdx.x + 32) % N];
    t[threadIdx.x] = 0; // LINE overwrites_too_early
}
extern "C" __global__ void both_write(float* y) {
    __shared__ float t[1];
    t[0] = threadIdx.x; // LINE both_write
    __syncthreads();
    y[threadIdx.x] = t[0];
}
extern "C" __global__ void forgets_the_wait(float* y) {
    extern __shared__ __align__(16) float t[];
    cp_async16(t + 4 * threadIdx.x, y + 4 * threadIdx.x); // LINE the_copy
    cp_async_commit();
    y[threadIdx.x] = t[4 * threadIdx.x]; // LINE forgets_the_wait
    cp_async_wait<0>();
}
extern "C" __global__ void copies_misaligned(float* y) {
    extern __shared__ __align__(16) float t[];
    cp_async16(t + threadIdx.x, y + threadIdx.x); // LINE copies_misaligned
}
extern "C" __global__ void another_threads_local(float** y) {
    float mine = 0;
    if (threadIdx.x == 0) y[0] = &mine;
    __syncthreads();
    if (threadIdx.x == 33) *y[0] = 1; // LINE another_threads_local
    __syncthreads();
    if (threadIdx.x == 0) ((float*)y)[4] = mine;
}

extern "C" __global__ void blocks_overlap(float* y) {
    y[blockIdx.x * (N - 1) + threadIdx.x] = 1; // LINE blocks_overlap
}
extern "C" __global__ void reads_a_neighbour(float* y) {
    int i = blockIdx.x * N + threadIdx.x;
    y[i] = y[(i + N) % (3 * N)]; // LINE reads_a_neighbour
}
extern "C" __global__ void races_in_global(float* y) {
    if (blockIdx.x > 0) return;
    y[threadIdx.x] = 1; // LINE races_in_global
    y[N + threadIdx.x] = y[threadIdx.x ^ 64];
}

// Warps 0 to 3 hand a tile to warps 4 to 7 by a named barrier, of which the second half is missing.
__device__ void hand_over(float* y, bool right) {
    extern __shared__ __align__(16) float t[];
    int i = threadIdx.x % 128;
    bool producer = threadIdx.x < 128;
    for (int turn = 0; turn < 3; turn++) {
        if (producer) t[i] = turn; // LINE forgets_to_hand_back
        __emu_bar_sync(1, 256);
        if (!producer) y[128 * turn + i] = t[127 - i];
        if (right) __emu_bar_sync(2, 256);
    }
}
extern "C" __global__ void forgets_to_hand_back(float* y) {
    if (blockIdx.x == 0) hand_over(y, false);
}

// ---- right, and not to be reported ----
extern "C" __global__ void hands_back(float* y) { hand_over(y, true); }
// The last block to come adds what all blocks wrote.
extern "C" __global__ void ticket(float* sum, float* parts, unsigned* count) {
    __shared__ bool last;
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = blockIdx.x + 1;
        __threadfence();
        last = atomicAdd(count, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (last && threadIdx.x == 1) {
        float s = 0;
        for (unsigned i = 0; i < gridDim.x; i++) s += parts[i];
        sum[0] = s;
    }
}
extern "C" __global__ void all_in_order(float* y) {
    extern __shared__ __align__(16) float t[];
    __shared__ int count;
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    atomicAdd(&count, 1);
    t[threadIdx.x] = threadIdx.x;
    __syncwarp();
    float v = t[threadIdx.x ^ 1];
    __syncthreads();
    if (threadIdx.x < 64) cp_async16(t + 4 * threadIdx.x, y + 4 * threadIdx.x);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    v += t[(threadIdx.x + 100) % N] + count;
    __syncthreads();
    y[threadIdx.x] = v;
}
// Structs that functions return straight into shared memory, as a call if they are not inlined.
struct Pair {
    float first, second;
};
__device__ __forceinline__ Pair pair_of(float x) { return {x, 2 * x}; }
extern "C" __global__ void stores_structs(float* y) {
    __shared__ Pair pairs[N];
    __shared__ float4 vectors[N];
    pairs[threadIdx.x] = pair_of(threadIdx.x); // LINE stores_structs
    vectors[threadIdx.x] = make_float4(1, 2, 3, threadIdx.x);
    __syncthreads();
    float4 v = vectors[threadIdx.x ^ 33];
    y[threadIdx.x] = pairs[threadIdx.x ^ 64].second + v.w;
}
