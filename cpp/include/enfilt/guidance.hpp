// The pull of the observations on a member, component by component.
#pragma once

#include "math/guidance.hpp"
#include "observed.hpp"
#include "operators.hpp"

ENFILT_OPEN

// Rows of a block that local guidance reads, and two for a function that takes blocks.
template <class T>
struct GuidanceRows {
    static constexpr index_t count = 4;
    T *y, *weight, *value, *slope;
    GuidanceRows() = default;
    GuidanceRows(T* memory, index_t stride)
        : y(memory), weight(y + stride), value(weight + stride), slope(value + stride) {}
};

// Observations of a block, and what the local guidance makes of them.
template <class T, class Operator>
struct LocalGuidance {
    static constexpr bool by_blocks = takes_blocks<Operator>;
    Operator h;
    GuidanceRows<T> rows;

    // Has to be called with all x_hat of a row before any of them is asked for.
    ENFILT_INLINE void prepare(const T* x_hat, index_t n) const {
        if constexpr (by_blocks)
            h.function.linearize(x_hat, n, rows.value, rows.slope);
    }

    // -strength grad J at x_hat for the vector at component d of the block
    ENFILT_INLINE vec_t<T> operator()(index_t d, vec_t<T> x_hat, T strength) const {
        math::Linearized<math::Vectors<T>> at;
        if constexpr (by_blocks)
            at = {load(rows.value + d), load(rows.slope + d)};
        else
            at = h.linearize(x_hat);
        return math::observed_pull<math::Vectors<T>>(strength, load(rows.weight + d), at,
                                                     load(rows.y + d));
    }
};

template <class T>
struct NoGuidance {
    static constexpr bool by_blocks = false;
    ENFILT_INLINE vec_t<T> operator()(index_t, vec_t<T>, T) const { return vec_t<T>{}; }
};

ENFILT_CLOSE
