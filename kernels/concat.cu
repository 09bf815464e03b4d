// concat: neighbouring channels of every row, from rows of one width to rows of another.
//
//   y[r, to_first + c] = x[r, from_first + c] for c < channels, or added to it
//
// x is [rows, from_width], y [rows, to_width], of one float type and without overlap; a sum is f32
// and rounded once. Other channels of y are left as they are.
// Grid: a thread an element that is copied, ceil(rows channels / 256) blocks of 256 threads. No
// shared memory.
//
//   copy_channels_{f32,bf16,f16}
#include "types.cuh"

struct Channels {
    u64 rows;
    u64 channels;
    u64 from_first, from_width;
    u64 to_first, to_width;
    u32 add;
    u32 reserved;
};

template <class T> DEV void copy_channels(const T* x, T* y, const Channels& g) {
    u64 at = (u64)blockIdx.x * 256 + threadIdx.x;
    if (at >= g.rows * g.channels) return;
    u64 row = at / g.channels, channel = at - row * g.channels;
    T value = x[row * g.from_width + g.from_first + channel];
    T* to = y + row * g.to_width + g.to_first + channel;
    *to = g.add ? from_f32<T>(to_f32(*to) + to_f32(value)) : value;
}

#define COPY(T)                                                     \
    extern "C" __global__ void __launch_bounds__(256)               \
        copy_channels_##T(const T* x, T* y, Channels g) {           \
        copy_channels(x, y, g);                                     \
    }
EACH_FLOAT(COPY)
