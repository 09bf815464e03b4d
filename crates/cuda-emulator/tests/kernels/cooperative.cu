// Blocks that wait for each other. Block b adds what block b + 1 wrote before the barrier.
__device__ void grid_sync() {
#ifdef CUDA_EMU
    __emu_grid_sync();
#else
    cooperative_groups::this_grid().sync();
#endif
}
extern "C" __global__ void ring_sum(int* values, int rounds) {
    for (int r = 0; r < rounds; r++) {
        int next = values[(blockIdx.x + 1) % gridDim.x];
        grid_sync();
        if (threadIdx.x == 0) values[blockIdx.x] += next;
        grid_sync();
    }
}
extern "C" __global__ void leaves_early(int* values) {
    if (blockIdx.x == 0) return;
    grid_sync();
    values[blockIdx.x] = 1;
}
