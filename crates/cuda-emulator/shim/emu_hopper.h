// mbarrier, TMA loads, wgmma. A warpgroup's product is computed when it is waited for, and a copy
// when somebody waits at its barrier. Warp w of a warpgroup owns rows 16w .. 16w + 15, so that
// wgmma is a collective of a warp here.
#pragma once

namespace __emu {
// Written by cuTensorMapEncodeTiled, see src/driver/tensor_map.rs.
struct TensorMap {
    __emu_u64 magic, base, strides[4]; // strides[i]: bytes between steps of dimension i + 1
    unsigned dimensions[5];
    unsigned short box[5];
    unsigned char rank, element, swizzle, nan_fill;
};
static const __emu_u64 TENSOR_MAP_MAGIC = 0x70616d7420756d65ull; // "emu tmap"

struct Mbarrier { unsigned expected : 20, pending : 20, phase : 1; int bytes : 23; } __attribute__((packed));
struct TmaCopy { void* to; const TensorMap* map; int at[5]; __emu_u64* barrier; unsigned bytes; };
struct BlockState { TmaCopy copies[256]; unsigned count; };

EMU_OWN BlockState& block_state() {
    if (!__emu_self->block->user) {
        auto* state = (BlockState*)malloc(sizeof(BlockState));
        state->count = 0;
        __emu_self->block->user = state;
    }
    return *(BlockState*)__emu_self->block->user;
}

// Shared memory operands of wgmma, and products issued but not waited for.
struct Product { float* d; __emu_u64 a, b; unsigned registers[4]; bool a_in_registers, accumulate, b_mn_major; };
struct Products { Product entries[64]; unsigned count, groups, group_end[32]; };
struct ThreadState { Copies copies; Products products; };
EMU_OWN ThreadState* thread_state() {
    if (!__emu_self->user) {
        __emu_self->user = malloc(sizeof(ThreadState));
        memset(__emu_self->user, 0, sizeof(ThreadState));
    }
    return (ThreadState*)__emu_self->user;
}
EMU_OWN Copies& copies() { return thread_state()->copies; }

// XOR of address bits in the 128-, 64- and 32-byte modes of tensor maps (3, 2, 1).
EMU_OWN_INLINE size_t swizzled(size_t offset, unsigned mode) {
    unsigned mask = mode == 3 ? 7 : mode == 2 ? 3 : mode == 1 ? 1 : 0;
    return offset ^ (offset >> 7 & mask) << 4;
}
EMU_OWN void complete(__emu_u64* barrier) {
    Mbarrier m;
    memcpy(&m, barrier, 8);
    if (m.pending == 0 && m.bytes == 0) {
        m.phase ^= 1;
        m.pending = m.expected;
    }
    memcpy(barrier, &m, 8);
}
EMU_OWN void run(const __emu_block* block, TmaCopy& copy) {
    const TensorMap& m = *copy.map;
    size_t start = (unsigned char*)copy.to - block->shared; // window offset: swizzles align to it
    unsigned rows = 1;
    for (int i = 1; i < m.rank; i++) rows *= m.box[i];
    for (unsigned r = 0; r < rows; r++) {
        __emu_u64 row = m.base;
        bool inside = true;
        unsigned rest = r;
        for (int i = 1; i < m.rank; i++) {
            int c = copy.at[i] + (int)(rest % m.box[i]);
            rest /= m.box[i];
            inside &= c >= 0 && (unsigned)c < m.dimensions[i];
            row += (long long)c * (long long)m.strides[i - 1];
        }
        for (unsigned k = 0; k < m.box[0]; k++) {
            int c = copy.at[0] + (int)k;
            size_t to = swizzled(start + ((size_t)r * m.box[0] + k) * m.element, m.swizzle);
            if (inside && c >= 0 && (unsigned)c < m.dimensions[0])
                memcpy(block->shared + to, (const char*)row + (long long)c * m.element, m.element);
            else
                memset(block->shared + to, m.nan_fill ? 0xff : 0, m.element);
        }
    }
    Mbarrier b;
    memcpy(&b, copy.barrier, 8);
    b.bytes -= (int)copy.bytes;
    memcpy(copy.barrier, &b, 8);
    complete(copy.barrier);
}
} // namespace __emu

EMU_OWN void __emu_mbar_init(__emu_u64* barrier, unsigned count) {
    EMU_ACCESS_AT_CALLER(barrier, 8, EMU_WRITE | EMU_ATOMIC);
    __emu::Mbarrier m{};
    m.expected = m.pending = count;
    memcpy(barrier, &m, 8);
}
// An arrival that also expects `bytes` of copies.
EMU_OWN void __emu_mbar_arrive(__emu_u64* barrier, unsigned bytes) {
    EMU_ACCESS_AT_CALLER(barrier, 8, EMU_WRITE | EMU_ATOMIC);
    __emu::Mbarrier m;
    memcpy(&m, barrier, 8);
    if (m.pending == 0) EMU_TRAP_AT_CALLER(EMU_FAILED_STATUS, "mbarrier: more arrivals than expected");
    m.pending--;
    m.bytes += (int)bytes;
    memcpy(barrier, &m, 8);
    __emu::complete(barrier);
}
EMU_OWN bool __emu_mbar_try_wait(__emu_u64* barrier, unsigned parity) {
    EMU_ACCESS_AT_CALLER(barrier, 8, EMU_WRITE | EMU_ATOMIC);
    auto* q = (__emu::BlockState*)__emu_self->block->user;
    for (unsigned i = 0; q && i < q->count;) {
        if (q->copies[i].barrier == barrier) {
            auto copy = q->copies[i];
            q->copies[i] = q->copies[--q->count];
            EMU_ACCESS_AT_CALLER(copy.to, copy.bytes, EMU_WRITE | EMU_PROXY | EMU_LANDS);
            if (__emu_instrumented) __emu_api.tally(__emu_self, EMU_TALLY_GLOBAL_READ, copy.bytes);
            __emu::run(__emu_self->block, copy);
        } else
            i++;
    }
    __emu::Mbarrier m;
    memcpy(&m, barrier, 8);
    if (m.phase != (parity & 1)) return true;
    __emu_yield();
    return false;
}
EMU_OWN void __emu_tma_load(void* shared, const void* map, __emu_u64* barrier, const int (&at)[5]) {
    auto* m = (const __emu::TensorMap*)map;
    if (m->magic != __emu::TENSOR_MAP_MAGIC)
        EMU_TRAP_AT_CALLER(EMU_FAILED_STATUS, "TMA: not a tensor map; is it a __grid_constant__ parameter?");
    if ((size_t)shared & 127) EMU_TRAP_AT_CALLER(EMU_MISALIGNED_STATUS, "TMA: destination not aligned to 128 bytes");
    unsigned bytes = m->element;
    for (int i = 0; i < m->rank; i++) bytes *= m->box[i];
    auto& q = __emu::block_state();
    if (q.count == 256) EMU_TRAP_AT_CALLER(EMU_FAILED_STATUS, "TMA: too many copies in flight");
    EMU_ACCESS_AT_CALLER(shared, bytes, EMU_WRITE | EMU_ASYNC | EMU_PROXY);
    memset(shared, 0xff, bytes);
    q.copies[q.count++] = {shared, m, {at[0], at[1], at[2], at[3], at[4]}, barrier, bytes};
}

namespace __emu {
// Element (i, k) of a 16-bit operand that a matrix descriptor places; i counts rows of a and
// columns of b. K-major: rows of k. MN-major (without swizzle atoms narrower than 128 bytes): rows
// of i.
EMU_OWN_INLINE unsigned short operand(const __emu_block* block, __emu_u64 d, unsigned i, unsigned k, bool mn_major) {
    static const unsigned char modes[4] = {0, 3, 2, 1}; // of a descriptor, as a tensor map counts
    size_t start = (d & 0x3fff) << 4, leading = (d >> 16 & 0x3fff) << 4, stride = (d >> 32 & 0x3fff) << 4;
    unsigned mode = modes[d >> 62 & 3], pitch = 16u << mode, per_row = pitch / 2;
    size_t a;
    if (mn_major)
        a = mode ? start + i / per_row * leading + k / 8 * stride + k % 8 * pitch + i % per_row * 2
                 : start + i / 8 * stride + k / 8 * leading + k % 8 * 16 + i % 8 * 2;
    else
        a = mode ? start + i / 8 * stride + i % 8 * pitch + k * 2
                 : start + i / 8 * stride + k / 8 * leading + i % 8 * 16 + k % 8 * 2;
    a = swizzled(a - EMU_WINDOW, mode);
    unsigned short bits;
    memcpy(&bits, block->shared + a, 2);
    return bits;
}
struct Finish { Products* products; const __emu_block* block; unsigned warp, count; };
template <int N, class T> EMU_COLLECTIVE wgmma(const void* const* in, void* const*, unsigned) {
    const Finish& first = *(const Finish*)in[0];
    for (unsigned e = 0; e < first.count; e++) {
        const Product& p = first.products->entries[e];
        float a[16][16], b[16][N];
        for (int l = 0; l < 32 && p.a_in_registers; l++) {
            auto& r = ((const Finish*)in[l])->products->entries[e].registers;
            for (int i = 0; i < 4; i++)
                for (int h = 0; h < 2; h++)
                    a[l / 4 + i % 2 * 8][l % 4 * 2 + i / 2 * 8 + h] = T::get((unsigned short)(r[i] >> 16 * h));
        }
        for (int r = 0; r < 16 && !p.a_in_registers; r++)
            for (int k = 0; k < 16; k++)
                a[r][k] = T::get(operand(first.block, p.a, first.warp % 4 * 16 + r, k, false));
        for (int n = 0; n < N; n++)
            for (int k = 0; k < 16; k++) b[k][n] = T::get(operand(first.block, p.b, n, k, p.b_mn_major));
        for (int r = 0; r < 16; r++) {
            float sum[N] = {};
            for (int k = 0; k < 16; k++)
                for (int n = 0; n < N; n++) sum[n] += a[r][k] * b[k][n];
            for (int n = 0; n < N; n++) {
                int l = r % 8 * 4 + n % 8 / 2, i = n / 8 * 4 + r / 8 * 2 + n % 2;
                auto& d = ((const Finish*)in[l])->products->entries[e];
                d.d[i] = d.accumulate ? d.d[i] + sum[n] : sum[n];
            }
        }
    }
}
EMU_OWN void issue(const Product& p, int n) {
    auto& q = thread_state()->products;
    if (q.count == 64) EMU_TRAP_AT_CALLER(EMU_FAILED_STATUS, "wgmma: too many operations in flight");
    EMU_TALLY(EMU_TALLY_MMA, 1);
    EMU_TALLY(EMU_TALLY_MULTIPLY_ADDS, (__emu_u64)16 * n * 16);
    q.entries[q.count++] = p;
}
} // namespace __emu

// d (64 x 2R) = a (64 x 16) * b (16 x 2R) [+ d], a and b by descriptors.
template <int R> EMU_FN void __emu_wgmma_issue(float (&d)[R], __emu_u64 a, __emu_u64 b, bool accumulate,
                                               bool b_mn_major = false) {
    __emu::issue({d, a, b, {}, false, accumulate, b_mn_major}, 2 * R);
}
// The same with a in registers.
template <int R> EMU_FN void __emu_wgmma_issue(float (&d)[R], const unsigned (&a)[4], __emu_u64 b,
                                               bool accumulate, bool b_mn_major = false) {
    __emu::issue({d, 0, b, {a[0], a[1], a[2], a[3]}, true, accumulate, b_mn_major}, 2 * R);
}
EMU_OWN void __emu_wgmma_commit() {
    auto& q = __emu::thread_state()->products;
    if (q.groups == 32) EMU_TRAP_AT_CALLER(EMU_FAILED_STATUS, "wgmma: too many groups in flight");
    q.group_end[q.groups++] = q.count;
}
// Waits until at most `keep` groups are in flight; all of them have N columns and type T.
template <int N, class T = __emu::Bf16> EMU_OWN void __emu_wgmma_wait(unsigned keep) {
    auto& q = __emu::thread_state()->products;
    if (q.groups <= keep) return;
    unsigned done = q.groups - keep, end = q.group_end[done - 1];
    __emu::Finish in{&q, __emu_self->block, __emu_self->warp, end};
    __emu_api.warp(__emu_self, ~0u, &in, nullptr, __emu::wgmma<N, T>, EMU_CALLER());
    for (unsigned i = end; i < q.count; i++) q.entries[i - end] = q.entries[i];
    for (unsigned i = done; i < q.groups; i++) q.group_end[i - done] = q.group_end[i] - end;
    q.count -= end;
    q.groups = keep;
}
