// Reports of memory accesses. A module is instrumented if the constant `__emu_instrumented`, which
// stands before its text when it is compiled, says so. The compiler then puts a call of one of the
// functions below before every load and store: those of a sanitizer by name, ours by body.
#pragma once

// Kinds of access, shared with src/exec/check.rs.
enum {
    EMU_READ = 0,
    EMU_WRITE = 1,
    EMU_ATOMIC = 2,
    EMU_ASYNC = 4, // in flight: not readable before its wait
    EMU_PROXY = 8, // done by the copy engine: ordered by a barrier in memory
    EMU_LANDS = 16, // the end of what was reported as EMU_ASYNC
    EMU_UNALIGNED = 32, // the type does not promise an alignment
};
// Things that are counted, shared with src/exec/count.rs.
enum { EMU_TALLY_MMA = 0, EMU_TALLY_MULTIPLY_ADDS = 1, EMU_TALLY_GLOBAL_READ = 2 };

// From code that is inlined into a kernel, and from a function of its own called by a kernel.
#define EMU_ACCESS(p, n, kind) \
    ((void)(__emu_instrumented && (__emu_api.access(__emu_self, (size_t)(p), n, kind, EMU_SITE()), 0)))
#define EMU_ACCESS_AT_CALLER(p, n, kind) \
    ((void)(__emu_instrumented && (__emu_api.access(__emu_self, (size_t)(p), n, kind, EMU_CALLER()), 0)))
// Counted once a warp.
#define EMU_TALLY(what, n) \
    ((void)(__emu_instrumented && __emu_self->lane == 0 && (__emu_api.tally(__emu_self, what, n), 0)))

#define EMU_HOOK(name, size, kind)                                                                 \
    extern "C" __attribute__((visibility("hidden"), used, EMU_UNSEEN, noipa)) void   \
    name(void* p) {                                                                                \
        __emu_api.access(__emu_self, (size_t)p, size, kind, EMU_CALLER());                         \
    }
#define EMU_HOOKS(size)                                                \
    EMU_HOOK(__tsan_read##size, size, EMU_READ)                        \
    EMU_HOOK(__tsan_write##size, size, EMU_WRITE)                      \
    EMU_HOOK(__tsan_volatile_read##size, size, EMU_READ | EMU_ATOMIC)  \
    EMU_HOOK(__tsan_volatile_write##size, size, EMU_WRITE | EMU_ATOMIC)
#define EMU_UNALIGNED_HOOKS(size)                              \
    EMU_HOOK(__tsan_unaligned_read##size, size, EMU_READ | EMU_UNALIGNED)      \
    EMU_HOOK(__tsan_unaligned_write##size, size, EMU_WRITE | EMU_UNALIGNED)
EMU_HOOKS(1)
EMU_HOOKS(2)
EMU_HOOKS(4)
EMU_HOOKS(8)
EMU_HOOKS(16)
EMU_UNALIGNED_HOOKS(2)
EMU_UNALIGNED_HOOKS(4)
EMU_UNALIGNED_HOOKS(8)
EMU_UNALIGNED_HOOKS(16)
#define EMU_RANGE_HOOK(name, kind)                                                                 \
    extern "C" __attribute__((visibility("hidden"), used, EMU_UNSEEN, noipa)) void   \
    name(void* p, long n) {                                                                        \
        __emu_api.access(__emu_self, (size_t)p, (unsigned)n, kind, EMU_CALLER());                  \
    }
EMU_RANGE_HOOK(__tsan_read_range, EMU_READ | EMU_UNALIGNED)
EMU_RANGE_HOOK(__tsan_write_range, EMU_WRITE | EMU_UNALIGNED)
#define EMU_EMPTY_HOOK(name, ...) \
    extern "C" __attribute__((visibility("hidden"), used, EMU_UNSEEN)) void name(__VA_ARGS__) {}
EMU_EMPTY_HOOK(__tsan_init)
EMU_EMPTY_HOOK(__tsan_func_entry, void*)
EMU_EMPTY_HOOK(__tsan_func_exit, void*)
EMU_EMPTY_HOOK(__tsan_vptr_update, void*, void*)
