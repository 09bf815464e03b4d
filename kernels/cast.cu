// cast: y = x in another float type, rounded to nearest even.
//
// Operands are [len] and do not overlap.
// Grid: as common/elementwise.cuh says. No shared memory.
//
//   cast_to_f32_{f32,bf16,f16}   y is f32; the suffix is the type of x
//   cast_to_bf16_{f32,bf16,f16}  y is bf16
//   cast_to_f16_{f32,bf16,f16}   y is f16
#include "elementwise.cuh"

struct Elements {
    u64 len;
};

template <class X, class Y> DEV void cast(const X* x, Y* y, Elements g) {
    map(g.len, x, y, [](f32 x, u64) { return x; });
}

#define CAST(X, Y)                                              \
    extern "C" __global__ void __launch_bounds__(256)           \
        cast_to_##Y##_##X(const X* x, Y* y, Elements g) {       \
        cast(x, y, g);                                          \
    }
#define CAST_FROM(X) CAST(X, f32) CAST(X, bf16) CAST(X, f16)
EACH_FLOAT(CAST_FROM)
