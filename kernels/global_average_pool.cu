// global_average_pool: y[n, c] = sum_p x[n, p, c] / pixels and dx[n, p, c] = dy[n, c] / pixels.
//
// x, dx and mask are [images, pixels, channels] of one float type, y and dy are [images, channels]
// and f32. The sums of every eighth pixel are added up in order. dx is rounded once and zero where
// a mask is given that is not above zero; dx may be the mask.
// Grid: forward (images, ceil(channels / 32)) blocks of 256 threads, 8 pixels by 32 channels at a
// time; backward as common/images.cuh says. Shared: 1 KiB static forward.
//
//   global_average_pool_{f32,bf16,f16}           y
//   global_average_pool_backward_{f32,bf16,f16}  dx; mask may be null
#include "images.cuh"
#include "types.cuh"

struct Maps {
    u64 images;
    u32 pixels;
    u32 channels;
};

template <class T> DEV void global_average_pool(const T* x, f32* y, const Maps& g) {
    __shared__ f32 sums[8][32];
    u32 lane = threadIdx.x % 32, group = threadIdx.x / 32, channel = blockIdx.y * 32 + lane;
    u64 image = blockIdx.x;
    f32 sum = 0.0f;
    if (channel < g.channels) {
        x += image * g.pixels * g.channels + channel;
        for (u64 pixel = group; pixel < g.pixels; pixel += 8) {
            sum += to_f32(x[pixel * g.channels]);
        }
    }
    sums[group][lane] = sum;
    __syncthreads();
    if (group == 0 && channel < g.channels) {
#pragma unroll
        for (int other = 1; other < 8; ++other) sum += sums[other][lane];
        y[image * g.channels + channel] = sum / (f32)g.pixels;
    }
}

template <class T>
DEV void global_average_pool_backward(const f32* dy, const T* mask, T* dx, const Maps& g) {
    u32 place = place_in_image(), size = g.pixels * g.channels;
    if (place >= size) return;
    each_image(g.images, [&](u64 image) {
        u64 at = image * size + place;
        f32 share = dy[image * g.channels + place % g.channels] / (f32)g.pixels;
        bool passes = !mask || to_f32(mask[at]) > 0.0f;
        dx[at] = from_f32<T>(passes ? share : 0.0f);
    });
}

#define GLOBAL_AVERAGE_POOL(T)                                                              \
    extern "C" __global__ void __launch_bounds__(256)                                       \
        global_average_pool_##T(const T* x, f32* y, Maps g) {                               \
        global_average_pool(x, y, g);                                                       \
    }                                                                                       \
    extern "C" __global__ void __launch_bounds__(256)                                       \
        global_average_pool_backward_##T(const f32* dy, const T* mask, T* dx, Maps g) {     \
        global_average_pool_backward(dy, mask, dx, g);                                      \
    }
EACH_FLOAT(GLOBAL_AVERAGE_POOL)
