// The gradient of filters, a slice of the positions at a time.
//
//   partial[slice, k, t, c] = sum_{n, i} dy[n, i, k] x[n, origin + i step + taps[t], c]
//
// where i runs over the positions of dy down and across, c over channels and t over taps. taps has
// their places in the window down and then those across.
#pragma once
#include "gather.cuh"

struct Wgrad {
    Map x;
    Map dy;
    u32 step[2];
    // Where in the input the window of the first position begins; what is before the input wraps
    // round to large numbers.
    u32 origin[2];
    u32 taps;
    // Chunks of 8 channels of the input, and those of them that a block has in its halo.
    u32 chunks;
    u32 halo_chunks;
    // How many tiles there are, and positions of a tile, rounded up to a multiple of 32.
    u32 tiles;
    u32 rows;
    Tiling tiling;
    // Bytes of the halo.
    u32 halo_bytes;
    // Positions of all images that a slice has, where slices are not of tiles.
    u64 positions_a_slice;
};
