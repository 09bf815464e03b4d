// conv2d_depthwise: the three passes of a convolution whose filter c sees channel c alone.
//
//   fprop  y[n, p, q, c]  = f(bias[c] + sum_{r, s} x[n, p u + r d, q u + s d, c] w[c, r, s])
//   dgrad  dx[n, h, w, c] = sum of dy[n, p, q, c] w[c, r, s] over the windows that hold (h, w)
//   wgrad  dw[c, r, s]    = sum_{n, p, q} x[n, p u + r d, q u + s d, c] dy[n, p, q, c]
//
// Layouts, types, order, bias and mask are those of conv2d_direct.cu, with w [channels, height,
// width].
// Grid: fprop and dgrad as common/images.cuh says; wgrad (ceil(channels / 32), taps, slices) blocks
// of 256 threads, 32 channels by 8 pixels at a time, whose eight sums are added in order. Shared:
// 1 KiB static in wgrad.
//
//   conv2d_depthwise_{fprop,dgrad}_one_{f32,bf16,f16}    any number of channels
//   conv2d_depthwise_{fprop,dgrad}_eight_{f32,bf16,f16}  multiples of 8; a thread takes 8
//   conv2d_depthwise_wgrad_{f32,bf16,f16}                a slice's part, for conv2d_wgrad_total
#include "conv2d.cuh"

// The sums of products of `from` with a tap of the filters from `channel` on.
template <int N, class T>
DEV void add_tap(const T* from, const T* w, u32 channel, u32 tap, u32 taps, Vector<N>& sums) {
    Vector<N> values = load<N>(from);
#pragma unroll
    for (int i = 0; i < N; ++i) {
        sums.at[i] += values.at[i] * to_f32(w[(u64)(channel + i) * taps + tap]);
    }
}

template <int N, class T>
DEV void fprop(const T* x, const T* w, const f32* bias, T* y, const Conv2d& g) {
    u32 lanes = g.channels / N, place = place_in_image(), size = g.output_pixels() * lanes;
    if (place >= size) return;
    u32 channel = place % lanes * N, pixel = place / lanes;
    u32 p = pixel / g.output[1], q = pixel % g.output[1];
    each_image(g.images, [&](u64 image) {
        const T* from = x + image * g.input_pixels() * g.channels + channel;
        Vector<N> sums = splat<N>(0.0f);
        for (u32 r = 0; r < g.kernel[0]; ++r) {
            u32 row = g.place(0, p, r);
            if (row >= g.input[0]) continue;
            for (u32 s = 0; s < g.kernel[1]; ++s) {
                u32 column = g.place(1, q, s);
                if (column >= g.input[1]) continue;
                u32 under = (row * g.input[1] + column) * g.channels;
                add_tap(from + under, w, channel, r * g.kernel[1] + s, g.taps(), sums);
            }
        }
#pragma unroll
        for (int i = 0; i < N; ++i) {
            f32 sum = bias ? sums.at[i] + bias[channel + i] : sums.at[i];
            sums.at[i] = g.relu ? relu(sum) : sum;
        }
        store<N>(y + (image * size + place) * N, sums);
    });
}

template <int N, class T>
DEV void dgrad(const T* dy, const T* w, const T* mask, T* dx, const Conv2d& g) {
    u32 lanes = g.channels / N, place = place_in_image(), size = g.input_pixels() * lanes;
    if (place >= size) return;
    u32 channel = place % lanes * N, pixel = place / lanes;
    u32 row = pixel / g.input[1], column = pixel % g.input[1];
    each_image(g.images, [&](u64 image) {
        const T* from = dy + image * g.output_pixels() * g.channels + channel;
        Vector<N> sums = splat<N>(0.0f);
        for (u32 r = 0; r < g.kernel[0]; ++r) {
            u32 p = g.window(0, row, r);
            if (p >= g.output[0]) continue;
            for (u32 s = 0; s < g.kernel[1]; ++s) {
                u32 q = g.window(1, column, s);
                if (q >= g.output[1]) continue;
                u32 window = (p * g.output[1] + q) * g.channels;
                add_tap(from + window, w, channel, r * g.kernel[1] + s, g.taps(), sums);
            }
        }
        u64 at = (image * size + place) * N;
        if (mask) {
            Vector<N> passes = load<N>(mask + at);
#pragma unroll
            for (int i = 0; i < N; ++i) {
                if (!(passes.at[i] > 0.0f)) sums.at[i] = 0.0f;
            }
        }
        store<N>(dx + at, sums);
    });
}

template <class T>
DEV void wgrad(const T* x, const T* dy, f32* partial, const SlicedConv2d& sliced) {
    __shared__ f32 sums[8][32];
    const Conv2d& g = sliced.conv;
    u32 lane = threadIdx.x % 32, group = threadIdx.x / 32, channel = blockIdx.x * 32 + lane;
    u32 tap = blockIdx.y, r = tap / g.kernel[1], s = tap % g.kernel[1];
    f32 sum = 0.0f;
    if (channel < g.channels) {
        each_output(sliced, blockIdx.z, group, 8, [&](u64 image, u32 p, u32 q) {
            u32 row = g.place(0, p, r), column = g.place(1, q, s);
            if (row >= g.input[0] || column >= g.input[1]) return;
            u64 under = image * g.input_pixels() + row * g.input[1] + column;
            u64 window = image * g.output_pixels() + p * g.output[1] + q;
            f32 value = to_f32(x[under * g.channels + channel]);
            sum += value * to_f32(dy[window * g.channels + channel]);
        });
    }
    sums[group][lane] = sum;
    __syncthreads();
    if (group == 0 && channel < g.channels) {
#pragma unroll
        for (int other = 1; other < 8; ++other) sum += sums[other][lane];
        u64 filter = (u64)blockIdx.z * g.channels + channel;
        partial[filter * g.taps() + tap] = sum;
    }
}

#define PASSES(SUFFIX, N, T)                                                                   \
    extern "C" __global__ void __launch_bounds__(256)                                          \
        conv2d_depthwise_fprop_##SUFFIX##_##T(const T* x, const T* w, const f32* bias, T* y,   \
                                              Conv2d g) {                                      \
        fprop<N>(x, w, bias, y, g);                                                            \
    }                                                                                          \
    extern "C" __global__ void __launch_bounds__(256)                                          \
        conv2d_depthwise_dgrad_##SUFFIX##_##T(const T* dy, const T* w, const T* mask, T* dx,   \
                                              Conv2d g) {                                      \
        dgrad<N>(dy, w, mask, dx, g);                                                          \
    }
#define CONV2D_DEPTHWISE(T)                                                                    \
    PASSES(one, 1, T)                                                                          \
    PASSES(eight, 8, T)                                                                        \
    extern "C" __global__ void __launch_bounds__(256)                                          \
        conv2d_depthwise_wgrad_##T(const T* x, const T* dy, f32* partial, SlicedConv2d g) {    \
        wgrad(x, dy, partial, g);                                                              \
    }
EACH_FLOAT(CONV2D_DEPTHWISE)
