// Philox-4x32-10 (J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011,
// section 3.3), bit for bit what `nasrl_tensor::random` computes.
#pragma once
#include "prelude.cuh"

struct Key {
    u32 at[2];
};
struct Words {
    u32 at[4];
};

// Four random words for a key and a counter.
DEV Words philox4x32(Key key, u32 c0, u32 c1, u32 c2, u32 c3) {
    u32 k0 = key.at[0], k1 = key.at[1];
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        u64 product0 = (u64)c0 * 0xd2511f53u, product2 = (u64)c2 * 0xcd9e8d57u;
        c0 = (u32)(product2 >> 32) ^ c1 ^ k0;
        c1 = (u32)product2;
        c2 = (u32)(product0 >> 32) ^ c3 ^ k1;
        c3 = (u32)product0;
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    return Words{{c0, c1, c2, c3}};
}

// A word as a number uniform in [0, 1): its upper 24 bits over 2^24.
DEV f32 uniform(u32 word) { return (f32)(word >> 8) * (1.0f / 16777216.0f); }
