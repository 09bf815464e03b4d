// cross_entropy: the loss of rows of logits, how many predictions are right, and the gradient.
//
//   loss[i] = (ln s - (x[label] - m)) / divisor, with m and s of row i as in softmax.cu
//   right[i] = 1 if the first of the largest logits is the label's, else 0
//   dx[i][j] = exp(x[j] - m) / s / divisor - (j == label) / divisor
//   sums = [sum_i loss[i], sum_i right[i]], or added to; with a clock they are row clock[1] of a
//          table of sums
//
// Logits and their gradient are f32 [rows, classes] and do not overlap, labels are u32 [rows] and
// below classes. Rows go to `partial`, [2, rows]: the losses, then the hits. The totals are summed
// in an order that the number of rows alone decides.
// Grid: _warp and _block as softmax.cu; _total one block of 256 threads. Shared: 96 bytes static.
//
//   cross_entropy_{warp,block}           partial
//   cross_entropy_gradient_{warp,block}  partial and dx
//   cross_entropy_total                  sums from partial
#include "peak.cuh"

struct Judged {
    u64 rows;
    u64 classes;
    f32 divisor;
    // Whether the totals are added to what is there.
    u32 add;
};

template <class Team>
DEV void judge_row(const f32* x, const u32* labels, f32* partial, f32* dx, const Judged& g) {
    u64 row = Team::row();
    if (row >= g.rows) return;
    u32 label = labels[row];
    f32 *loss = partial + row, *right = loss + g.rows;
    x += row * g.classes;
    if (dx) dx += row * g.classes;
    Streamed<Team, f32, 1> logits{{x}, g.classes};
    if (Held<Team, f32, 1>::fits(g.classes)) {
        Held<Team, f32, 1> held(logits);
        judge<Team>(held, x, label, g.divisor, loss, right, dx);
    } else {
        judge<Team>(logits, x, label, g.divisor, loss, right, dx);
    }
}

#define JUDGE(SUFFIX, TEAM)                                                                       \
    extern "C" __global__ void __launch_bounds__(256) cross_entropy_##SUFFIX(                     \
        const f32* x, const u32* labels, f32* partial, Judged g) {                                \
        judge_row<TEAM>(x, labels, partial, nullptr, g);                                          \
    }                                                                                             \
    extern "C" __global__ void __launch_bounds__(256) cross_entropy_gradient_##SUFFIX(            \
        const f32* x, const u32* labels, f32* partial, f32* dx, Judged g) {                       \
        judge_row<TEAM>(x, labels, partial, dx, g);                                               \
    }
JUDGE(warp, Warp)
JUDGE(block, Block)

extern "C" __global__ void __launch_bounds__(256)
    cross_entropy_total(const f32* partial, const u32* clock, f32* sums, Judged g) {
    if (clock) sums += 2 * (u64)clock[1];
    f32 loss = 0.0f, right = 0.0f;
    for (u64 row = threadIdx.x; row < g.rows; row += 256) {
        loss += partial[row];
        right += partial[g.rows + row];
    }
    loss = Block::reduce(loss, Sum());
    right = Block::reduce(right, Sum());
    if (threadIdx.x == 0) {
        sums[0] = g.add ? sums[0] + loss : loss;
        sums[1] = g.add ? sums[1] + right : right;
    }
}
