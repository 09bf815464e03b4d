// batch_norm: y = f(scale x + shift) with scale = gamma r, shift = beta - mean scale and
// r = 1 / sqrt(variance + epsilon), its statistics and its gradients.
//
// x, y, dy and dx are [rows, channels] of one float type; everything else is f32 and has rows of
// channels:
//   parameters [2, c] gamma, beta      normalizer   [4, c] scale, shift, mean, r
//   running    [2, c] mean, variance   coefficients [4, c] scale, shift, B, C
//   moments    [parts, 3, c] rows, mean, M2 = sum (x - mean)^2 of parts of a block of rows
//   sums       [parts, 2, c] S1 = sum g, S2 = sum g (x - mean), with g = f'(scale x + shift) dy
// and dx = scale g + B x + C.
//
// Rows are cut into slices that the shape alone decides. A slice's mean, rounded, is the centre
// that deviations are then taken from, so that no large sums are subtracted; what the rounding lost
// is in the sum of deviations. Slices and blocks are combined in order in f64 by the formula of Chan,
// Golub and LeVeque, parts around their common mean: a group of threads takes every eighth part, and
// the groups' sums are added in order. A batch that comes in blocks is folded block by block into
// state, f64 [3, c] of moments or [2, c] of sums; the last block is folded by the kernel that uses the
// whole. Parts may have no rows.
// y may be x, dx may be dy. Grid: _slices (ceil(channels / 32), slices) blocks of 256 threads, 32
// channels by 8 rows at a time; _apply as common/elementwise.cuh says; _fold, _normalizer and
// _coefficients ceil(channels / 32) blocks of 256, 32 channels by 8 parts at a time; the others a
// thread a channel, ceil(channels / 256) blocks of 256. Shared: 1 or 2 KiB static where sums are.
//
//   batch_norm_moments_slices_{f32,bf16,f16}    centre, sums of deviations and their squares
//   batch_norm_moments_total                    moments of a block from its slices'
//   batch_norm_fold_moments                     a block's moments into state
//   batch_norm_normalizer                       normalizer and running from the last's moments
//   batch_norm_running_normalizer               normalizer from running
//   batch_norm_apply_{f32,bf16,f16}             y
//   batch_norm_sums_slices_{f32,bf16,f16}       sums of each slice
//   batch_norm_sums_total                       sums of a block from its slices'
//   batch_norm_fold_sums                        a block's sums into state
//   batch_norm_coefficients                     coefficients, dgamma, dbeta from the last's sums
//   batch_norm_backward_apply_{f32,bf16,f16}    dx
#include "columns.cuh"
#include "elementwise.cuh"
#include "normalise.cuh"

DEV u64 channel_of_thread() { return (u64)blockIdx.x * blockDim.x + threadIdx.x; }

// The sum over the 8 groups of a block's threads, in their order, for each of the 32 channels.
template <class V> DEV V sum_of_groups(V mine) {
    __shared__ V values[8][32];
    u32 lane = threadIdx.x % 32;
    __syncthreads();  // the last sum's values were read
    values[threadIdx.x / 32][lane] = mine;
    __syncthreads();
    V sum = values[0][lane];
#pragma unroll
    for (int group = 1; group < 8; ++group) sum += values[group][lane];
    return sum;
}

// The rows of this block's slice, of which this thread takes every eighth from its group on.
struct Slice {
    u64 begin, end, channel;
    bool live;

    DEV static Slice of(const Slices& g) {
        u64 begin = blockIdx.y * g.rows_a_slice, channel = (u64)blockIdx.x * 32 + threadIdx.x % 32;
        return Slice{begin, min(begin + g.rows_a_slice, g.rows), channel, channel < g.channels};
    }
    template <class F> DEV void each_row(F f) const {
        if (!live) return;
        for (u64 row = begin + threadIdx.x / 32; row < end; row += 8) f(row);
    }
    // Writes partial[slice, row, channel] of as many rows as there are values.
    template <class... Values>
    DEV void write(f32* partial, const Slices& g, Values... values) const {
        if (!live || threadIdx.x >= 32) return;
        f32 rows[] = {values...};
        partial += blockIdx.y * sizeof...(values) * g.channels + channel;
#pragma unroll
        for (int row = 0; row < (int)sizeof...(values); ++row) {
            partial[row * g.channels] = rows[row];
        }
    }
};

template <class T> DEV void moments_slices(const T* x, f32* partial, const Slices& g) {
    Slice slice = Slice::of(g);
    f32 sum = 0.0f, deviations = 0.0f, squares = 0.0f;
    slice.each_row([&](u64 row) { sum += to_f32(x[row * g.channels + slice.channel]); });
    f32 centre = sum_of_groups(sum) / (f32)(slice.end - slice.begin);
    slice.each_row([&](u64 row) {
        f32 deviation = to_f32(x[row * g.channels + slice.channel]) - centre;
        deviations += deviation;
        squares += deviation * deviation;
    });
    f32 all_deviations = sum_of_groups(deviations);
    slice.write(partial, g, centre, all_deviations, sum_of_groups(squares));
}

// Mean and sum of squared deviations of the rows so far.
struct Moments {
    f64 rows, mean, squares;

    DEV void fold(f64 more, f64 of_mean, f64 of_squares) {
        f64 together = rows + more, delta = of_mean - mean;
        mean += delta * more / together;
        squares += of_squares + delta * delta * rows * more / together;
        rows = together;
    }
};

extern "C" __global__ void __launch_bounds__(256)
    batch_norm_moments_total(const f32* partial, f32* moments, Slices g) {
    u64 channel = channel_of_thread();
    if (channel >= g.channels) return;
    Moments all = {0.0, 0.0, 0.0};
    for (u32 slice = 0; slice < g.slices; ++slice) {
        f64 rows = (f64)min(g.rows_a_slice, g.rows - slice * g.rows_a_slice);
        const f32* of_slice = partial + slice * 3 * g.channels + channel;
        f64 centre = (f64)of_slice[0], deviations = (f64)of_slice[g.channels];
        f64 squares = (f64)of_slice[2 * g.channels], off = deviations / rows;
        all.fold(rows, centre + off, fmax(squares - off * deviations, 0.0));
    }
    moments[channel] = (f32)all.rows;
    moments[g.channels + channel] = (f32)all.mean;
    moments[2 * g.channels + channel] = (f32)all.squares;
}

struct Norm {
    u64 channels;
    u32 parts;
    // Whether state holds the blocks before.
    u32 folded;
    f32 epsilon;
    f32 momentum;
};

// What 8 groups of 32 threads have of the parts of 32 channels.
struct OfParts {
    u64 channel, channels;
    u32 parts;

    template <class Norm> DEV static OfParts of(const Norm& g) {
        return OfParts{(u64)blockIdx.x * 32 + threadIdx.x % 32, g.channels, g.parts};
    }
    // The sum of value(part) over the parts, where each has so many rows of channels.
    template <class F> DEV f64 sum(const f32* values, u32 rows, F value) const {
        f64 sum = 0.0;
        if (channel < channels) {
            for (u32 part = threadIdx.x / 32; part < parts; part += 8) {
                sum += value(values + (u64)part * rows * channels + channel);
            }
        }
        return sum_of_groups(sum);
    }
    // Whether this thread is the one to use the sums.
    DEV bool first() const { return threadIdx.x < 32 && channel < channels; }
};

// The moments of the blocks in state and of this one's parts; a thread that is not first() has none.
DEV Moments moments_with(const f32* moments, const f64* state, const Norm& g) {
    OfParts of = OfParts::of(g);
    u64 c = g.channels;
    f64 rows = of.sum(moments, 3, [&](const f32* part) { return (f64)part[0]; });
    f64 sum = of.sum(moments, 3, [&](const f32* part) { return (f64)part[0] * (f64)part[c]; });
    f64 mean = sum / rows;
    f64 squares = of.sum(moments, 3, [&](const f32* part) {
        f64 off = (f64)part[c] - mean;
        return (f64)part[2 * c] + (f64)part[0] * off * off;
    });
    Moments all = {0.0, 0.0, 0.0};
    if (!of.first()) return all;
    if (g.folded) {
        const f64* before = state + of.channel;
        all = Moments{before[0], before[c], before[2 * c]};
    }
    all.fold(rows, mean, squares);
    return all;
}

extern "C" __global__ void __launch_bounds__(256)
    batch_norm_fold_moments(const f32* moments, f64* state, Norm g) {
    Moments all = moments_with(moments, state, g);
    OfParts of = OfParts::of(g);
    if (!of.first()) return;
    state[of.channel] = all.rows;
    state[g.channels + of.channel] = all.mean;
    state[2 * g.channels + of.channel] = all.squares;
}

DEV void write_normalizer(const f32* parameters, f32* normalizer, const Norm& g, u64 channel,
                          f64 mean, f64 variance) {
    f64 inverse = 1.0 / sqrt(variance + (f64)g.epsilon);
    f64 scale = (f64)parameters[channel] * inverse;
    f64 beta = (f64)parameters[g.channels + channel];
    normalizer[channel] = (f32)scale;
    normalizer[g.channels + channel] = (f32)(beta - mean * scale);
    normalizer[2 * g.channels + channel] = (f32)mean;
    normalizer[3 * g.channels + channel] = (f32)inverse;
}

// What the exponential moving average keeps of itself, and the batch's part.
DEV f32 average(f32 running, f64 batch, const Norm& g) {
    f64 momentum = (f64)g.momentum;
    return (f32)(momentum * (f64)running + (1.0 - momentum) * batch);
}

extern "C" __global__ void __launch_bounds__(256)
    batch_norm_normalizer(const f32* moments, const f64* state, const f32* parameters,
                          f32* running, f32* normalizer, Norm g) {
    Moments all = moments_with(moments, state, g);
    OfParts of = OfParts::of(g);
    if (!of.first()) return;
    u64 channel = of.channel;
    f64 variance = all.squares / all.rows;
    f32 *mean = running + channel, *of_variance = running + g.channels + channel;
    *mean = average(*mean, all.mean, g);
    *of_variance = average(*of_variance, variance, g);
    write_normalizer(parameters, normalizer, g, channel, all.mean, variance);
}

extern "C" __global__ void __launch_bounds__(256)
    batch_norm_running_normalizer(const f32* parameters, const f32* running, f32* normalizer,
                                  Norm g) {
    u64 channel = channel_of_thread();
    if (channel >= g.channels) return;
    f64 mean = (f64)running[channel], variance = (f64)running[g.channels + channel];
    write_normalizer(parameters, normalizer, g, channel, mean, variance);
}

struct Apply {
    u64 rows;
    u64 channels;
    u32 function;
    u32 reserved;
};

// What K lines of channels have for an element.
template <int K> struct Lines {
    f32 at[K];
};

// y = f(x, dy, lines) for each element and what the lines have for its channel.
template <int K, class T, class F>
DEV void map_rows(const T* x, const T* dy, const f32* lines, T* y, const Apply& g, F f) {
    u64 first = first_of_eight(), channels = g.channels, channel = first % channels;
    if (channels % 8) {
        // `map2` asks for this thread's elements in their order.
        map2(g.rows * channels, x, dy, y, [&](f32 x, f32 dy) {
            Lines<K> of_channel;
#pragma unroll
            for (int k = 0; k < K; ++k) of_channel.at[k] = lines[k * channels + channel];
            channel = channel + 1 == channels ? 0 : channel + 1;
            return f(x, dy, of_channel);
        });
    } else if (first < g.rows * channels) {
        Eight values = load8(x + first), gradients = load8(dy + first), of_channels[K];
#pragma unroll
        for (int k = 0; k < K; ++k) of_channels[k] = load8(lines + k * channels + channel);
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            Lines<K> of_channel;
#pragma unroll
            for (int k = 0; k < K; ++k) of_channel.at[k] = of_channels[k].at[i];
            values.at[i] = f(values.at[i], gradients.at[i], of_channel);
        }
        store8(y + first, values);
    }
}

template <class T> DEV void apply(const T* x, const f32* normalizer, T* y, const Apply& g) {
    map_rows<2>(x, x, normalizer, y, g, [&](f32 x, f32, Lines<2> lines) {
        return apply(g.function, x * lines.at[0] + lines.at[1]);
    });
}

struct BackwardSlices {
    Slices slices;
    u32 function;
    u32 reserved;
};

template <class T>
DEV void sums_slices(const T* x, const T* dy, const f32* normalizer, f32* partial,
                     const BackwardSlices& g) {
    Slice slice = Slice::of(g.slices);
    u64 channels = g.slices.channels;
    f32 scale = 0.0f, shift = 0.0f, mean = 0.0f, s1 = 0.0f, s2 = 0.0f;
    if (slice.live) {
        const f32* of_channel = normalizer + slice.channel;
        scale = of_channel[0], shift = of_channel[channels], mean = of_channel[2 * channels];
    }
    slice.each_row([&](u64 row) {
        u64 at = row * channels + slice.channel;
        f32 value = to_f32(x[at]), of_x = gradient(g.function, scale, shift, value, to_f32(dy[at]));
        s1 += of_x;
        s2 += of_x * (value - mean);
    });
    f32 first = sum_of_groups(s1);
    slice.write(partial, g.slices, first, sum_of_groups(s2));
}

extern "C" __global__ void __launch_bounds__(256)
    batch_norm_sums_total(const f32* partial, f32* sums, Slices g) {
    u64 channel = channel_of_thread();
    if (channel >= g.channels) return;
    f32 s1 = 0.0f, s2 = 0.0f;
    for (u32 slice = 0; slice < g.slices; ++slice) {
        const f32* of_slice = partial + slice * 2 * g.channels + channel;
        s1 += of_slice[0];
        s2 += of_slice[g.channels];
    }
    sums[channel] = s1;
    sums[g.channels + channel] = s2;
}

struct Coefficients {
    u64 channels;
    // Rows of the batch.
    u64 rows;
    u32 parts;
    // Whether state holds the sums of the blocks before.
    u32 folded;
};

// S1 and S2 of the blocks in state and of this one's parts; a thread that is not first() has none.
struct Sums {
    f64 s1, s2;

    DEV static Sums with(const f32* sums, const f64* state, const Coefficients& g) {
        OfParts of = OfParts::of(g);
        f64 s1 = of.sum(sums, 2, [&](const f32* part) { return (f64)part[0]; });
        f64 s2 = of.sum(sums, 2, [&](const f32* part) { return (f64)part[g.channels]; });
        if (!g.folded || !of.first()) return Sums{s1, s2};
        return Sums{state[of.channel] + s1, state[g.channels + of.channel] + s2};
    }
};

extern "C" __global__ void __launch_bounds__(256)
    batch_norm_fold_sums(const f32* sums, f64* state, Coefficients g) {
    Sums all = Sums::with(sums, state, g);
    OfParts of = OfParts::of(g);
    if (!of.first()) return;
    state[of.channel] = all.s1;
    state[g.channels + of.channel] = all.s2;
}

extern "C" __global__ void __launch_bounds__(256)
    batch_norm_coefficients(const f32* sums, const f64* state, const f32* normalizer,
                            f32* gradients, f32* coefficients, Coefficients g) {
    Sums all = Sums::with(sums, state, g);
    OfParts of = OfParts::of(g);
    if (!of.first()) return;
    u64 channel = of.channel, c = g.channels;
    f64 s1 = all.s1, s2 = all.s2;
    f64 scale = (f64)normalizer[channel], mean = (f64)normalizer[2 * c + channel];
    f64 inverse = (f64)normalizer[3 * c + channel], rows = (f64)g.rows;
    f64 of_x = -scale * inverse * inverse * s2 / rows;
    gradients[channel] = (f32)(s2 * inverse);
    gradients[c + channel] = (f32)s1;
    coefficients[channel] = normalizer[channel];
    coefficients[c + channel] = normalizer[c + channel];
    coefficients[2 * c + channel] = (f32)of_x;
    coefficients[3 * c + channel] = (f32)(-scale * s1 / rows - of_x * mean);
}

template <class T>
DEV void backward_apply(const T* x, const T* dy, const f32* coefficients, T* dx, const Apply& g) {
    map_rows<4>(x, dy, coefficients, dx, g, [&](f32 x, f32 dy, Lines<4> lines) {
        f32 of_x = gradient(g.function, lines.at[0], lines.at[1], x, dy);
        return lines.at[0] * of_x + (lines.at[2] * x + lines.at[3]);
    });
}

#define BATCH_NORM(T)                                                                       \
    extern "C" __global__ void __launch_bounds__(256)                                       \
        batch_norm_moments_slices_##T(const T* x, f32* partial, Slices g) {                 \
        moments_slices(x, partial, g);                                                      \
    }                                                                                       \
    extern "C" __global__ void __launch_bounds__(256)                                       \
        batch_norm_apply_##T(const T* x, const f32* normalizer, T* y, Apply g) {            \
        apply(x, normalizer, y, g);                                                         \
    }                                                                                       \
    extern "C" __global__ void __launch_bounds__(256)                                       \
        batch_norm_sums_slices_##T(const T* x, const T* dy, const f32* normalizer,          \
                                   f32* partial, BackwardSlices g) {                        \
        sums_slices(x, dy, normalizer, partial, g);                                         \
    }                                                                                       \
    extern "C" __global__ void __launch_bounds__(256)                                       \
        batch_norm_backward_apply_##T(const T* x, const T* dy, const f32* coefficients,     \
                                      T* dx, Apply g) {                                     \
        backward_apply(x, dy, coefficients, dx, g);                                         \
    }
EACH_FLOAT(BATCH_NORM)
