// Mathematics, by the C library: results differ from a device's in the last bits, and the
// approximate intrinsics are exact here.
#pragma once

#define EMU_UNARY(n)                     \
    extern "C" double n(double) noexcept; \
    extern "C" float n##f(float) noexcept; \
    EMU_FN float n(float x) { return __builtin_##n##f(x); }
EMU_UNARY(sin) EMU_UNARY(cos) EMU_UNARY(tan) EMU_UNARY(asin) EMU_UNARY(acos) EMU_UNARY(atan)
EMU_UNARY(sinh) EMU_UNARY(cosh) EMU_UNARY(tanh) EMU_UNARY(exp) EMU_UNARY(exp2) EMU_UNARY(expm1)
EMU_UNARY(log) EMU_UNARY(log2) EMU_UNARY(log10) EMU_UNARY(log1p) EMU_UNARY(sqrt) EMU_UNARY(cbrt)
EMU_UNARY(erf) EMU_UNARY(erfc) EMU_UNARY(floor) EMU_UNARY(ceil) EMU_UNARY(trunc) EMU_UNARY(round)
EMU_UNARY(rint) EMU_UNARY(nearbyint) EMU_UNARY(fabs)
#define EMU_BINARY(n)                            \
    extern "C" double n(double, double) noexcept; \
    extern "C" float n##f(float, float) noexcept; \
    EMU_FN float n(float x, float y) { return __builtin_##n##f(x, y); }
EMU_BINARY(pow) EMU_BINARY(fmod) EMU_BINARY(fmax) EMU_BINARY(fmin) EMU_BINARY(copysign)
EMU_BINARY(atan2) EMU_BINARY(hypot) EMU_BINARY(nextafter)
extern "C" double fma(double, double, double) noexcept;
extern "C" float fmaf(float, float, float) noexcept;
extern "C" double ldexp(double, int) noexcept;
extern "C" float ldexpf(float, int) noexcept;
extern "C" long lrintf(float) noexcept;
extern "C" long lroundf(float) noexcept;
EMU_FN float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
EMU_FN void sincosf(float x, float* s, float* c) { *s = __builtin_sinf(x); *c = __builtin_cosf(x); }
EMU_FN float rsqrtf(float x) { return 1.0f / __builtin_sqrtf(x); }
EMU_FN float rsqrt(float x) { return rsqrtf(x); }
EMU_FN double rsqrt(double x) { return 1.0 / __builtin_sqrt(x); }
EMU_FN float exp10f(float x) { return __builtin_powf(10.0f, x); }
EMU_FN float __expf(float x) { return __builtin_expf(x); }
EMU_FN float __exp2f(float x) { return __builtin_exp2f(x); }
EMU_FN float __exp10f(float x) { return exp10f(x); }
EMU_FN float __logf(float x) { return __builtin_logf(x); }
EMU_FN float __log2f(float x) { return __builtin_log2f(x); }
EMU_FN float __log10f(float x) { return __builtin_log10f(x); }
EMU_FN float __sinf(float x) { return __builtin_sinf(x); }
EMU_FN float __cosf(float x) { return __builtin_cosf(x); }
EMU_FN float __tanf(float x) { return __builtin_tanf(x); }
EMU_FN float __powf(float x, float y) { return __builtin_powf(x, y); }
EMU_FN float __fdividef(float a, float b) { return a / b; }
EMU_FN float __fdiv_rn(float a, float b) { return a / b; }
EMU_FN float __frcp_rn(float a) { return 1.0f / a; }
EMU_FN float __frsqrt_rn(float a) { return rsqrtf(a); }
EMU_FN float __fsqrt_rn(float a) { return __builtin_sqrtf(a); }
EMU_FN float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
EMU_FN float __saturatef(float a) { return a > 0 ? a > 1 ? 1.0f : a : 0.0f; }
// Never contracted into a fused multiply-add.
EMU_OWN float __fadd_rn(float a, float b) { return a + b; }
EMU_OWN float __fsub_rn(float a, float b) { return a - b; }
EMU_OWN float __fmul_rn(float a, float b) { return a * b; }

// Conversions to integers clamp, and give 0 for NaN.
#define EMU_TO_INTEGER(name, T, F, low, high, rounded)             \
    EMU_FN T name(F a) {                                           \
        F r = rounded(a);                                          \
        return r != r ? 0 : r <= (F)low ? low : r >= (F)high ? high : (T)r; \
    }
EMU_TO_INTEGER(__float2int_rn, int, float, (-0x7fffffff - 1), 0x7fffffff, __builtin_rintf)
EMU_TO_INTEGER(__float2int_rz, int, float, (-0x7fffffff - 1), 0x7fffffff, __builtin_truncf)
EMU_TO_INTEGER(__float2int_rd, int, float, (-0x7fffffff - 1), 0x7fffffff, __builtin_floorf)
EMU_TO_INTEGER(__float2int_ru, int, float, (-0x7fffffff - 1), 0x7fffffff, __builtin_ceilf)
EMU_TO_INTEGER(__float2uint_rn, unsigned, float, 0u, 0xffffffffu, __builtin_rintf)
EMU_TO_INTEGER(__float2uint_rz, unsigned, float, 0u, 0xffffffffu, __builtin_truncf)
EMU_FN float __int2float_rn(int a) { return (float)a; }
EMU_FN float __uint2float_rn(unsigned a) { return (float)a; }
EMU_FN float __ll2float_rn(long long a) { return (float)a; }
EMU_FN float __ull2float_rn(unsigned long long a) { return (float)a; }
EMU_FN float __double2float_rn(double a) { return (float)a; }

#define EMU_BITS(name, T, F)         \
    EMU_FN T name(F a) {             \
        T t;                         \
        __builtin_memcpy(&t, &a, sizeof t); \
        return t;                    \
    }
EMU_BITS(__float_as_int, int, float)
EMU_BITS(__float_as_uint, unsigned, float)
EMU_BITS(__int_as_float, float, int)
EMU_BITS(__uint_as_float, float, unsigned)
EMU_BITS(__double_as_longlong, long long, double)
EMU_BITS(__longlong_as_double, double, long long)
EMU_FN bool isnan(float a) { return __builtin_isnan(a); }
EMU_FN bool isnan(double a) { return __builtin_isnan(a); }
EMU_FN bool isinf(float a) { return __builtin_isinf(a); }
EMU_FN bool isinf(double a) { return __builtin_isinf(a); }
EMU_FN bool isfinite(float a) { return __builtin_isfinite(a); }
EMU_FN bool isfinite(double a) { return __builtin_isfinite(a); }
EMU_FN bool signbit(float a) { return __builtin_signbit(a); }

#define EMU_MIN_MAX(T)                                \
    EMU_FN T min(T a, T b) { return b < a ? b : a; }  \
    EMU_FN T max(T a, T b) { return a < b ? b : a; }
EMU_MIN_MAX(int) EMU_MIN_MAX(unsigned) EMU_MIN_MAX(long) EMU_MIN_MAX(unsigned long)
EMU_MIN_MAX(long long) EMU_MIN_MAX(unsigned long long)
EMU_FN float min(float a, float b) { return __builtin_fminf(a, b); }
EMU_FN float max(float a, float b) { return __builtin_fmaxf(a, b); }
EMU_FN double min(double a, double b) { return __builtin_fmin(a, b); }
EMU_FN double max(double a, double b) { return __builtin_fmax(a, b); }
EMU_FN int abs(int a) { return a < 0 ? -a : a; }
EMU_FN long long llabs(long long a) { return a < 0 ? -a : a; }

EMU_FN int __popc(unsigned a) { return __builtin_popcount(a); }
EMU_FN int __popcll(unsigned long long a) { return __builtin_popcountll(a); }
EMU_FN int __clz(int a) { return a ? __builtin_clz(a) : 32; }
EMU_FN int __clzll(long long a) { return a ? __builtin_clzll(a) : 64; }
EMU_FN int __ffs(int a) { return __builtin_ffs(a); }
EMU_FN int __ffsll(long long a) { return __builtin_ffsll(a); }
EMU_FN unsigned __brev(unsigned a) {
    unsigned r = 0;
    for (int i = 0; i < 32; i++) r |= (a >> i & 1) << (31 - i);
    return r;
}
EMU_FN unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((__emu_u64)a * b >> 32); }
EMU_FN int __mulhi(int a, int b) { return (int)((long long)a * b >> 32); }
EMU_FN unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
EMU_FN unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
    return (unsigned)(((__emu_u64)high << 32 | low) << (shift & 31) >> 32);
}
EMU_FN unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return (unsigned)(((__emu_u64)high << 32 | low) >> (shift & 31));
}
EMU_FN unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    __emu_u64 v = (__emu_u64)b << 32 | a;
    unsigned r = 0;
    for (int i = 0; i < 4; i++) r |= (unsigned)(v >> 8 * (selector >> 4 * i & 7) & 255) << 8 * i;
    return r;
}
EMU_FN int __dp4a(int a, int b, int c) {
    for (int i = 0; i < 4; i++) c += (int)(signed char)(a >> 8 * i) * (signed char)(b >> 8 * i);
    return c;
}
