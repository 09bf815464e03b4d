// ldmatrix, stmatrix and mma.sync: collectives of a full warp.
#pragma once

namespace __emu {
// Lane 8i + r brings the address of row r of the 8x8 matrix i. Row and column in matrix i of the
// half `h` of the register that lane l holds.
EMU_OWN_INLINE int matrix_row(bool trans, int l, int h) { return trans ? l % 4 * 2 + h : l / 4; }
EMU_OWN_INLINE int matrix_column(bool trans, int l, int h) { return trans ? l / 4 : l % 4 * 2 + h; }

template <int N, bool TRANS> EMU_COLLECTIVE ldmatrix(const void* const* in, void* const* out, unsigned) {
    for (int l = 0; l < 32; l++)
        for (int i = 0; i < N; i++) {
            unsigned r = 0;
            for (int h = 0; h < 2; h++) {
                auto* row = *(const unsigned short* const*)in[8 * i + matrix_row(TRANS, l, h)];
                r |= (unsigned)row[matrix_column(TRANS, l, h)] << 16 * h;
            }
            ((unsigned*)out[l])[i] = r;
        }
}
template <int N> struct Store { unsigned short* row; unsigned r[N]; };
template <int N, bool TRANS> EMU_COLLECTIVE stmatrix(const void* const* in, void* const*, unsigned) {
    for (int l = 0; l < 32; l++)
        for (int i = 0; i < N; i++)
            for (int h = 0; h < 2; h++) {
                auto* row = ((const Store<N>*)in[8 * i + matrix_row(TRANS, l, h)])->row;
                row[matrix_column(TRANS, l, h)] = (unsigned short)(((const Store<N>*)in[l])->r[i] >> 16 * h);
            }
}

typedef float Row8 __attribute__((vector_size(32)));
struct Bf16 { EMU_OWN_INLINE float get(unsigned short bits) { return __emu_bf2f(bits); } };
struct F16 { EMU_OWN_INLINE float get(unsigned short bits) { return __emu_h2f(bits); } };

// Adds the product of a (16 x K) and b (K x 8) to the lanes' accumulators, in order of k.
template <int K, class In> EMU_OWN_INLINE void multiply(const float (&a)[16][K], const Row8 (&b)[K],
                                                        const void* const* in, void* const* out) {
    float d[16][8];
    for (int r = 0; r < 16; r++) {
        Row8 sum{};
        for (int k = 0; k < K; k++) sum += a[r][k] * b[k];
        __builtin_memcpy(d[r], &sum, sizeof sum);
    }
    for (int l = 0; l < 32; l++)
        for (int i = 0; i < 4; i++)
            ((float*)out[l])[i] = ((const In*)in[l])->c[i] + d[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2];
}
struct Mma16 { unsigned a[4], b[2]; float c[4]; };
template <class T> EMU_COLLECTIVE mma_m16n8k16(const void* const* in, void* const* out, unsigned) {
    float a[16][16];
    Row8 b[16];
    for (int l = 0; l < 32; l++) {
        const Mma16& m = *(const Mma16*)in[l];
        int g = l / 4, t = l % 4 * 2;
        for (int h = 0; h < 2; h++) {
            a[g][t + h] = T::get(m.a[0] >> 16 * h);
            a[g + 8][t + h] = T::get(m.a[1] >> 16 * h);
            a[g][t + 8 + h] = T::get(m.a[2] >> 16 * h);
            a[g + 8][t + 8 + h] = T::get(m.a[3] >> 16 * h);
            b[t + h][g] = T::get(m.b[0] >> 16 * h);
            b[t + 8 + h][g] = T::get(m.b[1] >> 16 * h);
        }
    }
    multiply<16, Mma16>(a, b, in, out);
}
// The tensor core ignores the low 13 bits.
EMU_OWN_INLINE float tf32(unsigned bits) {
    bits &= 0xffffe000u;
    float f;
    __builtin_memcpy(&f, &bits, 4);
    return f;
}
EMU_COLLECTIVE mma_m16n8k8_tf32(const void* const* in, void* const* out, unsigned) {
    float a[16][8];
    Row8 b[8];
    for (int l = 0; l < 32; l++) {
        const Mma16& m = *(const Mma16*)in[l];
        int g = l / 4, t = l % 4;
        a[g][t] = tf32(m.a[0]);
        a[g + 8][t] = tf32(m.a[1]);
        a[g][t + 4] = tf32(m.a[2]);
        a[g + 8][t + 4] = tf32(m.a[3]);
        b[t][g] = tf32(m.b[0]);
        b[t + 4][g] = tf32(m.b[1]);
    }
    multiply<8, Mma16>(a, b, in, out);
}
EMU_FN void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const float (&c)[4],
                __emu_collective f, __emu_u64 multiply_adds, size_t site) {
    Mma16 i{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}, {c[0], c[1], c[2], c[3]}};
    EMU_TALLY(EMU_TALLY_MMA, 1);
    EMU_TALLY(EMU_TALLY_MULTIPLY_ADDS, multiply_adds);
    __emu_api.warp(__emu_self, ~0u, &i, d, f, site);
}
} // namespace __emu

template <int N, bool TRANS> EMU_FN void __emu_ldmatrix(unsigned (&r)[N], const void* row) {
    if ((int)__emu_self->lane < 8 * N) {
        if ((size_t)row & 15) EMU_TRAP(EMU_MISALIGNED_STATUS, "ldmatrix: misaligned row");
        EMU_ACCESS(row, 16, EMU_READ);
    }
    __emu_api.warp(__emu_self, ~0u, &row, r, __emu::ldmatrix<N, TRANS>, EMU_SITE());
}
template <int N, bool TRANS> EMU_FN void __emu_stmatrix(void* row, const unsigned (&r)[N]) {
    if ((int)__emu_self->lane < 8 * N) {
        if ((size_t)row & 15) EMU_TRAP(EMU_MISALIGNED_STATUS, "stmatrix: misaligned row");
        EMU_ACCESS(row, 16, EMU_WRITE);
    }
    __emu::Store<N> i;
    i.row = (unsigned short*)row;
    for (int k = 0; k < N; k++) i.r[k] = r[k];
    __emu_api.warp(__emu_self, ~0u, &i, nullptr, __emu::stmatrix<N, TRANS>, EMU_SITE());
}
// d = a (16 x K, row major) * b (K x 8, column major) + c in f32.
EMU_FN void __emu_mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const float (&c)[4]) {
    __emu::mma(d, a, b, c, __emu::mma_m16n8k16<__emu::Bf16>, 16 * 8 * 16, EMU_SITE());
}
EMU_FN void __emu_mma_f16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const float (&c)[4]) {
    __emu::mma(d, a, b, c, __emu::mma_m16n8k16<__emu::F16>, 16 * 8 * 16, EMU_SITE());
}
EMU_FN void __emu_mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const float (&c)[4]) {
    __emu::mma(d, a, b, c, __emu::mma_m16n8k8_tf32, 16 * 8 * 8, EMU_SITE());
}
