// The pull of the observations on a member, component by component.
#pragma once

#include "observed.hpp"
#include "operators.hpp"

ENFILT_OPEN

// Observations of a block, and what the local guidance makes of them.
template <class T, class Operator>
struct LocalGuidance {
    Operator h;
    const T* y;
    const T* weight;

    // -strength grad J at x_hat for the vector at component d of the block
    ENFILT_INLINE vec_t<T> operator()(index_t d, vec_t<T> x_hat, T strength) const {
        const Linearized<T> at = h.linearize(x_hat);
        const vec_t<T> w = load(weight + d);
        const vec_t<T> pull = strength * w * at.slope * (load(y + d) - at.value);
        return select<T>(w > T(0), pull, vec_t<T>{});
    }
};

template <class T>
struct NoGuidance {
    ENFILT_INLINE vec_t<T> operator()(index_t, vec_t<T>, T) const { return vec_t<T>{}; }
};

ENFILT_CLOSE
