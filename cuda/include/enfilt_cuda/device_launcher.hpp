// Kernel bodies as __global__ functions.
#pragma once

#include <cuda_runtime.h>

#include <type_traits>

#include "launches.hpp"
#include "occupancy.hpp"
#include "shared_memory.hpp"

namespace enfilt::cuda {

struct DeviceContext {
    __device__ __forceinline__ unsigned thread() const { return threadIdx.x; }
    __device__ __forceinline__ unsigned block() const { return blockIdx.x; }
    __device__ __forceinline__ unsigned blocks() const { return gridDim.x; }
    __device__ __forceinline__ unsigned row() const { return blockIdx.y; }
    __device__ __forceinline__ unsigned rows() const { return gridDim.y; }
    __device__ __forceinline__ unsigned ensemble() const { return blockIdx.z; }
    __device__ __forceinline__ void prefetch(const void* from) const {
        asm volatile("prefetch.global.L2 [%0];" ::"l"(from));
    }
    template <class U>
    __device__ __forceinline__ U* shared() const {
        extern __shared__ __align__(16) unsigned char memory[];
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
__global__ void __launch_bounds__(Body::threads, Resident<Body>::value)
    run_body(const __grid_constant__ Body body) {
    DeviceContext context;
    body(context);
}

template <class Body>
const void* kernel_of(std::size_t shared_bytes) {
    static SharedMemory shared(reinterpret_cast<const void*>(&run_body<Body>));
    shared.allow(shared_bytes);
    return shared.kernel;
}

template <class Body>
index_t blocks_at_once(std::size_t shared_bytes) {
    static Occupancy known;
    return known.blocks(kernel_of<Body>(shared_bytes), Body::threads, shared_bytes);
}

}  // namespace enfilt::cuda
