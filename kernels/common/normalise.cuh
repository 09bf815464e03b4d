// The formula of batch_norm.cu whose value is not stored: where a gradient before the activation
// comes from.
#pragma once
#include "function.cuh"

// f'(scale x + shift) dy.
DEV f32 gradient(u32 function, f32 scale, f32 shift, f32 x, f32 dy) {
    return apply_backward(function, apply(function, x * scale + shift), dy);
}
