// conv2d_direct: the three passes of a convolution, a thread a result. The reference that the
// quicker kernels are compared with, and what runs a geometry that they cannot.
//
//   fprop  y[n, p, q, k]  = f(bias[k] + sum_{r, s, c} x[n, p u + r d, q u + s d, c] w[k, r, s, c])
//   dgrad  dx[n, h, w, c] = sum of dy[n, p, q, k] w[k, r, s, c] over the windows that hold (h, w)
//   wgrad  dw[k, r, s, c] = sum_{n, p, q} x[n, p u + r d, q u + s d, c] dy[n, p, q, k]
//
// x and dx are [images, height, width, channels], y and dy [images, rows, columns, filters], w is
// [filters, height, width, channels], all of one float type; bias and the gradient of w are f32.
// f is relu or nothing. bias may be null. Where a mask like dx is given and not above zero, dx is
// zero; it may be null. Sums are f32, in the order that the formulas are read in, and rounded once.
// Nothing overlaps but that dx may be the mask.
// Grid: fprop over y and dgrad over dx as common/images.cuh says; wgrad (ceil(filters' elements /
// 256), slices) blocks of 256 threads, of which each writes its slice's part; the total a thread an
// element, ceil(elements / 256) blocks of 256. No shared memory.
//
//   conv2d_direct_{fprop,dgrad,wgrad}_{f32,bf16,f16}
//   conv2d_wgrad_total  dw, or dw added to, from the slices' parts in their order
#include "conv2d.cuh"

template <class T>
DEV void fprop(const T* x, const T* w, const f32* bias, T* y, const Conv2d& g) {
    u32 place = place_in_image(), size = g.output_pixels() * g.filters;
    if (place >= size) return;
    u32 filter = place % g.filters, pixel = place / g.filters;
    u32 p = pixel / g.output[1], q = pixel % g.output[1];
    w += (u64)filter * g.taps() * g.channels;
    each_image(g.images, [&](u64 image) {
        f32 sum = 0.0f;
        for (u32 r = 0; r < g.kernel[0]; ++r) {
            u32 row = g.place(0, p, r);
            if (row >= g.input[0]) continue;
            for (u32 s = 0; s < g.kernel[1]; ++s) {
                u32 column = g.place(1, q, s);
                if (column >= g.input[1]) continue;
                u64 under = image * g.input_pixels() + row * g.input[1] + column;
                const T* from = x + under * g.channels;
                const T* tap = w + (r * g.kernel[1] + s) * g.channels;
                for (u32 c = 0; c < g.channels; ++c) sum += to_f32(from[c]) * to_f32(tap[c]);
            }
        }
        if (bias) sum += bias[filter];
        y[image * size + place] = from_f32<T>(g.relu ? relu(sum) : sum);
    });
}

template <class T>
DEV void dgrad(const T* dy, const T* w, const T* mask, T* dx, const Conv2d& g) {
    u32 place = place_in_image(), size = g.input_pixels() * g.channels;
    if (place >= size) return;
    u32 channel = place % g.channels, pixel = place / g.channels;
    u32 row = pixel / g.input[1], column = pixel % g.input[1];
    w += channel;
    each_image(g.images, [&](u64 image) {
        f32 sum = 0.0f;
        for (u32 r = 0; r < g.kernel[0]; ++r) {
            u32 p = g.window(0, row, r);
            if (p >= g.output[0]) continue;
            for (u32 s = 0; s < g.kernel[1]; ++s) {
                u32 q = g.window(1, column, s);
                if (q >= g.output[1]) continue;
                u64 window = image * g.output_pixels() + p * g.output[1] + q;
                const T* from = dy + window * g.filters;
                u64 tap = (r * g.kernel[1] + s) * g.channels, filter = (u64)g.taps() * g.channels;
                for (u32 k = 0; k < g.filters; ++k) {
                    sum += to_f32(from[k]) * to_f32(w[k * filter + tap]);
                }
            }
        }
        u64 at = image * size + place;
        bool passes = !mask || to_f32(mask[at]) > 0.0f;
        dx[at] = from_f32<T>(passes ? sum : 0.0f);
    });
}

template <class T>
DEV void wgrad(const T* x, const T* dy, f32* partial, const SlicedConv2d& sliced) {
    const Conv2d& g = sliced.conv;
    u64 size = (u64)g.filters * g.taps() * g.channels;
    u64 place = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (place >= size) return;
    u32 channel = (u32)(place % g.channels), tap = (u32)(place / g.channels % g.taps());
    u64 filter = place / g.channels / g.taps();
    u32 r = tap / g.kernel[1], s = tap % g.kernel[1];
    f32 sum = 0.0f;
    each_output(sliced, blockIdx.y, 0, 1, [&](u64 image, u32 p, u32 q) {
        u32 row = g.place(0, p, r), column = g.place(1, q, s);
        if (row >= g.input[0] || column >= g.input[1]) return;
        u64 under = image * g.input_pixels() + row * g.input[1] + column;
        u64 window = image * g.output_pixels() + p * g.output[1] + q;
        sum += to_f32(x[under * g.channels + channel]) * to_f32(dy[window * g.filters + filter]);
    });
    partial[blockIdx.y * size + place] = sum;
}

// Partial gradients, [slices, len].
struct Parts {
    u64 len;
    u32 slices;
    // Whether the gradient is added to what is there.
    u32 add;
};

extern "C" __global__ void __launch_bounds__(256)
    conv2d_wgrad_total(const f32* partial, f32* dw, Parts g) {
    u64 place = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (place >= g.len) return;
    f32 sum = 0.0f;
    for (u32 slice = 0; slice < g.slices; ++slice) sum += partial[slice * g.len + place];
    dw[place] = g.add ? dw[place] + sum : sum;
}

#define CONV2D_DIRECT(T)                                                                       \
    extern "C" __global__ void __launch_bounds__(256)                                          \
        conv2d_direct_fprop_##T(const T* x, const T* w, const f32* bias, T* y, Conv2d g) {     \
        fprop(x, w, bias, y, g);                                                               \
    }                                                                                          \
    extern "C" __global__ void __launch_bounds__(256)                                          \
        conv2d_direct_dgrad_##T(const T* dy, const T* w, const T* mask, T* dx, Conv2d g) {     \
        dgrad(dy, w, mask, dx, g);                                                             \
    }                                                                                          \
    extern "C" __global__ void __launch_bounds__(256)                                          \
        conv2d_direct_wgrad_##T(const T* x, const T* dy, f32* partial, SlicedConv2d g) {       \
        wgrad(x, dy, partial, g);                                                              \
    }
EACH_FLOAT(CONV2D_DIRECT)
