// Kernels with mistakes that the emulator must find.
#include "prelude.cuh"

extern "C" __global__ void far_outside(float* y, int n) { y[threadIdx.x + (size_t)n * 64] = 1.0f; }
extern "C" __global__ void asserts(float* y) {
    assert(threadIdx.x < 17);
    y[threadIdx.x] = 0;
}
