// conv2d_pack: filters in the order in which gathers read them.
//
//   packed[8 i + e] = w[first + e step] for e < count, else 0
//
// w is f32, packed is of the type that the kernel is named after. sources is [eights, 2]: for each
// eight i its `first`, and its count in the lower 4 bits of a word whose upper bits say which of
// two steps it has. Nothing overlaps.
// Grid: a thread an eight, ceil(eights / 256) blocks of 256 threads. No shared memory.
//
//   conv2d_pack_{f32,bf16,f16}
#include "types.cuh"

struct Packing {
    u64 eights;
    u64 steps[2];
};

template <class T> DEV void pack(const f32* w, const u32* sources, T* packed, const Packing& g) {
    u64 place = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (place >= g.eights) return;
    u32 how = sources[2 * place + 1], count = how & 15;
    u64 step = how >> 4 ? g.steps[1] : g.steps[0];
    const f32* from = w + sources[2 * place];
    Eight values;
#pragma unroll
    for (u32 e = 0; e < 8; ++e) values.at[e] = e < count ? from[e * step] : 0.0f;
    store8(packed + 8 * place, values);
}

#define CONV2D_PACK(T)                                                                         \
    extern "C" __global__ void __launch_bounds__(256)                                          \
        conv2d_pack_##T(const f32* w, const u32* sources, T* packed, Packing g) {              \
        pack(w, sources, packed, g);                                                           \
    }
EACH_FLOAT(CONV2D_PACK)
