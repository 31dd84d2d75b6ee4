// What code of a level asks of the processor, and whether this one has it.
#pragma once

#include <cstdint>

namespace enfilt {

// Instruction sets beyond the architecture's baseline, a bit each.
enum Feature : std::uint32_t {
    sse3 = 1u << 0,
    ssse3 = 1u << 1,
    sse4_1 = 1u << 2,
    sse4_2 = 1u << 3,
    popcnt = 1u << 4,
    cx16 = 1u << 5,
    sahf = 1u << 6,
    avx = 1u << 7,
    f16c = 1u << 8,
    avx2 = 1u << 9,
    bmi = 1u << 10,
    bmi2 = 1u << 11,
    fma = 1u << 12,
    lzcnt = 1u << 13,
    movbe = 1u << 14,
    xsave = 1u << 15,
    avx512f = 1u << 16,
    avx512bw = 1u << 17,
    avx512cd = 1u << 18,
    avx512dq = 1u << 19,
    avx512vl = 1u << 20,
};

// Those that the compiler may use where this stands: it tells by macros what its options allow.
constexpr std::uint32_t features_in_use = 0
#if defined(__SSE3__)
                                          | sse3
#endif
#if defined(__SSSE3__)
                                          | ssse3
#endif
#if defined(__SSE4_1__)
                                          | sse4_1
#endif
#if defined(__SSE4_2__)
                                          | sse4_2
#endif
#if defined(__POPCNT__)
                                          | popcnt
#endif
#if defined(__GCC_HAVE_SYNC_COMPARE_AND_SWAP_16)
                                          | cx16
#endif
#if defined(__LAHF_SAHF__)
                                          | sahf
#endif
#if defined(__AVX__)
                                          | avx
#endif
#if defined(__F16C__)
                                          | f16c
#endif
#if defined(__AVX2__)
                                          | avx2
#endif
#if defined(__BMI__)
                                          | bmi
#endif
#if defined(__BMI2__)
                                          | bmi2
#endif
#if defined(__FMA__)
                                          | fma
#endif
#if defined(__LZCNT__)
                                          | lzcnt
#endif
#if defined(__MOVBE__)
                                          | movbe
#endif
#if defined(__XSAVE__)
                                          | xsave
#endif
#if defined(__AVX512F__)
                                          | avx512f
#endif
#if defined(__AVX512BW__)
                                          | avx512bw
#endif
#if defined(__AVX512CD__)
                                          | avx512cd
#endif
#if defined(__AVX512DQ__)
                                          | avx512dq
#endif
#if defined(__AVX512VL__)
                                          | avx512vl
#endif
    ;

// What this processor, and the system that runs on it, has of them. Nothing where it is no x86-64.
std::uint32_t processor_features();

// The name of one of them, as the compiler's options have it.
const char* feature_name(std::uint32_t feature);

}  // namespace enfilt
