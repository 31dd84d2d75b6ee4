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

// The two halves of the key in each round, the same for all counters of a stream.
class PhiloxKeys {
  public:
    static constexpr int rounds = 10;

    explicit PhiloxKeys(std::uint64_t key) {
        auto low = static_cast<std::uint32_t>(key), high = static_cast<std::uint32_t>(key >> 32);
        for (int round = 0; round < rounds; ++round, low += 0x9E3779B9u, high += 0xBB67AE85u) {
            low_[round] = low - words64{};
            high_[round] = high - words64{};
        }
    }
    words64 low(int round) const { return low_[round]; }
    words64 high(int round) const { return high_[round]; }

  private:
    words64 low_[rounds], high_[rounds];
};

// The 64 words of group g of a member: words[r][l]. A counter's word stands in the low half of a
// lane; what is in the high half no product sees.
inline void philox_words(const PhiloxStream& stream, const PhiloxKeys& keys, std::uint32_t member,
                         std::uint32_t group, std::uint32_t words[4][philox_lanes]) {
    constexpr index_t lanes = ENFILT_VECTOR_BYTES / 8, parts = philox_lanes / lanes;
    const words64 multiplier0 = 0xD2511F53u - words64{}, multiplier1 = 0xCD9E8D57u - words64{};
    words64 w[4][parts];
    for (index_t part = 0; part < parts; ++part) {
        words64 counter{};
        for (index_t l = 0; l < lanes; ++l)
            counter[l] = group * static_cast<std::uint32_t>(philox_lanes) +
                         static_cast<std::uint32_t>(part * lanes + l);
        w[0][part] = counter;
        w[1][part] = member - words64{};
        w[2][part] = stream.step - words64{};
        w[3][part] = stream.batch - words64{};
    }
    for (int round = 0; round < PhiloxKeys::rounds; ++round) {
        for (index_t part = 0; part < parts; ++part) {
            const words64 product0 = multiply_low_halves(multiplier0, w[0][part]);
            const words64 product1 = multiply_low_halves(multiplier1, w[2][part]);
            w[0][part] = (product1 >> 32) ^ w[1][part] ^ keys.low(round);
            w[1][part] = product1;
            w[2][part] = (product0 >> 32) ^ w[3][part] ^ keys.high(round);
            w[3][part] = product0;
        }
    }
    for (index_t r = 0; r < 4; ++r) {
        for (index_t part = 0; part < parts; part += 2) {  // whole vectors, as they are read
            const uvec_t<float> low = low_halves(w[r][part], w[r][part + 1]);
            std::memcpy(words[r] + part * lanes, &low, sizeof low);
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
    const PhiloxKeys keys(stream.key);
    std::uint32_t words[4][philox_lanes];
    T normals[philox_group];
    for (index_t group = first / philox_group; group * philox_group < first + n; ++group) {
        const index_t begin = group * philox_group - first;  // in out
        const bool whole = begin >= 0 && begin + philox_group <= n;
        T* const to = whole ? out + begin : normals;
        philox_words(stream, keys, member, static_cast<std::uint32_t>(group), words);
        for (index_t pair = 0; pair < 2; ++pair) {
            for (index_t l = 0; l < philox_lanes; l += lanes) {
                const vec_t<T> radius =
                    sqrt<T>(T(-2) * log_of_normal<T>(philox_uniform<T>(words[2 * pair] + l)));
                vec_t<T> sine, cosine;
                sincos_turns<T>(philox_uniform<T>(words[2 * pair + 1] + l), sine, cosine);
                store(to + (2 * pair) * philox_lanes + l, radius * cosine);
                store(to + (2 * pair + 1) * philox_lanes + l, radius * sine);
            }
        }
        if (whole) continue;
        const index_t low = begin < 0 ? -begin : 0;
        const index_t high = n - begin < philox_group ? n - begin : philox_group;
        for (index_t d = low; d < high; ++d) out[begin + d] = normals[d];
    }
}

ENFILT_CLOSE
