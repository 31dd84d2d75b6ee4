// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random
// numbers: as easy as 1, 2, 3"), and standard normals from them (Box, Muller 1958).
//
// The normal of (key, batch, step, member, component) is a pure function of these five: it does
// not depend on threads, blocks, vector width or the size of anything. One counter gives four
// words, so 64 neighbouring components share 16 counters: component d = 64 g + 16 r + l takes word
// r of counter (16 g + l, member, step, batch). Words 0 and 1 make the normals of r = 0 and 1,
// words 2 and 3 those of r = 2 and 3. A vector of neighbouring components is then made without
// moving anything between lanes.
#pragma once

#include <cstdint>

#include "../problem.hpp"
#include "portable.hpp"

ENFILT_OPEN

constexpr index_t philox_lanes = 16, philox_words = 4;
constexpr index_t philox_group = philox_words * philox_lanes;

struct PhiloxStream {
    std::uint64_t key;
    std::uint32_t batch, step;
};

namespace math {

struct Philox {
    static constexpr int rounds = 10;
    static constexpr std::uint32_t multiplier0 = 0xD2511F53u, multiplier1 = 0xCD9E8D57u;

    // The two halves of the key, which change from round to round.
    std::uint32_t low, high;

    ENFILT_INLINE explicit Philox(std::uint64_t key)
        : low(static_cast<std::uint32_t>(key)), high(static_cast<std::uint32_t>(key >> 32)) {}
    ENFILT_INLINE void next() { low += 0x9E3779B9u, high += 0xBB67AE85u; }

    // A round of words that each stand in the low half of 64 bits; what is in the high half no
    // product sees. multiply(a, b) gives the product of low halves.
    template <class Word, class Factor, class Multiply>
    ENFILT_INLINE static void round(Word& w0, Word& w1, Word& w2, Word& w3, const Factor& factor0,
                                    const Factor& factor1, const Word& key_low,
                                    const Word& key_high, const Multiply& multiply) {
        const Word product0 = multiply(factor0, w0);
        const Word product1 = multiply(factor1, w2);
        w0 = (product1 >> 32) ^ w1 ^ key_low;
        w1 = product1;
        w2 = (product0 >> 32) ^ w3 ^ key_high;
        w3 = product0;
    }
};

// A word, as a number of the type computed with, as one in (0, 1].
template <class A>
ENFILT_INLINE typename A::value uniform_of(typename A::value word) {
    using T = typename A::scalar;
    return (word + T(0.5)) * T(1.0 / 4294967296.0);
}

// Two normals of two numbers in (0, 1].
template <class A>
ENFILT_INLINE void box_muller(typename A::value u, typename A::value v, typename A::value& first,
                              typename A::value& second) {
    using T = typename A::scalar;
    const typename A::value radius = A::sqrt(T(-2) * A::log_of_normal(u));
    typename A::value sine, cosine;
    A::sincos_turns(v, sine, cosine);
    first = radius * cosine;
    second = radius * sine;
}

}  // namespace math
ENFILT_CLOSE
