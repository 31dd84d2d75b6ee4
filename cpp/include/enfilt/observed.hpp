// The observations of a block of components, spread out to one entry a component.
#pragma once

#include "blocks.hpp"
#include "math/observed.hpp"

ENFILT_OPEN

// Calls body(d, k) for the observations k of components [first, first + n), first + d being that
// of k; d increases.
template <class T, class Body>
ENFILT_INLINE void for_each_observation(const Observed<T>& obs, index_t first, index_t n,
                                        Body&& body) {
    if (!obs.indices) {
        index_t k = first <= obs.offset ? 0 : (first - obs.offset + obs.stride - 1) / obs.stride;
        for (; k < obs.size && obs.offset + k * obs.stride < first + n; ++k)
            body(obs.offset + k * obs.stride - first, k);
        return;
    }
    for (index_t k = math::first_from(obs, first); k < obs.size && obs.indices[k] < first + n; ++k)
        body(static_cast<index_t>(obs.indices[k]) - first, k);
}

// Fills y and weight (1/r^2) for components [first, first + n) and the zeros behind them, and
// returns for how many of them an observation is there; a component without, or whose y is NaN,
// gets weight 0 and y 0.
template <class T>
index_t spread_observations(const Observed<T>& obs, index_t first, index_t n, T* y, T* weight) {
    const index_t padded = round_up(n, Blocks<T>::lanes);
    index_t count = 0;
    const auto put = [&](index_t d, index_t k) {
        const math::Seen<T> seen = math::observation(obs, k);
        y[d] = seen.y;
        weight[d] = seen.weight;
        count += obs.y[k] == obs.y[k];
    };
    const bool dense = !obs.indices && obs.stride == 1 && obs.offset <= first &&
                       first + n <= obs.offset + obs.size;
    for (index_t d = dense ? n : 0; d < padded; ++d) y[d] = weight[d] = T(0);
    if (dense) {
        for (index_t d = 0; d < n; ++d) put(d, first + d - obs.offset);
    } else {
        for_each_observation(obs, first, n, put);
    }
    return count;
}

ENFILT_CLOSE
