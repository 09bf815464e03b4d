// What the softmax of a row is made of.
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
