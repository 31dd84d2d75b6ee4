// The flow's field at one of its stages, and where it leads.
#pragma once

#include "../problem.hpp"
#include "portable.hpp"

ENFILT_OPEN
namespace math {

// The field of a stage as gain (keep z_i - sum_j w_ij (c1 x1_j + c0 x0_j)), equal to ratio z_i +
// sum_j w_ij (b1 x1_j + b0 x0_j): near the end of a path ratio z and its partner are large and
// cancel, and in float32 the difference has to be taken before it is multiplied.
struct FieldForm {
    double gain, keep, c1, c0;
    ENFILT_INLINE explicit FieldForm(const Stage& s)
        : gain(s.ratio != 0 ? s.ratio : -1.0),
          keep(s.ratio != 0 ? 1.0 : 0.0),
          c1(-s.b1 / gain),
          c0(-s.b0 / gain) {}
};

template <class A>
struct Velocity {
    using T = typename A::scalar;
    using V = typename A::value;
    T gain, keep, remaining, strength;

    ENFILT_INLINE explicit Velocity(const Stage& s) : Velocity(s, FieldForm(s)) {}
    ENFILT_INLINE Velocity(const Stage& s, const FieldForm& form)
        : gain(static_cast<T>(form.gain)), keep(static_cast<T>(form.keep)),
          remaining(static_cast<T>(s.remaining)), strength(static_cast<T>(s.strength)) {}

    // v, given sum_j w_ij (c1 x1_j + c0 x0_j)
    ENFILT_INLINE V field(V z, V pull) const { return gain * (keep * z - pull); }

    // x_hat, the end of the path that v leads to
    ENFILT_INLINE V expected(V z, V pull) const { return z + remaining * field(z, pull); }
};

}  // namespace math
ENFILT_CLOSE
