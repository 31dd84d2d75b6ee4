// How many blocks of a kernel a device runs at a time.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <map>
#include <mutex>
#include <utility>

#include "errors.hpp"
#include "platform.hpp"

namespace enfilt::cuda {

inline index_t device_attribute(cudaDeviceAttr which) {
    int device = 0, value = 0;
    check(cudaGetDevice(&device), "asking for the device");
    check(cudaDeviceGetAttribute(&value, which, device), "asking what the device has");
    return value;
}

// Of whatever body.
inline index_t threads_at_once() {
    return device_attribute(cudaDevAttrMultiProcessorCount) *
           device_attribute(cudaDevAttrMaxThreadsPerMultiProcessor);
}

// Of one kernel, asked for once a device and size of shared memory.
class Occupancy {
  public:
    index_t blocks(const void* kernel, unsigned threads, std::size_t shared_bytes) {
        int device = 0;
        check(cudaGetDevice(&device), "asking for the device");
        const std::lock_guard lock(mutex_);
        index_t& known = known_[{device, shared_bytes}];
        if (known == 0) {
            int each = 0;
            check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(
                      &each, kernel, static_cast<int>(threads), shared_bytes),
                  "asking how many blocks run at a time");
            known = larger(1, each * device_attribute(cudaDevAttrMultiProcessorCount));
        }
        return known;
    }

  private:
    std::mutex mutex_;
    std::map<std::pair<int, std::size_t>, index_t> known_;
};

}  // namespace enfilt::cuda
