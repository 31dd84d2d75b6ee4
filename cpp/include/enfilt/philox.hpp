// Counter-based random numbers and standard normals (math/philox.hpp), the 64 of a group at a time.
#pragma once

#include "math/philox.hpp"
#include "math/vectors.hpp"

ENFILT_OPEN

// The two halves of the key in each round, the same for all counters of a stream.
class PhiloxKeys {
  public:
    static constexpr int rounds = math::Philox::rounds;

    explicit PhiloxKeys(std::uint64_t key) {
        math::Philox halves(key);
        for (int round = 0; round < rounds; ++round, halves.next()) {
            low_[round] = halves.low - words64{};
            high_[round] = halves.high - words64{};
        }
    }
    words64 low(int round) const { return low_[round]; }
    words64 high(int round) const { return high_[round]; }

  private:
    words64 low_[rounds], high_[rounds];
};

// The 64 words of group g of a member: words[r][l]. A counter's word stands in the low half of a
// lane; what is in the high half no product sees.
inline void words_of_group(const PhiloxStream& stream, const PhiloxKeys& keys, std::uint32_t member,
                           std::uint32_t group, std::uint32_t words[4][philox_lanes]) {
    constexpr index_t lanes = ENFILT_VECTOR_BYTES / 8, parts = philox_lanes / lanes;
    const words64 multiplier0 = math::Philox::multiplier0 - words64{};
    const words64 multiplier1 = math::Philox::multiplier1 - words64{};
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
            math::Philox::round(w[0][part], w[1][part], w[2][part], w[3][part], multiplier0,
                                multiplier1, keys.low(round), keys.high(round),
                                [](words64 a, words64 b) { return multiply_low_halves(a, b); });
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
    return math::uniform_of<math::Vectors<T>>(u);
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
        words_of_group(stream, keys, member, static_cast<std::uint32_t>(group), words);
        for (index_t pair = 0; pair < 2; ++pair) {
            for (index_t l = 0; l < philox_lanes; l += lanes) {
                vec_t<T> first_normal, second_normal;
                math::box_muller<math::Vectors<T>>(philox_uniform<T>(words[2 * pair] + l),
                                                   philox_uniform<T>(words[2 * pair + 1] + l),
                                                   first_normal, second_normal);
                store(to + (2 * pair) * philox_lanes + l, first_normal);
                store(to + (2 * pair + 1) * philox_lanes + l, second_normal);
            }
        }
        if (whole) continue;
        const index_t low = begin < 0 ? -begin : 0;
        const index_t high = n - begin < philox_group ? n - begin : philox_group;
        for (index_t d = low; d < high; ++d) out[begin + d] = normals[d];
    }
}

ENFILT_CLOSE
