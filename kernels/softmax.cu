// softmax and log-softmax over the channels of rows, and their gradients.
//
//   m = max_j x[j], s = sum_j exp(x[j] - m)
//   softmax                y[j] = exp(x[j] - m) / s
//   softmax_backward       dx[j] = y[j] (dy[j] - sum_k y[k] dy[k])
//   log_softmax            y[j] = x[j] - m - ln s
//   log_softmax_backward   dx[j] = dy[j] - exp(y[j]) sum_k dy[k]
//
// Operands are [rows, channels] of one float type; arithmetic is f32, results are rounded once. The
// result may be one of the operands. A row is read once and held in registers if it has a multiple
// of 8 channels, up to 1024 of a warp or 10240 of a block; others are read for each pass.
// Grid: _warp has a warp a row, ceil(rows / 8) blocks of 256 threads; _block has a block of 256
// threads a row. Shared: _block 64 bytes static.
//
//   {operation}_warp_{f32,bf16,f16}   short rows
//   {operation}_block_{f32,bf16,f16}  long rows
#include "peak.cuh"

template <class Team, class R, class T> DEV void softmax(const R& row, T* y) {
    Peak peak = peak_of<Team>(row);
    row.write(y, [=](u64, const f32* x) { return peak.probability(x[0]); });
}

template <class Team, class R, class T> DEV void log_softmax(const R& row, T* y) {
    Peak peak = peak_of<Team>(row);
    f32 log_sum = logf(peak.sum);
    row.write(y, [=](u64, const f32* x) { return x[0] - peak.max - log_sum; });
}

// The rows are y and dy.
template <class Team, class R, class T> DEV void softmax_backward(const R& rows, T* dx) {
    f32 mean = 0.0f;
    rows.each([&](u64, const f32* y) { mean += y[0] * y[1]; });
    mean = Team::reduce(mean, Sum());
    rows.write(dx, [=](u64, const f32* y) { return y[0] * (y[1] - mean); });
}

template <class Team, class R, class T> DEV void log_softmax_backward(const R& rows, T* dx) {
    f32 sum = 0.0f;
    rows.each([&](u64, const f32* y) { sum += y[1]; });
    sum = Team::reduce(sum, Sum());
    rows.write(dx, [=](u64, const f32* y) { return y[1] - expf(y[0]) * sum; });
}

#define OF_ROWS(NAME, TEAM, T, M, TO, ...)                                         \
    u64 row = TEAM::row(), first = row * g.channels;                               \
    if (row >= g.count) return;                                                    \
    Streamed<TEAM, T, M> rows{{__VA_ARGS__}, g.channels};                          \
    if (Held<TEAM, T, M>::fits(g.channels)) {                                      \
        NAME<TEAM>(Held<TEAM, T, M>(rows), TO + first);                            \
    } else {                                                                       \
        NAME<TEAM>(rows, TO + first);                                              \
    }
#define FORWARD(NAME, SUFFIX, TEAM, T)                                             \
    extern "C" __global__ void __launch_bounds__(256)                              \
        NAME##_##SUFFIX##_##T(const T* x, T* y, Rows g) {                          \
        OF_ROWS(NAME, TEAM, T, 1, y, x + first)                                    \
    }
#define BACKWARD(NAME, SUFFIX, TEAM, T)                                            \
    extern "C" __global__ void __launch_bounds__(256)                              \
        NAME##_##SUFFIX##_##T(const T* y, const T* dy, T* dx, Rows g) {            \
        OF_ROWS(NAME, TEAM, T, 2, dx, y + first, dy + first)                       \
    }
#define TEAMS(KIND, NAME, T) KIND(NAME, warp, Warp, T) KIND(NAME, block, Block, T)
#define SOFTMAX(T)                                                                 \
    TEAMS(FORWARD, softmax, T)                                                     \
    TEAMS(BACKWARD, softmax_backward, T)                                           \
    TEAMS(FORWARD, log_softmax, T)                                                 \
    TEAMS(BACKWARD, log_softmax_backward, T)
EACH_FLOAT(SOFTMAX)
