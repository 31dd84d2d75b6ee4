// Standard normals for a block of an ensemble, the caller's own or made where they are used.
#pragma once

#include "blocks.hpp"
#include "philox.hpp"

ENFILT_OPEN

template <class T>
struct Normals {
    const T* given;  // (N, D), or null: Philox
    PhiloxStream stream;
    index_t dim;
    index_t before = current_share() ? current_share()->first : 0;  // in the whole state

    // Components [first, first + n) of a member, and zeros up to a whole vector.
    ENFILT_INLINE void draw(index_t member, index_t first, index_t n, T* to) const {
        if (given) {
            fetch(given + member * dim + first, n, to);
        } else {
            philox_normals(stream, static_cast<std::uint32_t>(member), before + first, n, to);
            for (index_t d = n; d < round_up(n, Blocks<T>::lanes); ++d) to[d] = T(0);
        }
    }
};

// Rows of a block made to have mean 0 and standard deviation 1 (N - 1) over the members, component
// by component; where they are all equal, 0.
template <class T>
void standardize(T* rows, index_t members, index_t stride, index_t n) {
    constexpr index_t lanes = Blocks<T>::lanes;
    const T share = T(1) / static_cast<T>(members), freedom = static_cast<T>(members - 1);
    for (index_t d = 0; d < n; d += lanes) {
        vec_t<T> mean = {}, squares = {};
        for (index_t i = 0; i < members; ++i) mean += load(rows + i * stride + d);
        mean *= share;
        for (index_t i = 0; i < members; ++i) {
            const vec_t<T> anomaly = load(rows + i * stride + d) - mean;
            squares += anomaly * anomaly;
        }
        const vec_t<T> deviation = sqrt<T>(squares / freedom);
        for (index_t i = 0; i < members; ++i) {
            const vec_t<T> scaled = (load(rows + i * stride + d) - mean) / deviation;
            store(rows + i * stride + d, select<T>(deviation > T(0), scaled, vec_t<T>{}));
        }
    }
}

ENFILT_CLOSE
