// softmax and log-softmax over the channels of rows, and their gradients.
//
//   m = max_j x[j], s = sum_j exp(x[j] - m)
//   softmax                y[j] = exp(x[j] - m) / s
//   softmax_backward       dx[j] = y[j] (dy[j] - sum_k y[k] dy[k])
//   log_softmax            y[j] = x[j] - m - ln s
//   log_softmax_backward   dx[j] = dy[j] - exp(y[j]) sum_k dy[k]
//
// Operands are [rows, channels] of one float type; arithmetic is f32, results are rounded once. The
// result may be one of the operands. m and s come from one pass, in which s is scaled when m grows;
// a second pass, that finds the row in the cache, writes.
// Grid: _warp has a warp a row, ceil(rows / 8) blocks of 256 threads; _block has a block of 256
// threads a row. Shared: _block 64 bytes static.
//
//   {operation}_warp_{f32,bf16,f16}   short rows
//   {operation}_block_{f32,bf16,f16}  long rows
#include "peak.cuh"
#include "rows.cuh"

template <class Team, class T> DEV void softmax(const T* x, T* y, Rows g) {
    u64 row = Team::row();
    if (row >= g.count) return;
    x += row * g.channels, y += row * g.channels;
    Peak peak = peak_of<Team>(x, g.channels);
    for (u64 j = Team::lane(); j < g.channels; j += Team::lanes()) {
        y[j] = from_f32<T>(expf(to_f32(x[j]) - peak.max) / peak.sum);
    }
}

template <class Team, class T> DEV void log_softmax(const T* x, T* y, Rows g) {
    u64 row = Team::row();
    if (row >= g.count) return;
    x += row * g.channels, y += row * g.channels;
    Peak peak = peak_of<Team>(x, g.channels);
    f32 log_sum = logf(peak.sum);
    for (u64 j = Team::lane(); j < g.channels; j += Team::lanes()) {
        y[j] = from_f32<T>(to_f32(x[j]) - peak.max - log_sum);
    }
}

template <class Team, class T>
DEV void softmax_backward(const T* y, const T* dy, T* dx, Rows g) {
    u64 row = Team::row();
    if (row >= g.count) return;
    y += row * g.channels, dy += row * g.channels, dx += row * g.channels;
    f32 mean = 0.0f;
    for (u64 j = Team::lane(); j < g.channels; j += Team::lanes()) {
        mean += to_f32(y[j]) * to_f32(dy[j]);
    }
    mean = Team::reduce(mean, Sum());
    for (u64 j = Team::lane(); j < g.channels; j += Team::lanes()) {
        dx[j] = from_f32<T>(to_f32(y[j]) * (to_f32(dy[j]) - mean));
    }
}

template <class Team, class T>
DEV void log_softmax_backward(const T* y, const T* dy, T* dx, Rows g) {
    u64 row = Team::row();
    if (row >= g.count) return;
    y += row * g.channels, dy += row * g.channels, dx += row * g.channels;
    f32 sum = 0.0f;
    for (u64 j = Team::lane(); j < g.channels; j += Team::lanes()) sum += to_f32(dy[j]);
    sum = Team::reduce(sum, Sum());
    for (u64 j = Team::lane(); j < g.channels; j += Team::lanes()) {
        dx[j] = from_f32<T>(to_f32(dy[j]) - expf(to_f32(y[j])) * sum);
    }
}

#define FORWARD(NAME, SUFFIX, TEAM, T)                                             \
    extern "C" __global__ void __launch_bounds__(256)                              \
        NAME##_##SUFFIX##_##T(const T* x, T* y, Rows g) {                          \
        NAME<TEAM>(x, y, g);                                                       \
    }
#define BACKWARD(NAME, SUFFIX, TEAM, T)                                            \
    extern "C" __global__ void __launch_bounds__(256)                              \
        NAME##_##SUFFIX##_##T(const T* y, const T* dy, T* dx, Rows g) {            \
        NAME<TEAM>(y, dy, dx, g);                                                  \
    }
#define TEAMS(KIND, NAME, T) KIND(NAME, warp, Warp, T) KIND(NAME, block, Block, T)
#define SOFTMAX(T)                                                                 \
    TEAMS(FORWARD, softmax, T)                                                     \
    TEAMS(BACKWARD, softmax_backward, T)                                           \
    TEAMS(FORWARD, log_softmax, T)                                                 \
    TEAMS(BACKWARD, log_softmax_backward, T)
EACH_FLOAT(SOFTMAX)
