// conv2d_tiled: the passes of a convolution of f32, as products of tiles of 64 by 64 results that
// each of 256 threads has 16 of in registers.
//
//   gather  as common/gather.cuh says
//   wgrad   partial[slice, k, t, c] = sum_{n, i} dy[n, i, k] X[t, c], X as there
//
// f is relu or nothing; bias may be null. Where a mask like y is given and not above zero, y is
// zero; it may be null. Nothing overlaps but that y may be the mask.
// w is packed, zeros where there is no channel or filter; for each phase
//   [blocks of 64 filters, taps, chunks of channels, 8 channels, 64 filters]
//
// Operands come to shared memory 8 channels, or 8 positions, at a time; the next ones are on their
// way to registers meanwhile.
// Grid: gather (ceil(most positions of a phase, of all images / 64), blocks of 64 filters, phases),
// wgrad (slices, ceil(taps channels / 64), ceil(filters / 64)) blocks of 256 threads. Shared: 8 KiB
// static.
//
//   conv2d_tiled_gather, conv2d_tiled_wgrad
#include "wgrad.cuh"

enum : u32 { SIDE = 64, DEPTH = 8 };

// The operands of a step: [DEPTH, SIDE] of each.
struct Operands {
    f32 a[DEPTH][SIDE], b[DEPTH][SIDE];
};

// The results of a thread: rows 4 (thread / 16) .. + 4 by columns 4 (thread % 16) .. + 4.
struct Results {
    f32 at[4][4];

    DEV void clear() {
#pragma unroll
        for (u32 i = 0; i < 16; ++i) at[i / 4][i % 4] = 0.0f;
    }
    DEV void multiply_add(const Operands& operands) {
        u32 row = threadIdx.x / 16 * 4, column = threadIdx.x % 16 * 4;
#pragma unroll
        for (u32 depth = 0; depth < DEPTH; ++depth) {
            f32 a[4], b[4];
#pragma unroll
            for (u32 i = 0; i < 4; ++i) {
                a[i] = operands.a[depth][row + i], b[i] = operands.b[depth][column + i];
            }
#pragma unroll
            for (u32 i = 0; i < 16; ++i) at[i / 4][i % 4] += a[i / 4] * b[i % 4];
        }
    }
};

// A position of all images, counted row by row.
struct Position {
    u32 image, row, column;
    bool live;

    DEV static Position of(const u32 (&positions)[2], u32 images, u64 index) {
        u32 columns = positions[1], size = positions[0] * columns;
        u32 in_image = (u32)(index % size);
        u64 image = index / size;
        return Position{(u32)image, in_image / columns, in_image % columns, image < images};
    }
    // The first pixel of its window, which may lie before the input.
    DEV Position window(const u32 (&step)[2], const u32 (&origin)[2]) const {
        return Position{image, row * step[0] + origin[0], column * step[1] + origin[1], live};
    }
    // The pixel of x at a distance from this one, or null where there is none.
    DEV const f32* pixel(const f32* x, const Map& map, u32 down, u32 across) const {
        u32 h = row + down, w = column + across;
        if (!live || h >= map.extent[0] || w >= map.extent[1]) return nullptr;
        u64 pixel = ((u64)image * map.extent[0] + h) * map.extent[1] + w;
        return x + pixel * map.channels;
    }
};

extern "C" __global__ void __launch_bounds__(256)
    conv2d_tiled_gather(const f32* x, const f32* w, const u32* taps, const f32* bias,
                        const f32* mask, f32* y, const __grid_constant__ Gather g) {
    __shared__ Operands operands[2];
    const Phase& phase = g.phases[blockIdx.z];
    u32 thread = threadIdx.x, steps = phase.taps * g.chunks;
    u64 first = (u64)blockIdx.x * SIDE;
    if (first >= (u64)g.input.images * phase.positions[0] * phase.positions[1]) return;
    // This thread brings two channels of one position and two filters of one channel.
    Position mine = Position::of(phase.positions, g.input.images, first + thread / 4);
    mine = mine.window(g.step_in, phase.origin);
    const f32* filters =
        w + (phase.filters_at + (u64)blockIdx.y * steps * SIDE) * DEPTH + thread * 2;
    taps += phase.taps_at;
    u32 tap = 0, chunk = 0;
    f32 a[2], b[2];
    auto fetch = [&]() {
        const f32* pixel = mine.pixel(x, g.input, taps[tap], taps[phase.taps + tap]);
#pragma unroll
        for (u32 i = 0; i < 2; ++i) {
            u32 channel = chunk * 8 + thread % 4 * 2 + i;
            a[i] = pixel && channel < g.input.channels ? pixel[channel] : 0.0f;
            b[i] = filters[i];
        }
        filters += DEPTH * SIDE;
        if (++chunk == g.chunks) chunk = 0, ++tap;
    };
    Results results;
    results.clear();
    if (steps) fetch();
    for (u32 step = 0; step < steps; ++step) {
        Operands& now = operands[step % 2];
#pragma unroll
        for (u32 i = 0; i < 2; ++i) {
            now.a[thread % 4 * 2 + i][thread / 4] = a[i];
            now.b[thread / 32][thread % 32 * 2 + i] = b[i];
        }
        __syncthreads();
        if (step + 1 < steps) fetch();
        results.multiply_add(now);
    }
#pragma unroll
    for (u32 i = 0; i < 4; ++i) {
        u64 index = first + thread / 16 * 4 + i;
        Position at = Position::of(phase.positions, g.input.images, index);
        if (!at.live) continue;
        u32 p = phase.first[0] + at.row * g.step_out[0];
        u32 q = phase.first[1] + at.column * g.step_out[1];
        u64 pixel = ((u64)at.image * g.output.extent[0] + p) * g.output.extent[1] + q;
#pragma unroll
        for (u32 j = 0; j < 4; ++j) {
            u32 filter = blockIdx.y * SIDE + thread % 16 * 4 + j;
            if (filter >= g.output.channels) continue;
            f32 sum = bias ? results.at[i][j] + bias[filter] : results.at[i][j];
            u64 to = pixel * g.output.channels + filter;
            bool zero = (g.relu && sum < 0.0f) || (mask && !(mask[to] > 0.0f));
            y[to] = zero ? 0.0f : sum;
        }
    }
}

extern "C" __global__ void __launch_bounds__(256)
    conv2d_tiled_wgrad(const f32* x, const f32* dy, const u32* taps, f32* partial, Wgrad g) {
    __shared__ Operands operands[2];
    u32 thread = threadIdx.x, columns = g.taps * g.x.channels;
    u64 first = blockIdx.x * g.positions_a_slice;
    u64 end = min(first + g.positions_a_slice,
                  (u64)g.dy.images * g.dy.extent[0] * g.dy.extent[1]);
    // This thread brings two filters and two columns of one position.
    u32 filter = blockIdx.z * SIDE + thread % 32 * 2, column = blockIdx.y * SIDE + thread % 32 * 2;
    f32 a[2], b[2];
    auto fetch = [&](u64 from) {
        u64 index = from + thread / 32;
        Position window = Position::of(g.dy.extent, g.dy.images, index).window(g.step, g.origin);
        window.live = index < end;
#pragma unroll
        for (u32 i = 0; i < 2; ++i) {
            bool there = window.live && filter + i < g.dy.channels;
            a[i] = there ? dy[index * g.dy.channels + filter + i] : 0.0f;
            b[i] = 0.0f;
            u32 tap = (column + i) / g.x.channels, channel = (column + i) % g.x.channels;
            if (tap >= g.taps) continue;
            const f32* pixel = window.pixel(x, g.x, taps[tap], taps[g.taps + tap]);
            if (pixel) b[i] = pixel[channel];
        }
    };
    Results results;
    results.clear();
    fetch(first);
    u32 step = 0;
    for (u64 from = first; from < end; from += DEPTH, ++step) {
        Operands& now = operands[step % 2];
#pragma unroll
        for (u32 i = 0; i < 2; ++i) {
            now.a[thread / 32][thread % 32 * 2 + i] = a[i];
            now.b[thread / 32][thread % 32 * 2 + i] = b[i];
        }
        __syncthreads();
        if (from + DEPTH < end) fetch(from + DEPTH);
        results.multiply_add(now);
    }
    partial += (u64)blockIdx.x * g.dy.channels * columns;
#pragma unroll
    for (u32 i = 0; i < 16; ++i) {
        u32 row = blockIdx.z * SIDE + thread / 16 * 4 + i / 4;
        u32 at = blockIdx.y * SIDE + thread % 16 * 4 + i % 4;
        if (row < g.dy.channels && at < columns) {
            partial[(u64)row * columns + at] = results.at[i / 4][i % 4];
        }
    }
}
