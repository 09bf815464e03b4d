// A kernel that does nothing, of which only the launch takes time. Grid: any; one block of one warp.
extern "C" __global__ void __launch_bounds__(32) empty() {}
