// activation: y = f(x) and dx = f'(x) dy, where f is relu, tanh or sigmoid.
//
// Operands are [len] of one float type, results rounded once from f32; f' is computed from
// y = f(x): 1 where y > 0, 1 - y^2, y (1 - y). dx may be y or dy, y may be x.
// Grid: as common/elementwise.cuh says. No shared memory.
//
//   activation_{f32,bf16,f16}           y = f(x)
//   activation_backward_{f32,bf16,f16}  dx = f'(x) dy
#include "elementwise.cuh"
#include "function.cuh"

struct Elements {
    u64 len;
    u32 function;
    u32 reserved;
};

template <class T> DEV void activation(const T* x, T* y, Elements g) {
    map(g.len, x, y, [=](f32 x, u64) { return apply(g.function, x); });
}

template <class T> DEV void activation_backward(const T* y, const T* dy, T* dx, Elements g) {
    map2(g.len, y, dy, dx, [=](f32 y, f32 dy) { return apply_backward(g.function, y, dy); });
}

#define ACTIVATION(T)                                                              \
    extern "C" __global__ void __launch_bounds__(256)                              \
        activation_##T(const T* x, T* y, Elements g) {                             \
        activation(x, y, g);                                                       \
    }                                                                              \
    extern "C" __global__ void __launch_bounds__(256)                              \
        activation_backward_##T(const T* y, const T* dy, T* dx, Elements g) {      \
        activation_backward(y, dy, dx, g);                                         \
    }
EACH_FLOAT(ACTIVATION)
