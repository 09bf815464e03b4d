// What the softmax of a row is made of.
#pragma once
#include "reduce.cuh"
#include "types.cuh"

// The largest element and the sum of exponentials of some elements.
struct Peak {
    f32 max, sum;

    DEV void take(f32 x) {
        if (x > max) {
            sum = sum * expf(max - x) + 1.0f;
            max = x;
        } else {
            // Equal elements count 1 even where both are minus infinity.
            sum += x == max ? 1.0f : expf(x - max);
        }
    }
};

// The peak of a row of x, the same in every thread of the team.
template <class Team, class T> DEV Peak peak_of(const T* x, u64 channels) {
    Peak mine = {-INFINITY_F32, 0.0f};
    for (u64 j = Team::lane(); j < channels; j += Team::lanes()) mine.take(to_f32(x[j]));
    f32 max = Team::reduce(mine.max, Max());
    f32 sum = mine.max == max ? mine.sum : mine.sum * expf(mine.max - max);
    return Peak{max, Team::reduce(sum, Sum())};
}
