// Blocks with more shared memory than a kernel has without asking.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "errors.hpp"

namespace enfilt::cuda {

// A kernel, allowed once a device all the shared memory that there is for a block. What it was
// allowed for one call only, another thread's smaller call would take from it before it starts.
struct SharedMemory {
    static constexpr std::size_t always_allowed = 48 * 1024;
    const void* const kernel;

    explicit SharedMemory(const void* k) : kernel(k) {}

    void allow(std::size_t bytes) {
        if (bytes <= always_allowed) return;
        int device = 0;
        check(cudaGetDevice(&device), "asking for the device");
        const std::uint64_t here = device < 64 ? std::uint64_t{1} << device : 0;
        if (allowed_.load(std::memory_order_acquire) & here) return;
        int most = 0;
        check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
              "asking for a block's shared memory");
        check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most),
              "asking for shared memory");
        allowed_.fetch_or(here, std::memory_order_release);
    }

  private:
    std::atomic<std::uint64_t> allowed_{0};  // a bit a device
};

}  // namespace enfilt::cuda
