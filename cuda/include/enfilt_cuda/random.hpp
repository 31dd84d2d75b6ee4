// Counter-based random numbers, the same words as on the CPU (math/philox.hpp of the core tells how
// they are laid out): a thread makes the four of one counter.
#pragma once

#include <enfilt/math/philox.hpp>

#include "scalars.hpp"

namespace enfilt::cuda {

ENFILT_DEVICE void philox(const PhiloxStream& stream, std::uint32_t member, std::uint32_t quad,
                          std::uint32_t (&word)[philox_words]) {
    std::uint64_t w[philox_words] = {quad, member, stream.step, stream.batch};
    const std::uint32_t factor0 = math::Philox::multiplier0, factor1 = math::Philox::multiplier1;
    math::Philox key(stream.key);
    for (int round = 0; round < key.rounds; ++round, key.next())
        math::Philox::round(w[0], w[1], w[2], w[3], factor0, factor1,
                            std::uint64_t{key.low}, std::uint64_t{key.high},
                            [](std::uint32_t a, std::uint64_t b) {
                                return std::uint64_t{a} * static_cast<std::uint32_t>(b);
                            });
    for (int r = 0; r < philox_words; ++r) word[r] = static_cast<std::uint32_t>(w[r]);
}

// The normals of two words.
template <class T>
ENFILT_DEVICE void normals_of(std::uint32_t radius_word, std::uint32_t angle_word, T& first,
                              T& second) {
    math::box_muller<Scalars<T>>(math::uniform_of<Scalars<T>>(static_cast<T>(radius_word)),
                                 math::uniform_of<Scalars<T>>(static_cast<T>(angle_word)), first,
                                 second);
}

// The normals of the four components 64 g + 16 r + l, r = 0 .. 3, with quad = 16 g + l.
template <class T>
ENFILT_DEVICE void normals_of_quad(const PhiloxStream& stream, index_t member, index_t quad,
                                   T (&normal)[philox_words]) {
    std::uint32_t word[philox_words];
    philox(stream, static_cast<std::uint32_t>(member), static_cast<std::uint32_t>(quad), word);
    normals_of(word[0], word[1], normal[0], normal[1]);
    normals_of(word[2], word[3], normal[2], normal[3]);
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
    index_t next = 0;  // from the numbers given for an ensemble of a batch to those for the next

    ENFILT_DEVICE Normals of(index_t ensemble) const {
        return {given ? given + ensemble * next : nullptr,
                {stream.key, stream.batch + static_cast<std::uint32_t>(ensemble), stream.step},
                dim,
                next};
    }

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
            normals_of(word[0], word[1], first, second);
        else
            normals_of(word[2], word[3], first, second);
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

    Grid grid(index_t ensembles) const {
        return {count_of(divide_up(quads_of(dim), threads)), count_of(smaller(members, 65535)),
                count_of(ensembles)};
    }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const index_t quad = static_cast<index_t>(c.block()) * threads + c.thread();
        if (quad >= quads_of(dim)) return;
        const index_t first = static_cast<index_t>(c.ensemble()) * members;  // its row of all
        const Normals<T> own = normals.of(c.ensemble());
        for (index_t i = c.row(); i < members; i += c.rows()) {
            T normal[philox_words];
            own.quad(i, quad, normal);
            const index_t row = start ? static_cast<index_t>(start[first + i]) : i;
            const index_t from = (first + row) * dim;
            for (int r = 0; r < philox_words; ++r) {
                const index_t d = first_of_quad(quad) + r * philox_lanes;
                if (d >= dim) break;
                T value = width * normal[r];
                if (x1) value += a1 * x1[from + d];
                if (x0) value += a0 * x0[from + d];
                z[(first + i) * dim + d] = value;
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

    Grid grid(index_t ensembles) const {
        return {count_of(divide_up(dim, threads)), 1, count_of(ensembles)};
    }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const index_t d = static_cast<index_t>(c.block()) * threads + c.thread();
        if (d >= dim) return;
        T* const own = z + c.ensemble() * members * dim + d;
        T mean = 0, squares = 0;
        for (index_t i = 0; i < members; ++i) mean += own[i * dim];
        mean /= static_cast<T>(members);
        for (index_t i = 0; i < members; ++i) {
            const T anomaly = own[i * dim] - mean;
            squares += anomaly * anomaly;
        }
        const T deviation = std::sqrt(squares / static_cast<T>(members - 1));
        for (index_t i = 0; i < members; ++i) {
            T& value = own[i * dim];
            value = deviation > 0 ? (value - mean) / deviation : T(0);
        }
    }
};

}  // namespace enfilt::cuda
