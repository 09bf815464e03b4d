// add: y = a + b.
//
// Operands are [len] of one float type, the sum is rounded once from f32. y may be a or b.
// Grid: as common/elementwise.cuh says. No shared memory.
//
//   add_{f32,bf16,f16}         y = a + b
//   add_assign_{f32,bf16,f16}  y = y + x
#include "elementwise.cuh"

struct Elements {
    u64 len;
};

template <class T> DEV void add(const T* a, const T* b, T* y, Elements g) {
    map2(g.len, a, b, y, [](f32 a, f32 b) { return a + b; });
}

#define ADD(T)                                                  \
    extern "C" __global__ void __launch_bounds__(256)           \
        add_##T(const T* a, const T* b, T* y, Elements g) {     \
        add(a, b, y, g);                                        \
    }                                                           \
    extern "C" __global__ void __launch_bounds__(256)           \
        add_assign_##T(const T* x, T* y, Elements g) {          \
        add<T>(y, x, y, g);                                     \
    }
EACH_FLOAT(ADD)
