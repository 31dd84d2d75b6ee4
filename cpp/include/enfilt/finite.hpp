// Whether all numbers of an array are finite, at the speed of reading them.
#pragma once

#include "blocks.hpp"

ENFILT_OPEN

template <class T>
bool all_finite(const T* x, index_t n) {
    constexpr index_t lanes = Blocks<T>::lanes, piece = 1 << 15;
    bool finite = true;
    const index_t pieces = (n + piece - 1) / piece;
    Team(pieces).for_each(pieces, [&](int, index_t k) {
        const index_t start = k * piece, end = n - start < piece ? n : start + piece;
        vec_t<T> sum = {};  // 0 x is 0 for finite x and NaN for all others
        index_t i = start;
        for (; i + lanes <= end; i += lanes) sum += T(0) * load(x + i);
        if (i < end) sum += T(0) * load_partial(x + i, end - i);
        bool all = true;
        for (index_t l = 0; l < lanes; ++l) all = all && sum[static_cast<std::size_t>(l)] == 0;
        if (!all) __atomic_store_n(&finite, false, __ATOMIC_RELAXED);
    });
    return finite;
}

ENFILT_CLOSE
