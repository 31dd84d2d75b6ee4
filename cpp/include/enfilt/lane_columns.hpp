// Components that are worked on side by side, a SIMD lane each.
#pragma once

#include "blocks.hpp"

ENFILT_OPEN

struct LaneColumns {
    index_t count;                          // of lanes
    index_t column[simd<float>::lanes];     // -1: none
    bool together;                          // column[l] = column[0] + l

    static LaneColumns from(index_t first, index_t n) {
        LaneColumns c{n, {}, true};
        for (index_t l = 0; l < n; ++l) c.column[l] = first + l;
        return c;
    }

    // The k-th component of each of the places from `place` on; -1 where a place has no more.
    static LaneColumns at(const PlaceLists& lists, index_t place, index_t n, index_t k) {
        if (!lists.owners) return from(lists.first + place, n);
        LaneColumns c{n, {}, true};
        for (index_t l = 0; l < n; ++l) {
            const std::int64_t at = lists.owners[place + l] + k;
            c.column[l] = at < lists.owners[place + l + 1] ? lists.components[at] : -1;
            c.together = c.together && c.column[l] >= 0 && c.column[l] == c.column[0] + l;
        }
        return c;
    }

    // Those of lanes [lane, lane + n).
    LaneColumns part(index_t lane, index_t n) const {
        LaneColumns c{n, {}, together};
        for (index_t l = 0; l < n; ++l) c.column[l] = column[lane + l];
        return c;
    }

    // The row `from` of an ensemble, lane by lane; zeros where there is no component.
    template <class T>
    void fetch(const T* from, T* lane) const {
        constexpr index_t lanes = Blocks<T>::lanes;
        if (together && count == lanes) return store(lane, load(from + column[0]));
        for (index_t l = 0; l < lanes; ++l)
            lane[l] = l < count && column[l] >= 0 ? from[column[l]] : T(0);
    }
};

// `count` numbers of each of `lanes` rows, as columns behind one another; count: whole vectors.
template <class T>
ENFILT_INLINE void as_columns(const T* const* rows, index_t count, T* to) {
    constexpr index_t lanes = Blocks<T>::lanes, half = lanes / 2;
    for (index_t d = 0; d < count; d += lanes) {
        vec_t<T> now[lanes], next[lanes];
#pragma GCC unroll 16
        for (index_t r = 0; r < lanes; ++r) now[r] = load(rows[r] + d);
#pragma GCC unroll 4
        for (index_t step = 1; step < lanes; step *= 2) {  // a perfect shuffle each
#pragma GCC unroll 8
            for (index_t r = 0; r < half; ++r) {
                next[2 * r] = first_in_turn<T>(now[r], now[r + half]);
                next[2 * r + 1] = second_in_turn<T>(now[r], now[r + half]);
            }
#pragma GCC unroll 16
            for (index_t r = 0; r < lanes; ++r) now[r] = next[r];
        }
#pragma GCC unroll 16
        for (index_t r = 0; r < lanes; ++r) store(to + (d + r) * lanes, now[r]);
    }
}

// How many components there are at a place.
inline index_t components_at(const PlaceLists& lists, index_t place) {
    return lists.owners ? lists.owners[place + 1] - lists.owners[place] : 1;
}

// The most of `n` places.
inline index_t most_components(const PlaceLists& lists, index_t place, index_t n) {
    index_t most = 0;
    for (index_t l = 0; l < n; ++l) {
        const index_t here = components_at(lists, place + l);
        if (here > most) most = here;
    }
    return most;
}

ENFILT_CLOSE
