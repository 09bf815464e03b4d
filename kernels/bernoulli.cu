// bernoulli: draws of rows of bits, their log-probabilities and entropies, and the gradient.
//
// With t = exp(-|x|), which never overflows, the likelier value has 1 / (1 + t) and the other
// t / (1 + t); p is the probability of 1.
//   sample    bit c is 1 where u < 1 / (1 + exp(-x)); u is word c % 4 of Philox at
//             [first + row, step, c / 4, 1]
//   score     sum_c ln P(bit c) and sum_c ln(1 + t) + |x| t / (1 + t)
//   backward  dx[c] = w (bit - p) - v x p (1 - p)
//
// Logits, dx: f32 [rows, channels], bits u32 alike, without overlap; w, v and the results of score
// are f32 [rows]. A row may be empty. A bit of an infinite logit is certain and adds nothing.
// Grid: sample a thread four bits, ceil(rows ceil(channels / 4) / 256) blocks of 256 threads; score
// a warp a row, ceil(rows / 8) blocks; backward a thread an element. No shared memory.
//
//   bernoulli_sample, bernoulli_score, bernoulli_backward
#include "philox.cuh"
#include "reduce.cuh"

struct Draw {
    u64 rows;
    u64 channels;
    Key key;
    u32 first;
    u32 step;
};
struct Bits {
    u64 rows;
    u64 channels;
};

extern "C" __global__ void __launch_bounds__(256)
    bernoulli_sample(const f32* logits, u32* bits, Draw g) {
    u64 fours = (g.channels + 3) / 4;
    u64 thread = (u64)blockIdx.x * 256 + threadIdx.x;
    if (thread >= g.rows * fours) return;
    u64 row = thread / fours, four = thread - row * fours;
    Words words = philox4x32(g.key, g.first + (u32)row, g.step, (u32)four, 1);
#pragma unroll
    for (u32 i = 0; i < 4; ++i) {
        u64 channel = 4 * four + i;
        if (channel >= g.channels) break;
        u64 at = row * g.channels + channel;
        bits[at] = uniform(words.at[i]) < 1.0f / (1.0f + expf(-logits[at]));
    }
}

// x times a probability, whose limit where that vanishes is 0.
DEV f32 weighted(f32 x, f32 probability) { return probability == 0.0f ? 0.0f : x * probability; }

extern "C" __global__ void __launch_bounds__(256) bernoulli_score(
    const f32* logits, const u32* bits, f32* log_probability, f32* entropy, Bits g) {
    u64 row = Warp::row();
    if (row >= g.rows) return;
    f32 log_sum = 0.0f, entropy_sum = 0.0f;
    for (u64 channel = Warp::lane(); channel < g.channels; channel += Warp::lanes()) {
        f32 x = logits[row * g.channels + channel];
        f32 against = bits[row * g.channels + channel] == 1 ? -x : x;
        f32 tail = expf(-fabsf(x));
        f32 log_of_likely = log1pf(tail);
        log_sum -= fmaxf(against, 0.0f) + log_of_likely;
        entropy_sum += log_of_likely + weighted(fabsf(x), tail / (1.0f + tail));
    }
    log_sum = Warp::reduce(log_sum, Sum());
    entropy_sum = Warp::reduce(entropy_sum, Sum());
    if (Warp::lane() == 0) {
        log_probability[row] = log_sum;
        entropy[row] = entropy_sum;
    }
}

extern "C" __global__ void __launch_bounds__(256)
    bernoulli_backward(const f32* logits, const u32* bits, const f32* log_probability_weight,
                       const f32* entropy_weight, f32* dlogits, Bits g) {
    u64 at = (u64)blockIdx.x * 256 + threadIdx.x;
    if (at >= g.rows * g.channels) return;
    u64 row = at / g.channels;
    f32 x = logits[at], tail = expf(-fabsf(x));
    f32 likely = 1.0f / (1.0f + tail), unlikely = tail / (1.0f + tail);
    bool one = bits[at] == 1;
    f32 miss = one == (x > 0.0f) ? unlikely : likely;
    f32 direction = one ? miss : -miss;
    dlogits[at] = log_probability_weight[row] * direction -
                  entropy_weight[row] * weighted(x, likely * unlikely);
}
