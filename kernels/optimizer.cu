// optimizer: a step of gradient descent, in place.
//
// All operands are f32 [len] and overlap nothing; g = gradient + decay p.
//   sgd       m = momentum m + g; p -= rate (nesterov ? g + momentum m : m)
//   adam      m = beta1 m + new1 g; v = beta2 v + new2 g^2; p -= rate m / (scale sqrt(v) + epsilon)
//             with rate and scale corrected for the number of the step
//   rmsprop   v = beta2 v + new2 g^2; m = momentum m + rate g / sqrt(v + epsilon); p -= m
// Grid: a thread an element, ceil(len / 256) blocks of 256 threads. No shared memory.
//
//   optimizer_sgd, optimizer_adam, optimizer_rmsprop
#include "prelude.cuh"

struct Descent {
    u64 len;
    f32 rate;
    f32 decay;
    f32 momentum;
    u32 nesterov;
    f32 beta1;
    f32 new1;
    f32 beta2;
    f32 new2;
    f32 scale;
    f32 epsilon;
};

// The index of this thread's parameter.
DEV u64 parameter() { return (u64)blockIdx.x * 256 + threadIdx.x; }

extern "C" __global__ void __launch_bounds__(256)
    optimizer_sgd(const f32* gradient, f32* p, f32* m, Descent d) {
    u64 i = parameter();
    if (i >= d.len) return;
    f32 g = gradient[i] + d.decay * p[i];
    f32 velocity = d.momentum * m[i] + g;
    m[i] = velocity;
    p[i] -= d.rate * (d.nesterov ? g + d.momentum * velocity : velocity);
}

extern "C" __global__ void __launch_bounds__(256)
    optimizer_adam(const f32* gradient, f32* p, f32* m, f32* v, Descent d) {
    u64 i = parameter();
    if (i >= d.len) return;
    f32 g = gradient[i] + d.decay * p[i];
    f32 mean = d.beta1 * m[i] + d.new1 * g;
    f32 square = d.beta2 * v[i] + d.new2 * (g * g);
    m[i] = mean;
    v[i] = square;
    p[i] -= d.rate * mean / (d.scale * sqrtf(square) + d.epsilon);
}

extern "C" __global__ void __launch_bounds__(256)
    optimizer_rmsprop(const f32* gradient, f32* p, f32* m, f32* v, Descent d) {
    u64 i = parameter();
    if (i >= d.len) return;
    f32 g = gradient[i] + d.decay * p[i];
    f32 square = d.beta2 * v[i] + d.new2 * (g * g);
    f32 step = d.momentum * m[i] + d.rate * g / sqrtf(square + d.epsilon);
    v[i] = square;
    m[i] = step;
    p[i] -= step;
}
