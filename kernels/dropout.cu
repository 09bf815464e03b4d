// dropout: y[i] = x[i] scale, or 0 where the random word of the element is below a threshold.
//
// The word of element i is number (offset + i) % 4 of Philox at the 64-bit numbers (offset + i) / 4
// and step, low words first; clock[0] is added to step unless there is no clock. x and y are [len] of one float type, rounded once; y may be x.
// Grid: as common/elementwise.cuh says. No shared memory.
//
//   dropout_{f32,bf16,f16}
#include "elementwise.cuh"
#include "philox.cuh"

struct Dropped {
    u64 len;
    u64 offset;
    u64 step;
    Key key;
    u32 threshold;
    f32 scale;
};

DEV Words words_at(u64 place, const Dropped& g) {
    u64 block = place / 4;
    return philox4x32(g.key, (u32)block, (u32)(block >> 32), (u32)g.step, (u32)(g.step >> 32));
}

template <class T> DEV void dropout(const T* x, const u32* clock, T* y, Dropped g) {
    if (clock) g.step += clock[0];
    // `map` asks for this thread's elements in their order, so that a block of words serves four.
    u64 place = g.offset + first_of_eight();
    Words words = words_at(place, g);
    map(g.len, x, y, [&](f32 x, u64) {
        u32 number = (u32)place % 4;
        u32 word = number < 2 ? words.at[number == 1] : words.at[2 + (number == 3)];
        place += 1;
        if (number == 3) words = words_at(place, g);
        return word < g.threshold ? 0.0f : x * g.scale;
    });
}

#define DROPOUT(T)                                                          \
    extern "C" __global__ void __launch_bounds__(256)                       \
        dropout_##T(const T* x, const u32* clock, T* y, Dropped g) {        \
        dropout(x, clock, y, g);                                            \
    }
EACH_FLOAT(DROPOUT)
