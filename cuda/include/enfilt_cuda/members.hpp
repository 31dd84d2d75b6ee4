// Linear combinations of the rows of two ensembles.
#pragma once

#include "platform.hpp"

namespace enfilt::cuda {

template <class T>
struct Members {
    const T *x1, *x0;  // (N, D) each; x0 may be null
    index_t count, dim;

    // Those of an ensemble of a batch, which stand one behind the other.
    ENFILT_DEVICE Members of(index_t ensemble) const {
        const index_t away = ensemble * count * dim;
        return {x1 + away, x0 ? x0 + away : nullptr, count, dim};
    }
};

// c1 x1_j + c0 x0_j, the centre of a component or what the weights mix.
template <class T>
struct Blend {
    T c1, c0;

    ENFILT_BOTH Blend(double of_x1, double of_x0) : c1(static_cast<T>(of_x1)), c0(static_cast<T>(of_x0)) {}

    ENFILT_DEVICE T operator()(T x1, T x0) const { return c1 * x1 + c0 * x0; }
    ENFILT_DEVICE T operator()(const Members<T>& m, index_t j, index_t d) const {
        const index_t at = j * m.dim + d;
        return (*this)(m.x1[at], m.x0 ? m.x0[at] : T(0));
    }
};

}  // namespace enfilt::cuda
