// Counter-based random numbers, the same words as on the CPU (philox.hpp of the core tells how they
// are laid out): component d = 64 g + 16 r + l takes word r of counter (16 g + l, member, step,
// batch) of Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1,
// 2, 3"). Words 0 and 1 make the normals of r = 0 and 1 by Box and Muller (1958), words 2 and 3
// those of r = 2 and 3.
#pragma once

#include "platform.hpp"

namespace enfilt::cuda {

constexpr index_t philox_lanes = 16, philox_words = 4;
constexpr index_t philox_group = philox_words * philox_lanes;

struct PhiloxStream {
    std::uint64_t key;
    std::uint32_t batch, step;
};

ENFILT_DEVICE void philox(const PhiloxStream& stream, std::uint32_t member, std::uint32_t quad,
                          std::uint32_t (&word)[philox_words]) {
    word[0] = quad, word[1] = member, word[2] = stream.step, word[3] = stream.batch;
    auto key0 = static_cast<std::uint32_t>(stream.key);
    auto key1 = static_cast<std::uint32_t>(stream.key >> 32);
    for (int round = 0; round < 10; ++round, key0 += 0x9E3779B9u, key1 += 0xBB67AE85u) {
        const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * word[0];
        const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * word[2];
        word[0] = static_cast<std::uint32_t>(product1 >> 32) ^ word[1] ^ key0;
        word[1] = static_cast<std::uint32_t>(product1);
        word[2] = static_cast<std::uint32_t>(product0 >> 32) ^ word[3] ^ key1;
        word[3] = static_cast<std::uint32_t>(product0);
    }
}

// A word as a number in (0, 1].
template <class T>
ENFILT_DEVICE T philox_uniform(std::uint32_t word) {
    return (static_cast<T>(word) + T(0.5)) * T(1.0 / 4294967296.0);
}

// sin and cos of a number of turns.
template <class T>
ENFILT_DEVICE void sincos_turns(T turns, T& sine, T& cosine) {
#if defined(__CUDACC__)
    if constexpr (sizeof(T) == sizeof(float))
        sincospif(2 * turns, &sine, &cosine);
    else
        sincospi(2 * turns, &sine, &cosine);
#else
    const double angle = 2 * 3.14159265358979323846 * static_cast<double>(turns);
    sine = static_cast<T>(std::sin(angle));
    cosine = static_cast<T>(std::cos(angle));
#endif
}

// The normals of two words.
template <class T>
ENFILT_DEVICE void box_muller(std::uint32_t radius_word, std::uint32_t angle_word, T& first,
                              T& second) {
    const T radius = std::sqrt(T(-2) * std::log(philox_uniform<T>(radius_word)));
    T sine, cosine;
    sincos_turns(philox_uniform<T>(angle_word), sine, cosine);
    first = radius * cosine;
    second = radius * sine;
}

// The normals of the four components 64 g + 16 r + l, r = 0 .. 3, with quad = 16 g + l.
template <class T>
ENFILT_DEVICE void normals_of_quad(const PhiloxStream& stream, index_t member, index_t quad,
                                   T (&normal)[philox_words]) {
    std::uint32_t word[philox_words];
    philox(stream, static_cast<std::uint32_t>(member), static_cast<std::uint32_t>(quad), word);
    box_muller(word[0], word[1], normal[0], normal[1]);
    box_muller(word[2], word[3], normal[2], normal[3]);
}

// The first component of a quad; the others follow at distances of philox_lanes.
ENFILT_BOTH constexpr index_t first_of_quad(index_t quad) {
    return quad / philox_lanes * philox_group + quad % philox_lanes;
}

ENFILT_BOTH constexpr index_t quads_of(index_t dim) {
    return divide_up(dim, philox_group) * philox_lanes;
}

// The standard normals of one draw: the caller's (N, D), or Philox's.
template <class T>
struct Normals {
    const T* given;
    PhiloxStream stream;
    index_t dim;

    ENFILT_DEVICE void quad(index_t member, index_t quad, T (&normal)[philox_words]) const {
        if (!given) {
            normals_of_quad(stream, member, quad, normal);
            return;
        }
        const index_t d = first_of_quad(quad);
        for (int r = 0; r < philox_words; ++r)
            normal[r] = d + r * philox_lanes < dim ? given[member * dim + d + r * philox_lanes]
                                                   : T(0);
    }

    // Of `members` in the columns from `first` on, a multiple of 64, by threads that are as many:
    // the four of a quad share it out by members, each of which is drawn whole.
    ENFILT_DEVICE void columns(int thread, index_t first, index_t members, int stride,
                               T* to) const {
        const int group = static_cast<int>(philox_group), lanes = static_cast<int>(philox_lanes);
        const int begin = thread / group * group + thread % lanes;
        const index_t at = (first + begin) / philox_group * philox_lanes + thread % lanes;
        for (index_t i = thread % group / lanes; i < members; i += philox_words) {
            T normal[philox_words];
            quad(i, at, normal);
            for (int r = 0; r < philox_words; ++r) to[i * stride + begin + r * lanes] = normal[r];
        }
    }

    // One alone; of a quad's words it takes two.
    ENFILT_DEVICE T one(index_t member, index_t d) const {
        if (given) return given[member * dim + d];
        std::uint32_t word[philox_words];
        const index_t place = d % philox_group;
        const index_t quad = d / philox_group * philox_lanes + place % philox_lanes;
        philox(stream, static_cast<std::uint32_t>(member), static_cast<std::uint32_t>(quad), word);
        T first, second;
        if (place < philox_group / 2)
            box_muller(word[0], word[1], first, second);
        else
            box_muller(word[2], word[3], first, second);
        return place / philox_lanes % 2 == 0 ? first : second;
    }
};

// z_i = a1 x1_s + a0 x0_s + width eps_i with s = start[i]; without ensembles, normals alone.
template <class T>
struct StartPass {
    static constexpr unsigned threads = 128;
    Normals<T> normals;
    const T *x1, *x0;           // null: left out
    const std::int64_t* start;  // null: member i
    T a1, a0, width;
    index_t members, dim;
    T* z;

    Grid grid() const {
        return {count_of(divide_up(quads_of(dim), threads)), count_of(smaller(members, 65535))};
    }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const index_t quad = static_cast<index_t>(c.block()) * threads + c.thread();
        if (quad >= quads_of(dim)) return;
        for (index_t i = c.row(); i < members; i += c.rows()) {
            T normal[philox_words];
            normals.quad(i, quad, normal);
            const index_t from = (start ? static_cast<index_t>(start[i]) : i) * dim;
            for (int r = 0; r < philox_words; ++r) {
                const index_t d = first_of_quad(quad) + r * philox_lanes;
                if (d >= dim) break;
                T value = width * normal[r];
                if (x1) value += a1 * x1[from + d];
                if (x0) value += a0 * x0[from + d];
                z[i * dim + d] = value;
            }
        }
    }
};

// Rows made to have mean 0 and standard deviation 1 (N - 1) over the members, component by
// component; where they are all equal, 0.
template <class T>
struct StandardizePass {
    static constexpr unsigned threads = 128;
    index_t members, dim;
    T* z;

    Grid grid() const { return {count_of(divide_up(dim, threads)), 1}; }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const index_t d = static_cast<index_t>(c.block()) * threads + c.thread();
        if (d >= dim) return;
        T mean = 0, squares = 0;
        for (index_t i = 0; i < members; ++i) mean += z[i * dim + d];
        mean /= static_cast<T>(members);
        for (index_t i = 0; i < members; ++i) {
            const T anomaly = z[i * dim + d] - mean;
            squares += anomaly * anomaly;
        }
        const T deviation = std::sqrt(squares / static_cast<T>(members - 1));
        for (index_t i = 0; i < members; ++i) {
            T& value = z[i * dim + d];
            value = deviation > 0 ? (value - mean) / deviation : T(0);
        }
    }
};

}  // namespace enfilt::cuda
