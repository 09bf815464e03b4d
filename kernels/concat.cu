// concat: neighbouring channels of every row, from rows of one width to rows of another.
//
//   y[r, to_first + c] = x[r, from_first + c] for c < channels, or added to what is there
//
// x is [rows, from_width] and y is [rows, to_width], of one float type; they do not overlap. A sum
// is f32 and rounded once. Other channels of y are left as they are.
// Grid: as common/pieces.cuh says for rows * channels pieces. No shared memory.
//
//   copy_channels_{f32,bf16,f16}        a piece is one element
//   copy_channels_eight_{f32,bf16,f16}  a piece is eight elements
#include "pieces.cuh"

// In pieces, but for the rows.
struct Channels {
    u64 rows;
    u64 channels;
    u64 from_first, from_width;
    u64 to_first, to_width;
    u32 add;
    u32 reserved;
};

template <class Piece> DEV void copy_channels(const void* from, void* to, const Channels& g) {
    u64 at = piece();
    if (at >= g.rows * g.channels) return;
    u64 row = at / g.channels, channel = at % g.channels;
    const Piece* x = static_cast<const Piece*>(from) + row * g.from_width + g.from_first + channel;
    Piece* y = static_cast<Piece*>(to) + row * g.to_width + g.to_first + channel;
    *y = g.add ? plus(*y, *x) : *x;
}

#define CONCAT(T)                                                  \
    extern "C" __global__ void __launch_bounds__(256)              \
        copy_channels_##T(const T* x, T* y, Channels g) {          \
        copy_channels<T>(x, y, g);                                 \
    }                                                              \
    extern "C" __global__ void __launch_bounds__(256)              \
        copy_channels_eight_##T(const T* x, T* y, Channels g) {    \
        copy_channels<Stored<T>>(x, y, g);                         \
    }
EACH_FLOAT(CONCAT)
