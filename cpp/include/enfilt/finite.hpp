// Whether all numbers of an array are finite, at the speed of reading them.
#pragma once

#include "blocks.hpp"

ENFILT_OPEN

template <class T>
bool all_finite(const T* x, index_t n) {
    constexpr index_t lanes = Blocks<T>::lanes, piece = 1 << 15;
    int finite = 1;
#pragma omp parallel for schedule(static) reduction(&& : finite) if (n > piece)
    for (index_t start = 0; start < n; start += piece) {
        const index_t end = n - start < piece ? n : start + piece;
        vec_t<T> sum = {};  // 0 x is 0 for finite x and NaN for all others
        index_t i = start;
        for (; i + lanes <= end; i += lanes) sum += T(0) * load(x + i);
        if (i < end) sum += T(0) * load_partial(x + i, end - i);
        for (index_t l = 0; l < lanes; ++l) finite = finite && sum[static_cast<std::size_t>(l)] == 0;
    }
    return finite;
}

ENFILT_CLOSE
