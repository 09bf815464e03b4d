// cp.async. Nothing is copied until the thread waits; until then the destination is poisoned.
#pragma once

namespace __emu {
struct Copy { void* to; const void* from; unsigned bytes, valid; };
// What a thread issued and has not waited for; groups are ends of ranges of entries.
struct Copies {
    Copy entries[512];
    unsigned count, groups, group_end[64];
};
// wgmma operations, see emu_hopper.h.
struct Product;
struct Products;
struct ThreadState;
EMU_OWN ThreadState* thread_state();
EMU_OWN Copies& copies();
} // namespace __emu

EMU_OWN void __emu_cp_async(void* shared, const void* global, unsigned bytes, unsigned valid) {
    if (((size_t)shared | (size_t)global) & (bytes - 1))
        EMU_TRAP_AT_CALLER(EMU_MISALIGNED_STATUS, "cp.async: misaligned address");
    EMU_ACCESS_AT_CALLER(shared, bytes, EMU_WRITE | EMU_ASYNC);
    if (valid) EMU_ACCESS_AT_CALLER(global, valid, EMU_READ | EMU_UNALIGNED);
    auto& q = __emu::copies();
    if (q.count == 512) EMU_TRAP_AT_CALLER(EMU_FAILED_STATUS, "cp.async: too many copies in flight");
    memset(shared, 0xff, bytes);
    q.entries[q.count++] = {shared, global, bytes, valid};
}
EMU_OWN void __emu_cp_commit() {
    auto& q = __emu::copies();
    if (q.groups == 64) EMU_TRAP_AT_CALLER(EMU_FAILED_STATUS, "cp.async: too many groups in flight");
    q.group_end[q.groups++] = q.count;
}
// Waits until at most `keep` groups are in flight.
EMU_OWN void __emu_cp_wait(unsigned keep) {
    auto& q = __emu::copies();
    if (q.groups <= keep) return;
    unsigned done = q.groups - keep, end = q.group_end[done - 1];
    for (unsigned i = 0; i < end; i++) {
        auto& c = q.entries[i];
        EMU_ACCESS_AT_CALLER(c.to, c.bytes, EMU_WRITE | EMU_LANDS);
        memset(c.to, 0, c.bytes);
        memcpy(c.to, c.from, c.valid);
    }
    for (unsigned i = end; i < q.count; i++) q.entries[i - end] = q.entries[i];
    for (unsigned i = done; i < q.groups; i++) q.group_end[i - done] = q.group_end[i] - end;
    q.count -= end;
    q.groups = keep;
}
// cp.async.wait_all: also copies that were never committed.
EMU_OWN void __emu_cp_wait_all() {
    __emu_cp_commit();
    __emu_cp_wait(0);
}
