// The observations of a block of components, spread out to one entry a component.
#pragma once

#include "blocks.hpp"

ENFILT_OPEN

// Fills y and weight (1/r^2) for components [first, first + n) and the zeros behind them; a
// component without observation, or whose y is NaN, gets weight 0 and y 0.
template <class T>
void spread_observations(const Observed<T>& obs, index_t first, index_t n, T* y, T* weight) {
    const index_t padded = round_up(n, Blocks<T>::lanes);
    const auto put = [&](index_t d, index_t k) {
        const T value = obs.y[k];
        const bool seen = value == value;
        y[d] = seen ? value : T(0);
        weight[d] = seen ? obs.precision[obs.precision_varies ? k : 0] : T(0);
    };
    const bool dense = !obs.indices && obs.stride == 1 && obs.offset <= first &&
                       first + n <= obs.offset + obs.size;
    for (index_t d = dense ? n : 0; d < padded; ++d) y[d] = weight[d] = T(0);
    if (dense) {
        for (index_t d = 0; d < n; ++d) put(d, first + d - obs.offset);
    } else if (!obs.indices) {
        index_t k = first <= obs.offset ? 0 : (first - obs.offset + obs.stride - 1) / obs.stride;
        for (; k < obs.size && obs.offset + k * obs.stride < first + n; ++k)
            put(obs.offset + k * obs.stride - first, k);
    } else {
        index_t low = 0, high = obs.size;  // the first k with indices[k] >= first
        while (low < high) {
            const index_t middle = low + (high - low) / 2;
            if (obs.indices[middle] < first)
                low = middle + 1;
            else
                high = middle;
        }
        for (index_t k = low; k < obs.size && obs.indices[k] < first + n; ++k)
            put(static_cast<index_t>(obs.indices[k]) - first, k);
    }
}

ENFILT_CLOSE
