// Kernels that do nothing, of which only the launch takes time. Grid: any; one block of one warp.
extern "C" __global__ void __launch_bounds__(32) empty() {}

// The same, for launches that depend on the one before by programme: it lets the next be scheduled
// at once, and waits for what the one before wrote. Nothing more than empty before sm_90.
extern "C" __global__ void __launch_bounds__(32) dependent() {
#if !defined(CUDA_EMU) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
