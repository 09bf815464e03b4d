// optimizer: a step of gradient descent, in place, of many tensors in one launch.
//
// A job is a tensor of parameters: all its operands are f32 [len] at multiples of 16 bytes and
// overlap nothing; g = gradient + decay p.
//   sgd       m = momentum m + g; p -= rate (nesterov ? g + momentum m : m)
//   adam      m = beta1 m + new1 g; v = beta2 v + new2 g^2; p -= rate m / (scale sqrt(v) + epsilon)
//             with rate and scale corrected for the number of the step
//   rmsprop   v = beta2 v + new2 g^2; m = momentum m + rate g / sqrt(v + epsilon); p -= m
// Grid: blocks of 256 threads, each of which takes 1024 parameters of one job; the blocks of a job
// come after those of the jobs before it. No shared memory.
//
//   optimizer_sgd, optimizer_adam, optimizer_rmsprop
#include "prelude.cuh"

struct Descent {
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
struct Job {
    f32* p;
    const f32* gradient;
    f32* m;
    f32* v;
    u64 len;
    // The first of its blocks.
    u64 block;
};

constexpr u32 MOST_JOBS = 64;

struct Jobs {
    Descent descent;
    u32 count;
    u32 reserved;
    Job at[MOST_JOBS];
};

// The job of this block: the last whose first block is not after it.
DEV const Job& job_of_block(const Jobs& jobs) {
    u32 low = 0, high = jobs.count - 1;
    while (low < high) {
        u32 middle = (low + high + 1) / 2;
        if (jobs.at[middle].block <= blockIdx.x) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return jobs.at[low];
}

// f(i, g) for each parameter of this thread, with its gradient.
template <class F> DEV void each_parameter(const Job& job, f32 decay, F f) {
    u64 first = (blockIdx.x - job.block) * 1024 + threadIdx.x;
#pragma unroll
    for (u32 step = 0; step < 4; ++step) {
        u64 i = first + 256 * step;
        if (i < job.len) f(i, job.gradient[i] + decay * job.p[i]);
    }
}

extern "C" __global__ void __launch_bounds__(256)
    optimizer_sgd(const __grid_constant__ Jobs jobs) {
    const Descent& d = jobs.descent;
    const Job& job = job_of_block(jobs);
    each_parameter(job, d.decay, [&](u64 i, f32 g) {
        f32 velocity = d.momentum * job.m[i] + g;
        job.m[i] = velocity;
        job.p[i] -= d.rate * (d.nesterov ? g + d.momentum * velocity : velocity);
    });
}

extern "C" __global__ void __launch_bounds__(256)
    optimizer_adam(const __grid_constant__ Jobs jobs) {
    const Descent& d = jobs.descent;
    const Job& job = job_of_block(jobs);
    each_parameter(job, d.decay, [&](u64 i, f32 g) {
        f32 mean = d.beta1 * job.m[i] + d.new1 * g;
        f32 square = d.beta2 * job.v[i] + d.new2 * (g * g);
        job.m[i] = mean;
        job.v[i] = square;
        job.p[i] -= d.rate * mean / (d.scale * sqrtf(square) + d.epsilon);
    });
}

extern "C" __global__ void __launch_bounds__(256)
    optimizer_rmsprop(const __grid_constant__ Jobs jobs) {
    const Descent& d = jobs.descent;
    const Job& job = job_of_block(jobs);
    each_parameter(job, d.decay, [&](u64 i, f32 g) {
        f32 square = d.beta2 * job.v[i] + d.new2 * (g * g);
        f32 step = d.momentum * job.m[i] + d.rate * g / sqrtf(square + d.epsilon);
        job.v[i] = square;
        job.m[i] = step;
        job.p[i] -= step;
    });
}
