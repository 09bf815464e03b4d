// Language extensions, vector types, and the contract with the Rust side.
#pragma once

#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __constant__
#define __managed__
#define __restrict__ __restrict
#define __align__(n) __attribute__((aligned(n)))
#define __builtin_align__(n) __attribute__((aligned(n)))
#define __grid_constant__

#define EMU_FN static inline
// Returns a struct: is never a call, as the compiler does not report what a call returns straight
// into memory. Unlike the kernels' own, this spelling survives when lines are counted.
#define EMU_STRUCT_FN static inline __attribute__((__always_inline__))
// Code of the emulator: never instrumented, and never cloned or split, so that its return address
// lies in a kernel. The second form may be called from the first only.
// The third are functions by name that the Rust side calls.
#define EMU_UNSEEN no_sanitize("thread"), no_profile_instrument_function, optimize("O2")
#define EMU_OWN static __attribute__((EMU_UNSEEN, noipa))
#define EMU_OWN_INLINE static inline __attribute__((EMU_UNSEEN))
#define EMU_EXPORT extern "C" __attribute__((used, EMU_UNSEEN, noipa))

typedef unsigned long size_t;
typedef unsigned int __emu_u32;
typedef unsigned long long __emu_u64;

extern "C" {
int printf(const char*, ...);
void* malloc(size_t);
void free(void*);
void* memcpy(void*, const void*, size_t);
void* memset(void*, int, size_t);
}

#define EMU_VECTOR(T, N, A2, A4)                                          \
    struct N##1 { T x; };                                                 \
    struct __align__(A2) N##2 { T x, y; };                                \
    struct N##3 { T x, y, z; };                                           \
    struct __align__(A4) N##4 { T x, y, z, w; };                          \
    EMU_STRUCT_FN N##1 make_##N##1(T x) { return {x}; }                   \
    EMU_STRUCT_FN N##2 make_##N##2(T x, T y) { return {x, y}; }           \
    EMU_STRUCT_FN N##3 make_##N##3(T x, T y, T z) { return {x, y, z}; }   \
    EMU_STRUCT_FN N##4 make_##N##4(T x, T y, T z, T w) { return {x, y, z, w}; }
EMU_VECTOR(signed char, char, 2, 4)
EMU_VECTOR(unsigned char, uchar, 2, 4)
EMU_VECTOR(short, short, 4, 8)
EMU_VECTOR(unsigned short, ushort, 4, 8)
EMU_VECTOR(int, int, 8, 16)
EMU_VECTOR(unsigned int, uint, 8, 16)
EMU_VECTOR(long long, longlong, 16, 16)
EMU_VECTOR(unsigned long long, ulonglong, 16, 16)
EMU_VECTOR(float, float, 8, 16)
EMU_VECTOR(double, double, 16, 16)

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// Layouts shared with src/exec/worker.rs.
struct __emu_block {
    uint3 index, dimensions, grid;
    unsigned shared_bytes;
    unsigned char* shared;
    mutable void* user; // copies of the block in flight, see emu_hopper.h
    unsigned predicates;
};
struct __emu_thread {
    uint3 index;
    unsigned lane;
    const __emu_block* block;
    unsigned linear, warp;
    void* user; // copies of the thread in flight, see emu_async.h
    void* private_[2];
    unsigned stack;
};

// A warp collective: the lanes' inputs, their outputs, the mask of lanes.
typedef void (*__emu_collective)(const void* const*, void* const*, unsigned);

// Layout shared with src/exec/sync.rs. `site` is the code address that reports name.
struct __emu_api_t {
    void (*barrier)(__emu_thread*, unsigned id, unsigned count, unsigned predicate, size_t site);
    void (*warp)(__emu_thread*, unsigned mask, const void* in, void* out, __emu_collective,
                 size_t site);
    void (*yield)(__emu_thread*);
    void (*trap)(__emu_thread*, unsigned status, const char* text, size_t site);
    void (*access)(__emu_thread*, size_t address, unsigned size, unsigned kind, size_t site);
    void (*tally)(__emu_thread*, unsigned what, __emu_u64 amount);
};
static __emu_api_t __emu_api; // a copy: one load less, and part of the module's own image

// The current thread lives in a callee-saved register, which every stack switch carries along.
#if !defined(__x86_64__) || defined(__clang__)
#error "the emulator needs g++ on x86-64"
#endif
register __emu_thread* __emu_self __asm__("r15");
#define EMU_SITE() ({ size_t site_; __asm__ volatile("lea 0(%%rip), %0" : "=r"(site_)); site_; })
#define EMU_CALLER() ((size_t)__builtin_return_address(0))

#define threadIdx (__emu_self->index)
#define blockIdx (__emu_self->block->index)
#define blockDim (__emu_self->block->dimensions)
#define gridDim (__emu_self->block->grid)
static const int warpSize = 32;

namespace __emu {
// One behind every kernel, put there by src/nvrtc/rewrite.rs: plain data in a section of its own,
// as constructors would run on the thread that loads the module. The section is an array without
// gaps because a descriptor's alignment is its size.
struct __align__(64) Desc {
    const void *function, *thunk;
    unsigned parameters, max_threads;
    const unsigned *sizes, *aligns;
    const char* name;
};
template <unsigned...> struct Sequence {};
template <unsigned N> using Indices = Sequence<__integer_pack(N)...>;
template <auto F> struct Kern;
template <class... A, void (*F)(A...)> struct Kern<F> {
    static constexpr unsigned n = sizeof...(A);
    static constexpr unsigned sizes[] = {sizeof(A)..., 0};
    static constexpr unsigned aligns[] = {alignof(A)..., 0};
    template <unsigned... I> EMU_OWN void call(void* const* a, Sequence<I...>) { F(*(A*)a[I]...); }
    EMU_OWN void thunk(void* const* a) { call(a, Indices<n>{}); }
};
static thread_local int touched[4]; // 16 bytes, known to src/module/mod.rs
} // namespace __emu

extern "C" {
extern __emu::Desc __attribute__((weak, visibility("hidden"))) __start_emu_desc[], __stop_emu_desc[];
}
EMU_EXPORT const __emu::Desc* __emu_bind(const __emu_api_t* api, const __emu::Desc** end) {
    __emu_api = *api;
    *end = __stop_emu_desc;
    return __start_emu_desc;
}
// The calling thread's address of a variable in the same block as all __shared__ ones.
EMU_EXPORT void* __emu_touch_tls() {
    *(volatile int*)__emu::touched = 0;
    return __emu::touched;
}
EMU_EXPORT void __emu_entry(__emu_thread* thread, const void* thunk, void* const* arguments) {
    __emu_thread* saved = __emu_self; // the register is the caller's
    __emu_self = thread;
    ((void (*)(void* const*))thunk)(arguments);
    if (thread->user) {
        free(thread->user);
        thread->user = nullptr;
    }
    __emu_self = saved;
}

// Line coverage. The compiler leaves counters in a section when it is told to, and libgcov writes
// them as the contents of a .gcda file, through the functions that it is given.
extern "C" {
extern const void* const __start_emu_gcov[] __attribute__((weak, visibility("hidden")));
extern const void* const __stop_emu_gcov[] __attribute__((weak, visibility("hidden")));
void __gcov_info_to_gcda(const void*, void (*name)(const char*, void*),
                         void (*write)(const void*, unsigned, void*),
                         void* (*allocate)(unsigned, void*), void* argument) __attribute__((weak));
}
namespace __emu {
EMU_OWN void ignore_name(const char*, void*) {}
EMU_OWN void* allocate(unsigned size, void*) { return malloc(size); }
} // namespace __emu
EMU_EXPORT void __emu_coverage(void (*write)(const void*, unsigned, void*), void* argument) {
    for (auto* info = __start_emu_gcov; info < __stop_emu_gcov; info++)
        __gcov_info_to_gcda(*info, __emu::ignore_name, write, __emu::allocate, argument);
}
EMU_EXPORT void __emu_block_end(__emu_block* block) {
    free(block->user);
    block->user = nullptr;
}

EMU_FN void* __emu_dyn_smem() { return __emu_self->block->shared; }

#define EMU_ASSERT_STATUS 710
#define EMU_MISALIGNED_STATUS 716
#define EMU_FAILED_STATUS 719
// From code that is inlined into a kernel, and from a function of its own called by a kernel.
#define EMU_TRAP(status, text) __emu_api.trap(__emu_self, status, text, EMU_SITE())
#define EMU_TRAP_AT_CALLER(status, text) __emu_api.trap(__emu_self, status, text, EMU_CALLER())
EMU_FN void __trap() {
    EMU_TRAP(EMU_FAILED_STATUS, "__trap()");
    __builtin_unreachable();
}
#define assert(condition) \
    ((condition) ? (void)0 : (void)EMU_TRAP(EMU_ASSERT_STATUS, "assertion failed: " #condition))
