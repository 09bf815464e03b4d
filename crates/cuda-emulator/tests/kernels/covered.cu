// Lines marked RUN are executed by a block of 40 threads with n = 7, those marked NOT are not.
#include "prelude.cuh"
template <int N> __device__ int choose(int x) {
    if (N > 5)
        return x + N; // RUN
    return x * N;
}
extern "C" __global__ void covered(int* out, int n) {
    int x = threadIdx.x; // RUN
    if (x > 100)
        x = 1000; // NOT
    if (x < n) {
        x = choose<6>(x); // RUN
    } else {
        x = -1; // RUN
    }
    __shared__ int t[40];
    t[threadIdx.x] = x; // RUN
    __syncthreads(); // RUN
    if (n == 8) // RUN
        cp_async_commit(); // NOT
    out[threadIdx.x] = t[39 - threadIdx.x] + x; // RUN
}
extern "C" __global__ void never(int* out) {
    cp_async_commit(); // NOT
    out[0] = 3; // NOT
}
