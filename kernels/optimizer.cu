// optimizer: a step of gradient descent, in place, of many tensors in one launch.
//
// A job is a tensor of parameters: all its operands are f32 [len] at multiples of 16 bytes and
// overlap nothing. Its gradient is a list of sources, each of which is `pieces` arrays of [len] one
// after another; all pieces are added up in their order, without any it is 0. With decay p in it
// the gradient is g:
//   sgd       m = momentum m + g; p -= rate (nesterov ? g + momentum m : m)
//   adam      m = beta1 m + new1 g; v = beta2 v + new2 g^2; p -= rate m / (scale sqrt(v) + epsilon)
//             with rate and scale corrected for the number of the step
//   rmsprop   v = beta2 v + new2 g^2; m = momentum m + rate g / sqrt(v + epsilon); p -= m
// rate and scale are those given or, if there is a `table`, [rows, 2], its row clock[1].
// Grid: blocks of 256 threads, each of which takes 1024 parameters of one job; the blocks of a job
// come after those of the jobs before it. A thread has four neighbours if four divides len, and
// else one parameter of each 256. No shared memory.
//
//   optimizer_{sgd,adam,rmsprop}_{64,480}  the suffix is how many jobs and sources there is room for
#include "jobs.cuh"

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
    f32* m;
    f32* v;
    u64 len;
    // The first of its blocks.
    u64 block;
    // The first of its sources, and how many they are.
    u32 source;
    u32 sources;
};
struct Source {
    const f32* at;
    u64 pieces;
};
template <u32 ROOM> struct Jobs {
    Descent descent;
    u32 count;
    u32 reserved;
    Job at[ROOM];
    Source sources[ROOM];
};

// N neighbours.
template <int N> struct __align__(4 * N) Run {
    f32 at[N];
};
template <int N> DEV Run<N>& run(f32* at) { return *reinterpret_cast<Run<N>*>(at); }

// The rules for one parameter.
struct Sgd {
    static constexpr bool SQUARES = false;
    DEV static void change(const Descent& d, f32 g, f32& p, f32& m, f32&) {
        m = d.momentum * m + g;
        p -= d.rate * (d.nesterov ? g + d.momentum * m : m);
    }
};
struct Adam {
    static constexpr bool SQUARES = true;
    DEV static void change(const Descent& d, f32 g, f32& p, f32& m, f32& v) {
        m = d.beta1 * m + d.new1 * g;
        v = d.beta2 * v + d.new2 * (g * g);
        p -= d.rate * m / (d.scale * sqrtf(v) + d.epsilon);
    }
};
struct RmsProp {
    static constexpr bool SQUARES = true;
    DEV static void change(const Descent& d, f32 g, f32& p, f32& m, f32& v) {
        v = d.beta2 * v + d.new2 * (g * g);
        m = d.momentum * m + d.rate * g / sqrtf(v + d.epsilon);
        p -= m;
    }
};

// Changes parameters i .. i + N.
template <class Rule, int N>
DEV void change(const Descent& d, const Job& job, const Source* sources, u64 i) {
    Run<N> g;
    // The one number that every number is its sum with.
#pragma unroll
    for (int e = 0; e < N; ++e) g.at[e] = -0.0f;
    for (u32 s = 0; s < job.sources; ++s) {
        const f32* piece = sources[job.source + s].at + i;
        u64 pieces = sources[job.source + s].pieces;
#pragma unroll 8
        for (u64 k = 0; k < pieces; ++k) {
            Run<N> part = *reinterpret_cast<const Run<N>*>(piece + k * job.len);
#pragma unroll
            for (int e = 0; e < N; ++e) g.at[e] += part.at[e];
        }
    }
    Run<N> p = run<N>(job.p + i), m = run<N>(job.m + i), v = {};
    if (Rule::SQUARES) v = run<N>(job.v + i);
#pragma unroll
    for (int e = 0; e < N; ++e) {
        Rule::change(d, g.at[e] + d.decay * p.at[e], p.at[e], m.at[e], v.at[e]);
    }
    run<N>(job.p + i) = p;
    run<N>(job.m + i) = m;
    if (Rule::SQUARES) run<N>(job.v + i) = v;
}

template <class Rule, u32 ROOM>
DEV void step(const f32* table, const u32* clock, const Jobs<ROOM>& jobs) {
    Descent d = jobs.descent;
    if (table) {
        const f32* row = table + 2 * (u64)clock[1];
        d.rate = row[0];
        d.scale = row[1];
    }
    const Job& job = job_of_block(jobs.at, jobs.count);
    u64 first = (blockIdx.x - job.block) * 1024;
    if (job.len % 4 == 0) {
        u64 i = first + 4 * threadIdx.x;
        if (i < job.len) change<Rule, 4>(d, job, jobs.sources, i);
        return;
    }
    for (u32 part = 0; part < 4; ++part) {
        u64 i = first + 256 * part + threadIdx.x;
        if (i < job.len) change<Rule, 1>(d, job, jobs.sources, i);
    }
}

#define OPTIMIZER(NAME, RULE, ROOM)                                                            \
    extern "C" __global__ void __launch_bounds__(256) optimizer_##NAME##_##ROOM(               \
        const f32* table, const u32* clock, const __grid_constant__ Jobs<ROOM> jobs) {         \
        step<RULE>(table, clock, jobs);                                                        \
    }
OPTIMIZER(sgd, Sgd, 64)
OPTIMIZER(adam, Adam, 64)
OPTIMIZER(rmsprop, RmsProp, 64)
OPTIMIZER(sgd, Sgd, 480)
OPTIMIZER(adam, Adam, 480)
OPTIMIZER(rmsprop, RmsProp, 480)
