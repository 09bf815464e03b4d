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

// Judges row `row`, which the team has; `dx` is its gradient, or null if that is not asked for.
template <class Team, class R>
DEV void judge(const R& held, u64 row, u32 label, f32 of_label, f32* partial, f32* dx,
               const Judged& g) {
    Peak peak = peak_of<Team>(held);
    u32 predicted = 0xffffffffu;
    held.each([&](u64 j, const f32* x) {
        if (x[0] == peak.max) predicted = min(predicted, (u32)j);
    });
    predicted = Team::reduce(predicted, Min());
    if (Team::lane() == 0) {
        partial[row] = peak.loss(of_label) / g.divisor;
        partial[g.rows + row] = predicted == label ? 1.0f : 0.0f;
    }
    if (dx == nullptr) return;
    held.write(dx + row * g.classes, [=](u64 j, const f32* x) {
        f32 p = peak.probability(x[0]) / g.divisor;
        return j == label ? p - 1.0f / g.divisor : p;
    });
}

template <class Team>
DEV void judge(const f32* x, const u32* labels, f32* partial, f32* dx, const Judged& g) {
    u64 row = Team::row();
    if (row >= g.rows) return;
    u32 label = labels[row];
    Streamed<Team, f32, 1> rows{{x + row * g.classes}, g.classes};
    f32 of_label = rows.rows[0][label];
    if (Held<Team, f32, 1>::fits(g.classes)) {
        judge<Team>(Held<Team, f32, 1>(rows), row, label, of_label, partial, dx, g);
    } else {
        judge<Team>(rows, row, label, of_label, partial, dx, g);
    }
}

#define JUDGE(SUFFIX, TEAM)                                                                       \
    extern "C" __global__ void __launch_bounds__(256) cross_entropy_##SUFFIX(                     \
        const f32* x, const u32* labels, f32* partial, Judged g) {                                \
        judge<TEAM>(x, labels, partial, nullptr, g);                                              \
    }                                                                                             \
    extern "C" __global__ void __launch_bounds__(256) cross_entropy_gradient_##SUFFIX(            \
        const f32* x, const u32* labels, f32* partial, f32* dx, Judged g) {                       \
        judge<TEAM>(x, labels, partial, dx, g);                                                   \
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
