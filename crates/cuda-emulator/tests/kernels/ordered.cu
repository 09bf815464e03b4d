// What does and what does not depend on the order of blocks and threads.
extern "C" __global__ void adds_floats(float* y) {
    atomicAdd(y, 1.0f / (1 + blockIdx.x * blockDim.x + threadIdx.x));
}
extern "C" __global__ void last_thread_writes(float* y) { y[blockIdx.x] = threadIdx.x; }
extern "C" __global__ void last_block_writes(float* y) { y[threadIdx.x] = blockIdx.x; }

// Right: the block that comes last adds up in the order of the blocks. `count` starts at zero again.
extern "C" __global__ void adds_in_order(float* y) {
    __shared__ bool last;
    unsigned* count = (unsigned*)(y + gridDim.x + 1);
    if (threadIdx.x == 0) {
        y[1 + blockIdx.x] = 1.0f / (1 + blockIdx.x);
        __threadfence();
        last = atomicAdd(count, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (!last || threadIdx.x > 0) return;
    for (unsigned i = 1; i <= gridDim.x; i++) y[0] += y[i];
    *count = 0;
}
