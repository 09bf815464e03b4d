// Gathers: convolutions whose results at some positions are sums over taps of the input.
//
//   y[n, first + i step_out, k] = f(bias[k] + sum_{t, c} X[t, c] w[t, k, c])
//   X[t, c]                     = x[n, origin + i step_in + taps[t], c]
//
// where i runs over positions down and across. fprop is a gather of one phase, dgrad has one for
// each phase of the stride.
#pragma once
#include "types.cuh"

// Activations, [images, extent, channels].
struct Map {
    u32 images;
    u32 extent[2];
    u32 channels;
};

// A tile has `images` x `rows` x `columns` positions; tiles cover the positions of all images.
struct Tiling {
    u32 images;
    u32 rows;
    u32 columns;
    // How many tiles there are down and across.
    u32 down;
    u32 across;
    // Pixels of what a tile sees of the input, its halo, down and across.
    u32 halo[2];
    // Windows are `step` pixels apart across. A row of the halo has first the pixels 0, step,
    // 2 step, ..., then those after them, and so on, `lanes` each, so that windows side by side
    // have their pixels side by side.
    u32 step;
    u32 lanes;
    // Bytes of a pixel of the halo.
    u32 pitch;

    // Bytes of the halo from the first pixel of a window to another of its pixels.
    DEV u32 distance(u32 down, u32 across) const {
        return (down * halo[1] + across % step * lanes + across / step) * pitch;
    }
};

struct Phase {
    // Positions down and across.
    u32 positions[2];
    u32 first[2];
    // Where in the input the window of the first position begins; what is before the input wraps
    // round to large numbers.
    u32 origin[2];
    // How many taps there are. Their places in the window down and then those across are in a table
    // from `taps_at` on.
    u32 taps;
    u32 taps_at;
    // Where the phase's packed filters begin, in eights of elements, and how many tiles they have
    // for a block of channels.
    u32 filters_at;
    u32 tiles;
    Tiling tiling;
};

struct Gather {
    Map input;
    Map output;
    u32 step_out[2];
    u32 step_in[2];
    // Chunks of 8 channels of a block of channels, and how many blocks there are.
    u32 chunks;
    u32 blocks;
    u32 relu;
    // Whether the warps of a block share its positions and divide the products.
    u32 split;
    Phase phases[4];
};
