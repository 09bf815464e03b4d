// Kernels whose accesses are known exactly. Blocks of 64 threads.
extern "C" __global__ void scale4(float4* y, const float4* x, float a) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float4 v = x[i];
    v.x *= a;
    v.y *= a;
    v.z *= a;
    v.w *= a;
    y[i] = v;
}
extern "C" __global__ void copy4(float4* y, const float4* x) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    y[i] = x[i];
}
struct __align__(16) Eight { unsigned short v[8]; };
extern "C" __global__ void halves(Eight* y, const Eight* x) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    Eight e = x[i], r;
    for (int k = 0; k < 8; k++) r.v[k] = e.v[7 - k] + 1;
    y[i] = r;
}
extern "C" __global__ void halves_cast(unsigned short* y, const unsigned short* x) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    uint4 u = *(const uint4*)(x + 8 * i);
    unsigned w[4] = {u.x, u.y, u.z, u.w};
    for (int k = 0; k < 4; k++) w[k] = (w[k] & 0xffff) + 3;
    *(uint4*)(y + 8 * i) = make_uint4(w[0], w[1], w[2], w[3]);
}
extern "C" __global__ void strided(float* y, int stride) {
    extern __shared__ float t[];
    t[threadIdx.x * stride] = threadIdx.x;
    __syncthreads();
    y[blockIdx.x * blockDim.x + threadIdx.x] = t[threadIdx.x * stride]; // LINE strided
}
