// pool: the maximum or the mean of windows of pixels, channel by channel.
//
// x and dx are [images, height, width, channels], y and dy [images, rows, columns, channels], all
// of one float type. What of a window lies in the padding does not count. Arithmetic is f32,
// results are rounded once.
//
//   pool           y = max or mean of the window; a maximum is NaN if a pixel is
//   pool_backward  dx = sum over the windows of the pixel, in row-major order, of dy if the pixel
//                  is the window's first maximum, or of dy over the window's pixels
//
// The backward pass is a gather: each pixel finds the maxima of its windows again.
// Nothing overlaps. Grid: as common/images.cuh says, over y forward and over dx backward. No shared
// memory.
//
//   {operation}_one_{f32,bf16,f16}    any number of channels
//   {operation}_eight_{f32,bf16,f16}  multiples of 8 channels; a thread takes 8
#include "images.cuh"
#include "reduce.cuh"
#include "vector.cuh"

enum Pooling : u32 { MAX = 0, AVERAGE = 1 };

struct Pool {
    u64 images;
    u32 input[2];
    u32 output[2];
    u32 channels;
    u32 window[2];
    u32 stride[2];
    // Rows above and columns before the input.
    u32 before[2];
    u32 pooling;
};

// What of a window lies in the image, along one axis: begin .. end.
struct Span {
    u32 begin, end;

    DEV static Span of(const Pool& g, int axis, u32 output) {
        u32 start = output * g.stride[axis], before = g.before[axis];
        return Span{start > before ? start - before : 0,
                    min(start + g.window[axis] - before, g.input[axis])};
    }
    DEV u32 count() const { return end - begin; }
};

// The outputs whose windows hold a pixel, along one axis: begin .. end.
DEV Span outputs_of(const Pool& g, int axis, u32 pixel) {
    u32 place = pixel + g.before[axis], window = g.window[axis], stride = g.stride[axis];
    return Span{place >= window ? (place - window) / stride + 1 : 0,
                min(place / stride + 1, g.output[axis])};
}

DEV bool is_nan(f32 x) { return x != x; }

template <int N, class T> DEV void pool(const T* x, T* y, const Pool& g) {
    u32 lanes = g.channels / N, place = place_in_image();
    if (place >= g.output[0] * g.output[1] * lanes) return;
    Span rows = Span::of(g, 0, place / lanes / g.output[1]);
    Span columns = Span::of(g, 1, place / lanes % g.output[1]);
    u32 channel = place % lanes * N;
    each_image(g.images, [&](u64 image) {
        const T* from = x + image * g.input[0] * g.input[1] * g.channels + channel;
        Vector<N> result = splat<N>(g.pooling == MAX ? -INFINITY_F32 : 0.0f);
        for (u32 row = rows.begin; row < rows.end; ++row) {
            for (u32 column = columns.begin; column < columns.end; ++column) {
                Vector<N> pixel = load<N>(from + (row * g.input[1] + column) * g.channels);
#pragma unroll
                for (int i = 0; i < N; ++i) {
                    f32 value = pixel.at[i], &so_far = result.at[i];
                    if (g.pooling == AVERAGE) {
                        so_far += value;
                    } else if (value > so_far || is_nan(value)) {
                        so_far = value;
                    }
                }
            }
        }
        if (g.pooling == AVERAGE) {
            f32 count = (f32)(rows.count() * columns.count());
#pragma unroll
            for (int i = 0; i < N; ++i) result.at[i] /= count;
        }
        store<N>(y + (image * g.output[0] * g.output[1] * lanes + place) * N, result);
    });
}

// Adds dy to the sums where the pixel (row, column) is the first maximum of the window.
template <int N, class T>
DEV void add_to_maximum(const T* from, const Pool& g, Span rows, Span columns, u32 pixel,
                        const Vector<N>& dy, Vector<N>& sums) {
    Vector<N> max = splat<N>(-INFINITY_F32);
    u32 winner[N];
    u32 first = rows.begin * g.input[1] + columns.begin;
#pragma unroll
    for (int i = 0; i < N; ++i) winner[i] = first;
    for (u32 row = rows.begin; row < rows.end; ++row) {
        for (u32 column = columns.begin; column < columns.end; ++column) {
            u32 candidate = row * g.input[1] + column;
            Vector<N> values = load<N>(from + candidate * g.channels);
#pragma unroll
            for (int i = 0; i < N; ++i) {
                f32 value = values.at[i];
                bool wins = value > max.at[i] || (is_nan(value) && !is_nan(max.at[i]));
                if (wins) max.at[i] = value, winner[i] = candidate;
            }
        }
    }
#pragma unroll
    for (int i = 0; i < N; ++i) {
        if (winner[i] == pixel) sums.at[i] += dy.at[i];
    }
}

template <int N, class T> DEV void pool_backward(const T* x, const T* dy, T* dx, const Pool& g) {
    u32 lanes = g.channels / N, place = place_in_image();
    if (place >= g.input[0] * g.input[1] * lanes) return;
    u32 pixel = place / lanes, channel = place % lanes * N;
    Span down = outputs_of(g, 0, pixel / g.input[1]);
    Span across = outputs_of(g, 1, pixel % g.input[1]);
    each_image(g.images, [&](u64 image) {
        const T* from = x + image * g.input[0] * g.input[1] * g.channels + channel;
        const T* gradient = dy + image * g.output[0] * g.output[1] * g.channels + channel;
        Vector<N> sums = splat<N>(0.0f);
        for (u32 p = down.begin; p < down.end; ++p) {
            Span rows = Span::of(g, 0, p);
            for (u32 q = across.begin; q < across.end; ++q) {
                Span columns = Span::of(g, 1, q);
                Vector<N> of_window = load<N>(gradient + (p * g.output[1] + q) * g.channels);
                if (g.pooling == MAX) {
                    add_to_maximum(from, g, rows, columns, pixel, of_window, sums);
                } else {
                    f32 count = (f32)(rows.count() * columns.count());
#pragma unroll
                    for (int i = 0; i < N; ++i) sums.at[i] += of_window.at[i] / count;
                }
            }
        }
        store<N>(dx + (image * g.input[0] * g.input[1] * lanes + place) * N, sums);
    });
}

#define POOL(SUFFIX, N, T)                                                            \
    extern "C" __global__ void __launch_bounds__(256)                                 \
        pool_##SUFFIX##_##T(const T* x, T* y, Pool g) {                               \
        pool<N>(x, y, g);                                                             \
    }                                                                                 \
    extern "C" __global__ void __launch_bounds__(256, 3)                              \
        pool_backward_##SUFFIX##_##T(const T* x, const T* dy, T* dx, Pool g) {        \
        pool_backward<N>(x, dy, dx, g);                                               \
    }
#define POOL_OF_ANY(T) POOL(one, 1, T) POOL(eight, 8, T)
EACH_FLOAT(POOL_OF_ANY)
