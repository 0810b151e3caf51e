// Data that a kernel cannot use, told to the caller through d_faults (rhumb.h says how).
#pragma once

#include "device.h"

namespace rhumb {

// Keeps the smallest row << 32 | value of all that are reported to a slot (an enum rhumb_fault): which one that is does not
// depend on the order of threads. faults (RHUMB_FAULTS).
__device__ __forceinline__ void report_fault(uint64_t *faults, int slot, int64_t row, uint32_t value) {
  static_assert(sizeof(unsigned long long) == sizeof(uint64_t));
  atomicMin(reinterpret_cast<unsigned long long *>(faults + slot),
            static_cast<unsigned long long>(row) << 32 | value);
}

}  // namespace rhumb
