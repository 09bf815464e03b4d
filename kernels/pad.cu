// pad: images with zeros around them, and without.
//
// Bare images are [images, rows, row] of one float type, padded ones [images, padded_rows,
// padded_row], where the elements of a row are its pixels' channels; the bare lie in the padded
// from row `top` and element `left` on. Operands do not overlap.
// Grid: as common/pieces.cuh says for the pieces of the result. No shared memory.
//
//   pad2d_{f32,bf16,f16}                 padded from bare; a piece is one element
//   pad2d_eight_{f32,bf16,f16}           the same; a piece is eight elements
//   pad2d_backward_{f32,bf16,f16}        bare from padded; a piece is one element
//   pad2d_backward_eight_{f32,bf16,f16}  the same; a piece is eight elements
#include "pieces.cuh"

// In pieces, but for images and rows.
struct Lines {
    u64 images;
    u64 rows, row;
    u64 padded_rows, padded_row;
    u64 top, left;
};

template <class Piece> DEV void pad2d(const void* bare, void* padded, const Lines& g) {
    u64 at = piece();
    if (at >= g.images * g.padded_rows * g.padded_row) return;
    u64 line = at / g.padded_row, image = line / g.padded_rows;
    // Unsigned, so that what lies before the image is far past its end.
    u64 row = line % g.padded_rows - g.top, column = at % g.padded_row - g.left;
    const Piece* x = static_cast<const Piece*>(bare) + (image * g.rows + row) * g.row + column;
    static_cast<Piece*>(padded)[at] = row < g.rows && column < g.row ? *x : Piece{};
}

template <class Piece> DEV void pad2d_backward(const void* padded, void* bare, const Lines& g) {
    u64 at = piece();
    if (at >= g.images * g.rows * g.row) return;
    u64 line = at / g.row, image = line / g.rows;
    u64 row = line % g.rows + g.top, column = at % g.row + g.left;
    const Piece* dy = static_cast<const Piece*>(padded);
    static_cast<Piece*>(bare)[at] = dy[(image * g.padded_rows + row) * g.padded_row + column];
}

#define PAD(NAME, T)                                               \
    extern "C" __global__ void __launch_bounds__(256)              \
        NAME##_##T(const T* from, T* to, Lines g) {                \
        NAME<T>(from, to, g);                                      \
    }                                                              \
    extern "C" __global__ void __launch_bounds__(256)              \
        NAME##_eight_##T(const T* from, T* to, Lines g) {          \
        NAME<Stored<T>>(from, to, g);                              \
    }
#define PADS(T) PAD(pad2d, T) PAD(pad2d_backward, T)
EACH_FLOAT(PADS)
