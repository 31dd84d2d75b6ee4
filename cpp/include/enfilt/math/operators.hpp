// Component-wise observation operators h and their derivatives.
//
// A new one: a structure with value() and linearize(), and its line in ENFILT_POINTWISE (problem.hpp).
#pragma once

#include "../problem.hpp"
#include "portable.hpp"

ENFILT_OPEN
namespace math {

template <class A>
struct Linearized {
    typename A::value value, slope;
};

template <class A>
struct IdentityOperator {
    using T = typename A::scalar;
    using V = typename A::value;
    ENFILT_INLINE explicit IdentityOperator(double) {}
    ENFILT_INLINE V value(V x) const { return x; }
    ENFILT_INLINE Linearized<A> linearize(V x) const { return {x, A::broadcast(T(1))}; }
};

template <class A>
struct ArctanOperator {
    using T = typename A::scalar;
    using V = typename A::value;
    ENFILT_INLINE explicit ArctanOperator(double) {}
    ENFILT_INLINE V value(V x) const { return A::atan(x); }
    ENFILT_INLINE Linearized<A> linearize(V x) const {
        return {A::atan(x), A::reciprocal(T(1) + x * x)};
    }
};

template <class A>
struct TanhOperator {
    using T = typename A::scalar;
    using V = typename A::value;
    ENFILT_INLINE explicit TanhOperator(double) {}
    ENFILT_INLINE V value(V x) const { return A::tanh(x); }
    ENFILT_INLINE Linearized<A> linearize(V x) const {
        const V h = A::tanh(x);
        return {h, (T(1) - h) * (T(1) + h)};
    }
};

template <class A>
struct SigmoidOperator {
    using T = typename A::scalar;
    using V = typename A::value;
    T alpha;
    ENFILT_INLINE explicit SigmoidOperator(double a) : alpha(static_cast<T>(a)) {}
    ENFILT_INLINE V value(V x) const { return A::sigmoid(alpha * x); }
    ENFILT_INLINE Linearized<A> linearize(V x) const {
        const V h = A::sigmoid(alpha * x);
        return {h, alpha * h * (T(1) - h)};
    }
};

// x^p, p a positive integer.
template <class A>
struct IntegerPowerOperator {
    using T = typename A::scalar;
    using V = typename A::value;
    int p;
    T scale;
    ENFILT_INLINE explicit IntegerPowerOperator(double exponent)
        : p(static_cast<int>(exponent)), scale(static_cast<T>(exponent)) {}
    ENFILT_INLINE V value(V x) const { return A::pow_integer(x, p); }
    ENFILT_INLINE Linearized<A> linearize(V x) const {
        const V below = A::pow_integer(x, p - 1);
        return {below * x, scale * below};
    }
};

// |x|^p sign(x), p any positive number.
template <class A>
struct RealPowerOperator {
    using T = typename A::scalar;
    using V = typename A::value;
    double p;
    T scale;
    ENFILT_INLINE explicit RealPowerOperator(double exponent)
        : p(exponent), scale(static_cast<T>(exponent)) {}
    ENFILT_INLINE V value(V x) const { return A::pow_signed(x, p); }
    ENFILT_INLINE Linearized<A> linearize(V x) const {
        const V magnitude = A::select(x < T(0), -x, x);
        return {A::pow_signed(x, p), scale * A::pow_signed(magnitude, p - 1)};
    }
};

}  // namespace math
ENFILT_CLOSE
