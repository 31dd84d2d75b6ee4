// A vector of T as wide as the instruction set that this translation unit is compiled for.
//
// GCC's and Clang's vector extensions give the operators; what they lack (loads, selects, sums
// over lanes) stands here.
#pragma once

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "math/portable.hpp"

// Clang has no macro for the first of these; see ENFILT_EXACT in math/portable.hpp.
#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__)
#error "enfilt rounds by adding and subtracting a large number, which -ffast-math, -Ofast and -funsafe-math-optimizations would cancel: compile without them"
#endif
#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ > 0
#error "enfilt takes NaN for what is not observed, which -ffinite-math-only would not see: compile without it"
#endif

#if defined(__AVX512F__)
#define ENFILT_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define ENFILT_VECTOR_BYTES 32
#else
#define ENFILT_VECTOR_BYTES 16
#endif

// How many vector registers there are; tiles are made for them.
#if defined(__AVX512F__) || defined(__aarch64__)
#define ENFILT_REGISTERS 32
#else
#define ENFILT_REGISTERS 16
#endif

ENFILT_OPEN

template <class T>
struct simd;

template <>
struct simd<float> {
    static constexpr std::size_t lanes = ENFILT_VECTOR_BYTES / sizeof(float);
    typedef float vec __attribute__((vector_size(ENFILT_VECTOR_BYTES)));
    typedef std::int32_t ivec __attribute__((vector_size(ENFILT_VECTOR_BYTES)));
    typedef std::uint32_t uvec __attribute__((vector_size(ENFILT_VECTOR_BYTES)));
};

template <>
struct simd<double> {
    static constexpr std::size_t lanes = ENFILT_VECTOR_BYTES / sizeof(double);
    typedef double vec __attribute__((vector_size(ENFILT_VECTOR_BYTES)));
    typedef std::int64_t ivec __attribute__((vector_size(ENFILT_VECTOR_BYTES)));
    typedef std::uint64_t uvec __attribute__((vector_size(ENFILT_VECTOR_BYTES)));
};

template <class T>
using vec_t = typename simd<T>::vec;
template <class T>
using ivec_t = typename simd<T>::ivec;
template <class T>
using uvec_t = typename simd<T>::uvec;

template <class T>
ENFILT_INLINE vec_t<T> load(const T* p) {
    vec_t<T> v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

template <class T>
ENFILT_INLINE void store(T* p, vec_t<T> v) {
    std::memcpy(p, &v, sizeof v);
}

// Stores that go past the caches, for what is not read soon: a cache would first read what they
// overwrite. p is a multiple of the vector's size. Other threads see them after the flush.
template <class T>
ENFILT_INLINE void store_past_caches(T* p, vec_t<T> v) {
#if defined(__AVX512F__)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(p), reinterpret_cast<__m512i>(v));
#elif defined(__AVX2__)
    _mm256_stream_si256(reinterpret_cast<__m256i*>(p), reinterpret_cast<__m256i>(v));
#elif defined(__SSE2__)
    _mm_stream_si128(reinterpret_cast<__m128i*>(p), reinterpret_cast<__m128i>(v));
#else
    store(p, v);
#endif
}
ENFILT_INLINE void flush_past_caches() {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

template <class T>
ENFILT_INLINE vec_t<T> broadcast(T x) {
    return x - vec_t<T>{};  // x - 0, not x + 0: keeps the sign of -0
}

// x, once it is loaded: a compiler that reads memory again for each product with it would make
// loads the bottleneck of a register tile.
template <class T>
ENFILT_INLINE vec_t<T> in_register(vec_t<T> x) {
#if defined(__x86_64__)
    asm("" : "+v"(x));
#elif defined(__aarch64__)
    asm("" : "+w"(x));
#endif
    return x;
}

// a where the mask is set (all bits of the lane), b elsewhere.
template <class T>
ENFILT_INLINE vec_t<T> select(ivec_t<T> mask, vec_t<T> a, vec_t<T> b) {
    return mask ? a : b;
}

// The last lane of a, then all but the last of b; all but the first lane of a, then the first of b.
#if defined(__clang__)
template <class T, std::size_t... l>
ENFILT_INLINE vec_t<T> last_then_(vec_t<T> a, vec_t<T> b, std::index_sequence<l...>) {
    return __builtin_shufflevector(a, b, static_cast<int>(sizeof...(l) - 1 + l)...);
}
template <class T, std::size_t... l>
ENFILT_INLINE vec_t<T> then_first_(vec_t<T> a, vec_t<T> b, std::index_sequence<l...>) {
    return __builtin_shufflevector(a, b, static_cast<int>(1 + l)...);
}
#else
template <class T, std::size_t... l>
ENFILT_INLINE vec_t<T> last_then_(vec_t<T> a, vec_t<T> b, std::index_sequence<l...>) {
    return __builtin_shuffle(a, b, ivec_t<T>{static_cast<int>(sizeof...(l) - 1 + l)...});
}
template <class T, std::size_t... l>
ENFILT_INLINE vec_t<T> then_first_(vec_t<T> a, vec_t<T> b, std::index_sequence<l...>) {
    return __builtin_shuffle(a, b, ivec_t<T>{static_cast<int>(1 + l)...});
}
#endif
template <class T>
ENFILT_INLINE vec_t<T> last_then(vec_t<T> a, vec_t<T> b) {
    return last_then_<T>(a, b, std::make_index_sequence<simd<T>::lanes>{});
}
template <class T>
ENFILT_INLINE vec_t<T> then_first(vec_t<T> a, vec_t<T> b) {
    return then_first_<T>(a, b, std::make_index_sequence<simd<T>::lanes>{});
}

template <class To, class From>
ENFILT_INLINE To bit_cast_vec(From x) {
    static_assert(sizeof(To) == sizeof(From), "bit casts keep the size");
    To y;
    std::memcpy(&y, &x, sizeof y);
    return y;
}

// The first halves of a and b, a lane of each in turn; the second halves.
#if defined(__clang__)
template <class T, std::size_t... l>
ENFILT_INLINE vec_t<T> in_turn_(vec_t<T> a, vec_t<T> b, std::index_sequence<l...>, std::size_t from) {
    constexpr int lanes = static_cast<int>(sizeof...(l)), half = lanes / 2;
    if (from == 0)
        return __builtin_shufflevector(a, b, static_cast<int>(l / 2 + l % 2 * lanes)...);
    return __builtin_shufflevector(a, b, static_cast<int>(half + l / 2 + l % 2 * lanes)...);
}
#else
template <class T, std::size_t... l>
ENFILT_INLINE vec_t<T> in_turn_(vec_t<T> a, vec_t<T> b, std::index_sequence<l...>, std::size_t from) {
    constexpr std::size_t lanes = sizeof...(l), half = lanes / 2;
    if (from == 0) return __builtin_shuffle(a, b, ivec_t<T>{static_cast<int>(l / 2 + l % 2 * lanes)...});
    return __builtin_shuffle(a, b, ivec_t<T>{static_cast<int>(half + l / 2 + l % 2 * lanes)...});
}
#endif
template <class T>
ENFILT_INLINE vec_t<T> first_in_turn(vec_t<T> a, vec_t<T> b) {
    return in_turn_<T>(a, b, std::make_index_sequence<simd<T>::lanes>{}, 0);
}
template <class T>
ENFILT_INLINE vec_t<T> second_in_turn(vec_t<T> a, vec_t<T> b) {
    return in_turn_<T>(a, b, std::make_index_sequence<simd<T>::lanes>{}, 1);
}

// 64-bit words, and the products of the low halves of theirs: one instruction, where a product of
// whole words, which compilers make of it, is several.
typedef std::uint64_t words64 __attribute__((vector_size(ENFILT_VECTOR_BYTES)));
ENFILT_INLINE words64 multiply_low_halves(words64 a, words64 b) {
#if defined(__AVX512F__)
    // all lanes by a mask: GCC 12 warns of what the plain one leaves undefined
    return reinterpret_cast<words64>(
        _mm512_maskz_mul_epu32(0xFF, reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
    return reinterpret_cast<words64>(
        _mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif defined(__SSE2__)
    return reinterpret_cast<words64>(
        _mm_mul_epu32(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
    return (a & 0xFFFFFFFFu) * (b & 0xFFFFFFFFu);
#endif
}

// The low halves of the words of a, then those of b.
#if defined(__clang__)
template <std::size_t... l>
ENFILT_INLINE uvec_t<float> low_halves_(uvec_t<float> a, uvec_t<float> b,
                                        std::index_sequence<l...>) {
    return __builtin_shufflevector(a, b, static_cast<int>(2 * l)...);
}
#else
template <std::size_t... l>
ENFILT_INLINE uvec_t<float> low_halves_(uvec_t<float> a, uvec_t<float> b,
                                        std::index_sequence<l...>) {
    return __builtin_shuffle(a, b, ivec_t<float>{static_cast<int>(2 * l)...});
}
#endif
ENFILT_INLINE uvec_t<float> low_halves(words64 a, words64 b) {
    return low_halves_(bit_cast_vec<uvec_t<float>>(a), bit_cast_vec<uvec_t<float>>(b),
                       std::make_index_sequence<simd<float>::lanes>{});
}

template <class T>
ENFILT_INLINE vec_t<T> sqrt(vec_t<T> x) {
    for (std::size_t l = 0; l < simd<T>::lanes; ++l) x[l] = std::sqrt(x[l]);
    return x;
}

ENFILT_CLOSE
