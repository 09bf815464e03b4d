// Loads and stores with cache hints, atomics, fences, clocks.
#pragma once

#define EMU_LOAD(name) template <class T> EMU_FN T name(const T* p) { return *p; }
#define EMU_STORE(name) template <class T> EMU_FN void name(T* p, T v) { *p = v; }
EMU_LOAD(__ldg) EMU_LOAD(__ldca) EMU_LOAD(__ldcg) EMU_LOAD(__ldcs) EMU_LOAD(__ldlu) EMU_LOAD(__ldcv)
EMU_STORE(__stwb) EMU_STORE(__stcg) EMU_STORE(__stcs) EMU_STORE(__stwt)

template <class T, class F> EMU_OWN T __emu_update(T* p, F f) {
    EMU_ACCESS_AT_CALLER(p, sizeof(T), EMU_WRITE | EMU_ATOMIC);
    T before, after;
    __atomic_load(p, &before, __ATOMIC_RELAXED);
    do after = f(before);
    while (!__atomic_compare_exchange(p, &before, &after, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return before;
}
#define EMU_ATOMIC_FN(name, T, expression) \
    EMU_FN T name(T* p, T v) { return __emu_update(p, [=](T o) { return (T)(expression); }); }
#define EMU_ATOMICS(T)                             \
    EMU_ATOMIC_FN(atomicAdd, T, o + v)             \
    EMU_ATOMIC_FN(atomicExch, T, v)                \
    EMU_ATOMIC_FN(atomicMax, T, o < v ? v : o)     \
    EMU_ATOMIC_FN(atomicMin, T, v < o ? v : o)
#define EMU_INTEGER_ATOMICS(T)                     \
    EMU_ATOMIC_FN(atomicSub, T, o - v)             \
    EMU_ATOMIC_FN(atomicOr, T, o | v)              \
    EMU_ATOMIC_FN(atomicAnd, T, o & v)             \
    EMU_ATOMIC_FN(atomicXor, T, o ^ v)             \
    EMU_FN T atomicCAS(T* p, T c, T v) { return __emu_update(p, [=](T o) { return o == c ? v : o; }); }
EMU_ATOMICS(int) EMU_ATOMICS(unsigned) EMU_ATOMICS(unsigned long long)
EMU_ATOMICS(float) EMU_ATOMICS(double)
EMU_INTEGER_ATOMICS(int) EMU_INTEGER_ATOMICS(unsigned) EMU_INTEGER_ATOMICS(unsigned long long)
EMU_ATOMIC_FN(atomicInc, unsigned, o >= v ? 0 : o + 1)
EMU_ATOMIC_FN(atomicDec, unsigned, o == 0 || o > v ? v : o - 1)

EMU_OWN void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
EMU_OWN void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
EMU_OWN void __threadfence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
EMU_FN long long clock64() { return __builtin_ia32_rdtsc(); }
