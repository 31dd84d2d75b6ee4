// What the kernels ask of the machine that runs them.
//
// A kernel is a function object: `threads`, the size of its blocks, and operator()(context), the
// body of one thread. nvcc compiles the body into a __global__ function (device_launcher.hpp), the
// host's compiler into a loop over blocks and fibers (host_launcher.hpp): the same lines run on
// both. A context answers
//
//     thread()                 threadIdx.x
//     block(), blocks()        blockIdx.x, gridDim.x
//     row(), rows()            blockIdx.y, gridDim.y
//     ensemble()               blockIdx.z: which of a batch
//     shared<U>()              the block's shared memory, aligned to 16 bytes
//     sync()                   a barrier of the block, which all of its threads reach
//     shuffle_down(v, n)       v of the lane n above in the warp, or the own where there is none
//     add(pointer, v)          an atomic addition
//     prefetch(pointer)        asks for what stands there, which is used soon
//
// A body may say `resident`, how many of its blocks should fit on a multiprocessor together.
//
// Bodies hold no state between blocks and depend on no order of blocks.
#pragma once

#include <enfilt/problem.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#if defined(__CUDACC__)
#define ENFILT_DEVICE __device__ __forceinline__
#define ENFILT_BOTH __host__ __device__ __forceinline__
#else
#define ENFILT_DEVICE inline
#define ENFILT_BOTH inline
#endif

// Before a loop of constant length whose arrays have to stand in registers.
#define ENFILT_PRAGMA(text) _Pragma(#text)
#if defined(__CUDACC__)
#define ENFILT_UNROLL(times) ENFILT_PRAGMA(unroll times)
#else
#define ENFILT_UNROLL(times)
#endif

namespace enfilt::cuda {

struct Grid {
    unsigned blocks = 1, rows = 1, ensembles = 1;
};

constexpr unsigned warp_size = 32;

ENFILT_BOTH constexpr index_t divide_up(index_t a, index_t b) { return (a + b - 1) / b; }
ENFILT_BOTH constexpr index_t smaller(index_t a, index_t b) { return a < b ? a : b; }
ENFILT_BOTH constexpr index_t larger(index_t a, index_t b) { return a < b ? b : a; }

constexpr unsigned count_of(index_t n) { return static_cast<unsigned>(n); }

// One number a thread put together two by two, known to thread 0; the order depends on the block's
// size alone. `scratch` has room for a number a warp, and is free again after the next barrier.
template <class Context, class Op>
ENFILT_DEVICE double block_fold(Context& c, unsigned threads, double value, double* scratch,
                                const Op& op) {
    for (unsigned step = warp_size / 2; step > 0; step /= 2)
        value = op(value, c.shuffle_down(value, step));
    if (c.thread() % warp_size == 0) scratch[c.thread() / warp_size] = value;
    c.sync();
    if (c.thread() == 0)
        for (unsigned w = 1; w < threads / warp_size; ++w) value = op(value, scratch[w]);
    return value;
}

template <class Context>
ENFILT_DEVICE double block_sum(Context& c, unsigned threads, double value, double* scratch) {
    return block_fold(c, threads, value, scratch, [](double a, double b) { return a + b; });
}

}  // namespace enfilt::cuda
