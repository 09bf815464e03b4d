// The element-wise non-linearities; the numbers are those of `nasrl_tensor::ops::Activation`.
#pragma once
#include "prelude.cuh"

enum Function : u32 { IDENTITY = 0, RELU = 1, TANH = 2, SIGMOID = 3 };

DEV f32 sigmoid(f32 x) { return 1.0f / (1.0f + expf(-x)); }

// f(x). Relu keeps NaN, as `x < 0 ? 0 : x` does.
DEV f32 apply(u32 function, f32 x) {
    switch (function) {
        case RELU: return x < 0.0f ? 0.0f : x;
        case TANH: return tanhf(x);
        case SIGMOID: return sigmoid(x);
        default: return x;
    }
}

// f'(x) dy from y = f(x); for relu dy where y > 0, else 0 whatever dy is.
DEV f32 apply_backward(u32 function, f32 y, f32 dy) {
    switch (function) {
        case RELU: return y > 0.0f ? dy : 0.0f;
        case TANH: return (1.0f - y * y) * dy;
        case SIGMOID: return y * (1.0f - y) * dy;
        default: return dy;
    }
}
