// What the mathematics that CPU and GPU share is written with.
//
// A formula is a template over a kind of numbers A, which on the CPU is a vector of neighbouring
// components (vectors.hpp), on a GPU one number a thread (enfilt_cuda/scalars.hpp). A tells
//
//     scalar, value                   float or double, and what is computed with
//     select(mask, a, b)              a where the mask of a comparison is set, b elsewhere
//     broadcast(x)                    a value of a scalar
//     reciprocal, sqrt, log_of_normal, atan, tanh, sigmoid, pow_integer, pow_signed, sincos_turns
//
// The last row is each side's own: on the CPU polynomials of whole vectors (vecmath.hpp), on a GPU
// the functions of CUDA's library, which are its fastest. Results agree to their roundings.
#pragma once

#if defined(__CUDACC__)
#define ENFILT_LEVEL device
#define ENFILT_INLINE __host__ __device__ __forceinline__
#else
#if !defined(ENFILT_LEVEL)
#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define ENFILT_LEVEL v4
#elif defined(__AVX2__) && defined(__FMA__)
#define ENFILT_LEVEL v3
#else
#define ENFILT_LEVEL baseline
#endif
#endif
#define ENFILT_INLINE inline __attribute__((always_inline))
#endif

// Sums in the order in which they are written, whatever the caller's options say.
#if defined(__clang__) && !defined(__CUDACC__)
#define ENFILT_EXACT _Pragma("float_control(precise, on, push)")
#define ENFILT_AS_BEFORE _Pragma("float_control(pop)")
#else
#define ENFILT_EXACT
#define ENFILT_AS_BEFORE
#endif
// Everything sits in an inline namespace named after the instruction set, so that the same header
// compiled for several into one library never shares a symbol between them: code for newer
// processors merged into a caller for older ones would be an illegal instruction.
#define ENFILT_OPEN                                                                                \
    ENFILT_EXACT                                                                                   \
    namespace enfilt {                                                                             \
    inline namespace ENFILT_LEVEL {
#define ENFILT_CLOSE                                                                               \
    }                                                                                              \
    }                                                                                              \
    ENFILT_AS_BEFORE
