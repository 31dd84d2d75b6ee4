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

#include "problem.hpp"
#include "vecmath.hpp"

ENFILT_OPEN

constexpr index_t philox_lanes = 16;
constexpr index_t philox_group = 4 * philox_lanes;

struct PhiloxStream {
    std::uint64_t key;
    std::uint32_t batch, step;
};

// The 64 words of group g of a member: words[r][l].
inline void philox_words(const PhiloxStream& stream, std::uint32_t member, std::uint32_t group,
                         std::uint32_t words[4][philox_lanes]) {
    constexpr std::uint64_t multiplier0 = 0xD2511F53u, multiplier1 = 0xCD9E8D57u;
    constexpr std::uint32_t weyl0 = 0x9E3779B9u, weyl1 = 0xBB67AE85u;
    for (index_t l = 0; l < philox_lanes; ++l) {
        words[0][l] = group * static_cast<std::uint32_t>(philox_lanes) + static_cast<std::uint32_t>(l);
        words[1][l] = member;
        words[2][l] = stream.step;
        words[3][l] = stream.batch;
    }
    auto key0 = static_cast<std::uint32_t>(stream.key);
    auto key1 = static_cast<std::uint32_t>(stream.key >> 32);
    for (int round = 0; round < 10; ++round, key0 += weyl0, key1 += weyl1) {
        for (index_t l = 0; l < philox_lanes; ++l) {
            const std::uint64_t product0 = multiplier0 * words[0][l];
            const std::uint64_t product1 = multiplier1 * words[2][l];
            const std::uint32_t word1 = words[1][l], word3 = words[3][l];
            words[0][l] = static_cast<std::uint32_t>(product1 >> 32) ^ word1 ^ key0;
            words[1][l] = static_cast<std::uint32_t>(product1);
            words[2][l] = static_cast<std::uint32_t>(product0 >> 32) ^ word3 ^ key1;
            words[3][l] = static_cast<std::uint32_t>(product0);
        }
    }
}

// A word as a number in (0, 1].
template <class T>
ENFILT_INLINE vec_t<T> philox_uniform(const std::uint32_t* words) {
    vec_t<T> u;
    for (std::size_t l = 0; l < simd<T>::lanes; ++l) u[l] = static_cast<T>(words[l]);
    return (u + T(0.5)) * T(1.0 / 4294967296.0);
}

// Standard normals of components [first, first + n) of one member.
template <class T>
void philox_normals(const PhiloxStream& stream, std::uint32_t member, index_t first, index_t n,
                    T* out) {
    constexpr index_t lanes = static_cast<index_t>(simd<T>::lanes);
    std::uint32_t words[4][philox_lanes];
    T normals[philox_group];
    for (index_t group = first / philox_group; group * philox_group < first + n; ++group) {
        philox_words(stream, member, static_cast<std::uint32_t>(group), words);
        for (index_t pair = 0; pair < 2; ++pair) {
            for (index_t l = 0; l < philox_lanes; l += lanes) {
                const vec_t<T> radius =
                    sqrt<T>(T(-2) * log<T>(philox_uniform<T>(words[2 * pair] + l)));
                vec_t<T> sine, cosine;
                sincos_turns<T>(philox_uniform<T>(words[2 * pair + 1] + l), sine, cosine);
                store(normals + (2 * pair) * philox_lanes + l, radius * cosine);
                store(normals + (2 * pair + 1) * philox_lanes + l, radius * sine);
            }
        }
        const index_t low = group * philox_group < first ? first - group * philox_group : 0;
        const index_t high = (group + 1) * philox_group < first + n
                                 ? philox_group
                                 : first + n - group * philox_group;
        for (index_t d = low; d < high; ++d) out[group * philox_group + d - first] = normals[d];
    }
}

ENFILT_CLOSE
