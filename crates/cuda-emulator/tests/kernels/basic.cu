extern "C" __global__ void saxpy(float* y, const float* x, float a, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = a * x[i] + y[i];
}

__constant__ float scale[2];

extern "C" __global__ void scale_shift(float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = y[i] * scale[0] + scale[1];
}

// Of parameters of several sizes and alignments.
struct Geometry { short a; double b; int c[3]; };
extern "C" __global__ void parameters(double* out, char c, Geometry g, short s) {
    out[0] = c + g.a + g.b + g.c[2] + s;
}

template <class Op> __device__ float block_reduce(float v, Op op) {
    __shared__ float part[8];
    for (int o = 16; o > 0; o >>= 1) v = op(v, __shfl_xor_sync(0xffffffffu, v, o));
    __syncthreads(); // the previous use of part is over
    if ((threadIdx.x & 31) == 0) part[threadIdx.x >> 5] = v;
    __syncthreads();
    v = part[threadIdx.x & 7];
    for (int o = 4; o > 0; o >>= 1) v = op(v, __shfl_xor_sync(0xffffffffu, v, o));
    return v;
}
struct Max { __device__ float operator()(float a, float b) const { return fmaxf(a, b); } };
struct Add { __device__ float operator()(float a, float b) const { return a + b; } };

// One row a block of 256 threads.
extern "C" __global__ void __launch_bounds__(256) softmax(float* out, const float* in, int cols) {
    const float* x = in + (size_t)blockIdx.x * cols;
    float* y = out + (size_t)blockIdx.x * cols;
    float m = -__int_as_float(0x7f800000);
    for (int i = threadIdx.x; i < cols; i += blockDim.x) m = fmaxf(m, x[i]);
    m = block_reduce(m, Max());
    float s = 0;
    for (int i = threadIdx.x; i < cols; i += blockDim.x) s += expf(x[i] - m);
    s = block_reduce(s, Add());
    for (int i = threadIdx.x; i < cols; i += blockDim.x) y[i] = expf(x[i] - m) / s;
}

// One of everything that warps do together; 64 threads.
extern "C" __global__ void warp_functions(unsigned* out) {
    unsigned lane = threadIdx.x & 31, t = threadIdx.x;
    unsigned* o = out + t * 10;
    o[0] = __ballot_sync(~0u, lane % 3 == 0);
    o[1] = __any_sync(~0u, t == 40);
    o[2] = __all_sync(~0u, t < 50);
    o[3] = __match_any_sync(~0u, lane / 8);
    o[4] = __reduce_add_sync(~0u, t);
    o[5] = __shfl_up_sync(~0u, lane, 3, 16);
    o[6] = __shfl_down_sync(~0u, lane, 5);
    o[7] = __syncthreads_count(t < 40);
    o[8] = lane < 16 ? __shfl_sync(0xffffu, lane, 3) : __shfl_sync(0xffff0000u, lane, 20);
    o[9] = __syncthreads_and(t < 64) + 2 * __syncthreads_or(t > 62);
}

extern "C" __global__ void atomics(int* out) {
    atomicAdd(&out[0], 1);
    atomicMax(&out[1], (int)threadIdx.x);
    atomicCAS(&out[2], 0, 7);
}

template <int N> __global__ void multiply(int* out) { out[threadIdx.x] *= N; }
