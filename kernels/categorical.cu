// categorical: draws from rows of logits, their log-probabilities and entropies, and the gradient.
//
//   p[j] = exp(x[j] - n), n = m + ln s with m and s as in softmax.cu, H = -sum_j p[j] ln p[j]
//   sample    the first j whose cumulative sum of exp(x[j] - m) is above u times the whole sum, or
//             the last j; u is the first word of Philox at [first + row, step, 0, 0]
//   score     x[index] - n and H
//   backward  dx[j] = w ((j == index) - p[j]) - v p[j] (ln p[j] + H)
//
// Logits and dx are f32 [rows, values] and do not overlap; index is u32 [rows]; w, v and the
// results of score are f32 [rows]. A logit of minus infinity has p = 0 and adds nothing.
// Grid: sample a thread a row, ceil(rows / 256) blocks of 256 threads; the others a warp a row,
// ceil(rows / 8) blocks. No shared memory.
//
//   categorical_sample, categorical_score, categorical_backward
#include "peak.cuh"
#include "philox.cuh"

struct Draw {
    u64 rows;
    u64 values;
    Key key;
    u32 first;
    u32 step;
};
struct Distributions {
    u64 rows;
    u64 values;
};

extern "C" __global__ void __launch_bounds__(256)
    categorical_sample(const f32* logits, u32* index, Draw g) {
    u64 row = (u64)blockIdx.x * 256 + threadIdx.x;
    if (row >= g.rows) return;
    const f32* x = logits + row * g.values;
    f32 largest = -INFINITY_F32;
    for (u64 j = 0; j < g.values; ++j) largest = fmaxf(largest, x[j]);
    // Both sums are made in one order, so that the last of the second is the whole to the bit, and
    // above the whole times a number below 1.
    f32 whole = 0.0f;
    for (u64 j = 0; j < g.values; ++j) whole += expf(x[j] - largest);
    f32 below = uniform(philox4x32(g.key, g.first + (u32)row, g.step, 0, 0).at[0]) * whole;
    f32 sum = 0.0f;
    u64 drawn = 0;
    for (; drawn + 1 < g.values; ++drawn) {
        sum += expf(x[drawn] - largest);
        if (sum > below) break;
    }
    index[row] = (u32)drawn;
}

// -p ln p, whose limit at 0 is 0.
DEV f32 surprise(f32 log_p) {
    f32 p = expf(log_p);
    return p == 0.0f ? 0.0f : -p * log_p;
}

DEV f32 normaliser(const f32* x, u64 values) {
    Peak peak = peak_of<Warp>(x, values);
    return peak.max + logf(peak.sum);
}

DEV f32 entropy_of(const f32* x, u64 values, f32 n) {
    f32 sum = 0.0f;
    for (u64 j = Warp::lane(); j < values; j += Warp::lanes()) sum += surprise(x[j] - n);
    return Warp::reduce(sum, Sum());
}

extern "C" __global__ void __launch_bounds__(256) categorical_score(
    const f32* logits, const u32* index, f32* log_probability, f32* entropy, Distributions g) {
    u64 row = Warp::row();
    if (row >= g.rows) return;
    const f32* x = logits + row * g.values;
    f32 n = normaliser(x, g.values);
    f32 of_row = entropy_of(x, g.values, n);
    if (Warp::lane() == 0) {
        log_probability[row] = x[index[row]] - n;
        entropy[row] = of_row;
    }
}

extern "C" __global__ void __launch_bounds__(256)
    categorical_backward(const f32* logits, const u32* index, const f32* log_probability_weight,
                         const f32* entropy_weight, f32* dlogits, Distributions g) {
    u64 row = Warp::row();
    if (row >= g.rows) return;
    const f32* x = logits + row * g.values;
    f32* dx = dlogits + row * g.values;
    u32 chosen = index[row];
    f32 w = log_probability_weight[row], v = entropy_weight[row];
    f32 n = normaliser(x, g.values);
    f32 entropy = v == 0.0f ? 0.0f : entropy_of(x, g.values, n);
    for (u64 j = Warp::lane(); j < g.values; j += Warp::lanes()) {
        f32 log_p = x[j] - n, p = expf(log_p);
        f32 d = v * (surprise(log_p) - p * entropy) - w * p;
        dx[j] = j == chosen ? d + w : d;
    }
}
