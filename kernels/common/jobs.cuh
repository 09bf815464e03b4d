// Many arrays in one launch: a list of jobs, each of which has blocks of its own, one job's after
// another's.
#pragma once
#include "prelude.cuh"

// The job of this block, of `count` jobs with their first blocks in `block`: the last whose first
// block is not after it.
template <class Job> DEV const Job& job_of_block(const Job* jobs, u32 count) {
    u32 low = 0, high = count - 1;
    while (low < high) {
        u32 middle = (low + high + 1) / 2;
        if (jobs[middle].block <= blockIdx.x) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return jobs[low];
}
