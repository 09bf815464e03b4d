// pad: images with zeros around them, and without.
//
// Small images are [n, rows, row] of one float type, large ones [n, padded_rows, padded_row], where
// a row is its pixels' channels; the small lie at (top, left) in the large. Nothing overlaps.
// Grid: a thread an element of the result, ceil(elements / 256) blocks of 256 threads. No shared
// memory.
//
//   pad2d_{f32,bf16,f16}           large from small
//   pad2d_backward_{f32,bf16,f16}  small from large
#include "types.cuh"

struct Lines {
    u64 images;
    u64 rows, row;
    u64 padded_rows, padded_row;
    u64 top, left;
};

template <class T> DEV void pad2d(const T* x, T* y, const Lines& g) {
    u64 at = (u64)blockIdx.x * 256 + threadIdx.x;
    if (at >= g.images * g.padded_rows * g.padded_row) return;
    u64 line = at / g.padded_row, column = at - line * g.padded_row;
    u64 image = line / g.padded_rows;
    // Unsigned, so that what lies before the image is far behind it.
    u64 from_row = line - image * g.padded_rows - g.top, from_column = column - g.left;
    bool inside = from_row < g.rows && from_column < g.row;
    y[at] = inside ? x[(image * g.rows + from_row) * g.row + from_column] : from_f32<T>(0.0f);
}

template <class T> DEV void pad2d_backward(const T* dy, T* dx, const Lines& g) {
    u64 at = (u64)blockIdx.x * 256 + threadIdx.x;
    if (at >= g.images * g.rows * g.row) return;
    u64 line = at / g.row, column = at - line * g.row;
    u64 image = line / g.rows;
    u64 from_row = line - image * g.rows + g.top;
    dx[at] = dy[(image * g.padded_rows + from_row) * g.padded_row + column + g.left];
}

#define PAD(T)                                                                                    \
    extern "C" __global__ void __launch_bounds__(256) pad2d_##T(const T* x, T* y, Lines g) {      \
        pad2d(x, y, g);                                                                           \
    }                                                                                             \
    extern "C" __global__ void __launch_bounds__(256)                                             \
        pad2d_backward_##T(const T* dy, T* dx, Lines g) {                                         \
        pad2d_backward(dy, dx, g);                                                                \
    }
EACH_FLOAT(PAD)
