// Barriers and warp collectives.
#pragma once

enum { EMU_GRID_BARRIER = 16 }; // behind the sixteen barriers of a block

EMU_FN void __syncthreads() { __emu_api.barrier(__emu_self, 0, 0, 0, EMU_SITE()); }
EMU_FN int __syncthreads_count(int p) {
    __emu_api.barrier(__emu_self, 0, 0, p != 0, EMU_SITE());
    return (int)__emu_self->block->predicates;
}
EMU_FN int __syncthreads_or(int p) { return __syncthreads_count(p) != 0; }
EMU_FN int __syncthreads_and(int p) { return __syncthreads_count(!p) == 0; }
EMU_FN void __emu_bar_sync(unsigned id, unsigned threads) {
    __emu_api.barrier(__emu_self, id, threads, 0, EMU_SITE());
}
EMU_FN void __emu_grid_sync() { __emu_api.barrier(__emu_self, EMU_GRID_BARRIER, 0, 0, EMU_SITE()); }
EMU_FN void __emu_yield() { __emu_api.yield(__emu_self); }
EMU_FN void __nanosleep(unsigned) { __emu_yield(); }

// Window addresses: only dynamic shared memory has them, from EMU_WINDOW on.
#define EMU_WINDOW 0x400
EMU_FN size_t __cvta_generic_to_shared(const void* p) {
    size_t offset = (size_t)p - (size_t)__emu_self->block->shared;
    if (offset > __emu_self->block->shared_bytes)
        EMU_TRAP(EMU_FAILED_STATUS, "__cvta_generic_to_shared: not dynamic shared memory");
    return EMU_WINDOW + offset;
}
EMU_FN unsigned __emu_shared_address(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }

namespace __emu {
#define EMU_COLLECTIVE EMU_OWN void
#define EMU_LANES(l, mask) for (unsigned l = 0; l < 32; l++) if (mask >> l & 1)

struct Shuffle { __emu_u64 value; int source; }; // the absolute lane to read from
EMU_COLLECTIVE shuffle(const void* const* in, void* const* out, unsigned mask) {
    EMU_LANES(l, mask) {
        int s = ((const Shuffle*)in[l])->source & 31;
        // A lane outside the mask gives an undefined value.
        *(__emu_u64*)out[l] = mask >> s & 1 ? ((const Shuffle*)in[s])->value : 0xdeadbeefdeadbeefull;
    }
}
EMU_COLLECTIVE ballot(const void* const* in, void* const* out, unsigned mask) {
    unsigned r = 0;
    EMU_LANES(l, mask) if (*(const int*)in[l]) r |= 1u << l;
    EMU_LANES(l, mask) *(unsigned*)out[l] = r;
}
enum Reduction { ADD, MIN_SIGNED, MAX_SIGNED, MIN, MAX, AND, OR, XOR };
struct Reduce { unsigned value; Reduction operation; };
EMU_OWN_INLINE unsigned combine(Reduction operation, unsigned a, unsigned b) {
    switch (operation) {
    case ADD: return a + b;
    case MIN_SIGNED: return (int)a < (int)b ? a : b;
    case MAX_SIGNED: return (int)a > (int)b ? a : b;
    case MIN: return a < b ? a : b;
    case MAX: return a > b ? a : b;
    case AND: return a & b;
    case OR: return a | b;
    default: return a ^ b;
    }
}
EMU_COLLECTIVE reduce(const void* const* in, void* const* out, unsigned mask) {
    bool first = true;
    unsigned r = 0;
    EMU_LANES(l, mask) {
        const Reduce& i = *(const Reduce*)in[l];
        r = first ? i.value : combine(i.operation, r, i.value);
        first = false;
    }
    EMU_LANES(l, mask) *(unsigned*)out[l] = r;
}
EMU_COLLECTIVE match(const void* const* in, void* const* out, unsigned mask) {
    EMU_LANES(l, mask) {
        unsigned r = 0;
        EMU_LANES(k, mask) if (*(const __emu_u64*)in[k] == *(const __emu_u64*)in[l]) r |= 1u << k;
        *(unsigned*)out[l] = r;
    }
}
template <class T> EMU_FN T read_lane(unsigned mask, T v, int source, size_t site) {
    static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
    Shuffle i{0, source};
    __emu_u64 o;
    __builtin_memcpy(&i.value, &v, sizeof(T));
    __emu_api.warp(__emu_self, mask, &i, &o, shuffle, site);
    __builtin_memcpy(&v, &o, sizeof(T));
    return v;
}
EMU_FN unsigned reduced(unsigned mask, unsigned v, Reduction operation, size_t site) {
    Reduce i{v, operation};
    unsigned o;
    __emu_api.warp(__emu_self, mask, &i, &o, reduce, site);
    return o;
}
} // namespace __emu

EMU_FN void __syncwarp(unsigned mask = 0xffffffffu) {
    __emu_api.warp(__emu_self, mask, nullptr, nullptr, nullptr, EMU_SITE());
}
// Lanes beyond the segment of `width` lanes read their own value.
template <class T> EMU_FN T __shfl_sync(unsigned m, T v, int source, int width = 32) {
    int lane = __emu_self->lane;
    return __emu::read_lane(m, v, (lane & ~(width - 1)) | (source & (width - 1)), EMU_SITE());
}
template <class T> EMU_FN T __shfl_xor_sync(unsigned m, T v, int x, int width = 32) {
    int lane = __emu_self->lane, s = lane ^ x;
    return __emu::read_lane(m, v, s < ((lane & ~(width - 1)) + width) ? s : lane, EMU_SITE());
}
template <class T> EMU_FN T __shfl_up_sync(unsigned m, T v, unsigned d, int width = 32) {
    int lane = __emu_self->lane, s = lane - (int)d;
    return __emu::read_lane(m, v, s >= (lane & ~(width - 1)) ? s : lane, EMU_SITE());
}
template <class T> EMU_FN T __shfl_down_sync(unsigned m, T v, unsigned d, int width = 32) {
    int lane = __emu_self->lane, s = lane + (int)d;
    return __emu::read_lane(m, v, s < ((lane & ~(width - 1)) + width) ? s : lane, EMU_SITE());
}
EMU_FN unsigned __ballot_sync(unsigned m, int p) {
    unsigned o;
    __emu_api.warp(__emu_self, m, &p, &o, __emu::ballot, EMU_SITE());
    return o;
}
EMU_FN int __any_sync(unsigned m, int p) { return __ballot_sync(m, p) != 0; }
EMU_FN int __all_sync(unsigned m, int p) { return __ballot_sync(m, p) == m; }
template <class T> EMU_FN unsigned __match_any_sync(unsigned m, T v) {
    __emu_u64 i = 0;
    unsigned o;
    __builtin_memcpy(&i, &v, sizeof v);
    __emu_api.warp(__emu_self, m, &i, &o, __emu::match, EMU_SITE());
    return o;
}
#define EMU_REDUCE(name, T, operation) \
    EMU_FN T name(unsigned m, T v) { return (T)__emu::reduced(m, (unsigned)v, __emu::operation, EMU_SITE()); }
EMU_REDUCE(__reduce_add_sync, int, ADD)
EMU_REDUCE(__reduce_add_sync, unsigned, ADD)
EMU_REDUCE(__reduce_min_sync, int, MIN_SIGNED)
EMU_REDUCE(__reduce_max_sync, int, MAX_SIGNED)
EMU_REDUCE(__reduce_min_sync, unsigned, MIN)
EMU_REDUCE(__reduce_max_sync, unsigned, MAX)
EMU_REDUCE(__reduce_and_sync, unsigned, AND)
EMU_REDUCE(__reduce_or_sync, unsigned, OR)
EMU_REDUCE(__reduce_xor_sync, unsigned, XOR)
