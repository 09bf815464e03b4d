// bf16 and fp16. Arithmetic is done in f32 and rounded, as the instructions do for one operation.
#pragma once

EMU_FN unsigned short __emu_f2bf(float f) {
    unsigned u;
    __builtin_memcpy(&u, &f, 4);
    if ((u & 0x7fffffff) > 0x7f800000) return 0x7fff; // the canonical NaN
    return (unsigned short)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}
EMU_OWN_INLINE float __emu_bf2f(unsigned short h) {
    unsigned u = (unsigned)h << 16;
    float f;
    __builtin_memcpy(&f, &u, 4);
    return f;
}
EMU_FN unsigned short __emu_f2h(float f) {
    if (f != f) return 0x7fff;
    _Float16 h = (_Float16)f;
    unsigned short u;
    __builtin_memcpy(&u, &h, 2);
    return u;
}
EMU_OWN_INLINE float __emu_h2f(unsigned short u) {
    _Float16 h;
    __builtin_memcpy(&h, &u, 2);
    return (float)h;
}

#define EMU_HALF(T, T2, to_bits, to_float)                                  \
    struct __align__(2) T {                                                 \
        unsigned short __x;                                                 \
        T() = default;                                                      \
        T(float f) : __x(to_bits(f)) {}                                     \
        T(double f) : __x(to_bits((float)f)) {}                             \
        T(int i) : __x(to_bits((float)i)) {}                                \
        operator float() const { return to_float(__x); }                    \
    };                                                                      \
    struct __align__(4) T2 { T x, y; };                                     \
    EMU_STRUCT_FN T operator+(T a, T b) { return T((float)a + (float)b); }  \
    EMU_STRUCT_FN T operator-(T a, T b) { return T((float)a - (float)b); }  \
    EMU_STRUCT_FN T operator*(T a, T b) { return T((float)a * (float)b); }  \
    EMU_STRUCT_FN T operator/(T a, T b) { return T((float)a / (float)b); }  \
    EMU_FN T& operator+=(T& a, T b) { return a = a + b; }                   \
    EMU_FN T& operator*=(T& a, T b) { return a = a * b; }                   \
    EMU_STRUCT_FN T __habs(T a) { a.__x &= 0x7fff; return a; }
EMU_HALF(__nv_bfloat16, __nv_bfloat162, __emu_f2bf, __emu_bf2f)
EMU_HALF(__half, __half2, __emu_f2h, __emu_h2f)
typedef __half half;
typedef __half2 half2;

EMU_FN float __bfloat162float(__nv_bfloat16 a) { return a; }
EMU_STRUCT_FN __nv_bfloat16 __float2bfloat16(float a) { return a; }
EMU_STRUCT_FN __nv_bfloat16 __float2bfloat16_rn(float a) { return a; }
EMU_STRUCT_FN __nv_bfloat162 __floats2bfloat162_rn(float a, float b) { return {a, b}; }
EMU_STRUCT_FN float2 __bfloat1622float2(__nv_bfloat162 a) { return {a.x, a.y}; }
EMU_FN unsigned short __bfloat16_as_ushort(__nv_bfloat16 b) { return b.__x; }
EMU_STRUCT_FN __nv_bfloat16 __ushort_as_bfloat16(unsigned short u) {
    __nv_bfloat16 b;
    b.__x = u;
    return b;
}
EMU_FN float __half2float(__half a) { return a; }
EMU_STRUCT_FN __half __float2half(float a) { return a; }
EMU_STRUCT_FN __half __float2half_rn(float a) { return a; }
EMU_STRUCT_FN __half2 __floats2half2_rn(float a, float b) { return {a, b}; }
EMU_STRUCT_FN float2 __half22float2(__half2 a) { return {a.x, a.y}; }
EMU_FN unsigned short __half_as_ushort(__half b) { return b.__x; }
EMU_STRUCT_FN __half __ushort_as_half(unsigned short u) {
    __half b;
    b.__x = u;
    return b;
}
