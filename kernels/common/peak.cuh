// What the softmax of a row is made of, and the cross-entropy with its gradient.
#pragma once
#include "rows.cuh"

// The largest element of a row and the sum of the exponentials of the differences from it.
struct Peak {
    f32 max, sum;

    // The part of an element in the sum; equal elements count 1 even where both are minus infinity.
    DEV f32 share(f32 x) const { return x == max ? 1.0f : expf(x - max); }
    DEV f32 probability(f32 x) const { return expf(x - max) / sum; }
    // -ln probability(x)
    DEV f32 loss(f32 x) const { return logf(sum) - (x - max); }
};

// The peak of the first row, the same in every thread of the team.
template <class Team, class R> DEV Peak peak_of(const R& rows) {
    Peak peak = {-INFINITY_F32, 0.0f};
    rows.each([&](u64, const f32* x) { peak.max = fmaxf(peak.max, x[0]); });
    peak.max = Team::reduce(peak.max, Max());
    rows.each([&](u64, const f32* x) { peak.sum += peak.share(x[0]); });
    peak.sum = Team::reduce(peak.sum, Sum());
    return peak;
}
template <class Team, class T> DEV Peak peak_of(const T* x, u64 channels) {
    return peak_of<Team>(Streamed<Team, T, 1>{{x}, channels});
}

// Of a row of logits with a label: its loss, 1 if the first of the largest logits is the label's,
// else 0, and the gradient, unless `dx` is null. `x` is where the row is in memory and may be `dx`:
// it is only read by the thread that writes there.
template <class Team, class R>
DEV void judge(const R& row, const f32* x, u32 label, f32 divisor, f32* loss, f32* right, f32* dx) {
    bool of_label = Team::lane() == label % Team::lanes();
    f32 logit = of_label ? x[label] : 0.0f;
    Peak peak = peak_of<Team>(row);
    u32 predicted = 0xffffffffu;
    row.each([&](u64 j, const f32* x) {
        if (x[0] == peak.max) predicted = min(predicted, (u32)j);
    });
    predicted = Team::reduce(predicted, Min());
    if (of_label) {
        *loss = peak.loss(logit) / divisor;
        *right = predicted == label ? 1.0f : 0.0f;
    }
    if (dx == nullptr) return;
    row.write(dx, [=](u64 j, const f32* x) {
        f32 p = peak.probability(x[0]) / divisor;
        return j == label ? p - 1.0f / divisor : p;
    });
}
