// bias: y[r, c] = f(x[r, c] + b[c]) and db[c] = sum_r dy[r, c].
//
// x, dy and y are [rows, channels] of one float type, b and db are [channels] and f32. Arithmetic
// is f32, y is rounded once. y may be x.
// Grid: bias as common/elementwise.cuh says over all elements, the sums as common/columns.cuh says.
// Shared: 2 KiB static in the first launch of the sums.
//
//   bias_{f32,bf16,f16}           y = f(x + b)
//   bias_backward_{f32,bf16,f16}  partial sums of dy over a slice of rows
//   bias_backward_total           db, or db added to, from the partial sums
#include "columns.cuh"
#include "elementwise.cuh"
#include "function.cuh"

struct Biased {
    u64 rows;
    u64 channels;
    u32 function;
    u32 reserved;
};

template <class T> DEV void bias(const T* x, const f32* b, T* y, Biased g) {
    u64 first = first_of_eight(), len = g.rows * g.channels, channel = first % g.channels;
    if (g.channels % 8 == 0) {
        if (first >= len) return;
        Eight sums = load8(x + first), terms = load8(b + channel);
#pragma unroll
        for (int i = 0; i < 8; ++i) sums.at[i] = apply(g.function, sums.at[i] + terms.at[i]);
        store8(y + first, sums);
    } else {
        // `map` asks for this thread's elements in their order.
        map(len, x, y, [&](f32 x, u64) {
            f32 sum = x + b[channel];
            channel = channel + 1 == g.channels ? 0 : channel + 1;
            return apply(g.function, sum);
        });
    }
}

template <class T> DEV void bias_backward(const T* dy, f32* partial, const Slices& g) {
    if (g.channels % 8 == 0) {
        sum_slice_of_eights(dy, partial, g);
    } else {
        sum_slice(partial, g, [=](u64 row, u64 channel) {
            return to_f32(dy[row * g.channels + channel]);
        });
    }
}

#define BIAS(T)                                                               \
    extern "C" __global__ void __launch_bounds__(256)                         \
        bias_##T(const T* x, const f32* b, T* y, Biased g) {                  \
        bias(x, b, y, g);                                                     \
    }                                                                         \
    extern "C" __global__ void __launch_bounds__(256)                         \
        bias_backward_##T(const T* dy, f32* partial, Slices g) {              \
        bias_backward(dy, partial, g);                                        \
    }
EACH_FLOAT(BIAS)

extern "C" __global__ void __launch_bounds__(256)
    bias_backward_total(const f32* partial, f32* db, Slices g) {
    sum_of_slices(partial, db, g);
}
