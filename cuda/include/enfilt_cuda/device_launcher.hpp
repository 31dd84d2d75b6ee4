// Kernel bodies as __global__ functions on a CUDA stream.
#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>
#include <type_traits>

#include "platform.hpp"

namespace enfilt::cuda {

struct DeviceContext {
    __device__ __forceinline__ unsigned thread() const { return threadIdx.x; }
    __device__ __forceinline__ unsigned block() const { return blockIdx.x; }
    __device__ __forceinline__ unsigned blocks() const { return gridDim.x; }
    __device__ __forceinline__ unsigned row() const { return blockIdx.y; }
    __device__ __forceinline__ unsigned rows() const { return gridDim.y; }
    template <class U>
    __device__ __forceinline__ U* shared() const {
        extern __shared__ double memory[];
        return reinterpret_cast<U*>(memory);
    }
    __device__ __forceinline__ void sync() const { __syncthreads(); }
    template <class U>
    __device__ __forceinline__ U shuffle_down(U value, unsigned lanes) const {
        return __shfl_down_sync(0xffffffffu, value, lanes);
    }
    template <class U>
    __device__ __forceinline__ void add(U* to, U value) const {
        atomicAdd(to, value);
    }
};

// Blocks that should fit on a multiprocessor together, `resident` of a body. Where it says nothing,
// a thread may have all registers there are: told nothing at all, ptxas spills where it need not.
template <class Body, class = void>
struct Resident {
    static constexpr unsigned value = 1;
};
template <class Body>
struct Resident<Body, std::void_t<decltype(Body::resident)>> {
    static constexpr unsigned value = Body::resident;
};

template <class Body>
__global__ void __launch_bounds__(Body::threads, Resident<Body>::value) run_body(const __grid_constant__ Body body) {
    DeviceContext context;
    body(context);
}

inline void check(cudaError_t status, const char* what) {
    if (status != cudaSuccess)
        throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

// Starts kernels one after the other on a stream; nothing here waits for the device.
class Launcher {
  public:
    explicit Launcher(std::uintptr_t stream) : stream_(reinterpret_cast<cudaStream_t>(stream)) {}

    template <class Body>
    void operator()(Grid grid, std::size_t shared_bytes, const Body& body) const {
        constexpr std::size_t always_allowed = 48 * 1024;
        if (shared_bytes > always_allowed)
            check(cudaFuncSetAttribute(run_body<Body>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                       static_cast<int>(shared_bytes)),
                  "asking for shared memory");
        run_body<Body><<<dim3(grid.blocks, grid.rows), Body::threads, shared_bytes, stream_>>>(body);
        check(cudaGetLastError(), "starting a kernel");
    }

  private:
    cudaStream_t stream_;
};

}  // namespace enfilt::cuda
