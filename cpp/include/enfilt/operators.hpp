// Component-wise observation operators h and their derivatives, a vector at a time; a function of
// the caller's a block at a time.
//
// A new one: a structure with value() and linearize(), and its line in ENFILT_POINTWISE (problem.hpp).
#pragma once

#include "problem.hpp"
#include "vecmath.hpp"

ENFILT_OPEN

template <class T>
struct Linearized {
    vec_t<T> value, slope;
};

template <class T>
struct IdentityOperator {
    explicit IdentityOperator(double) {}
    ENFILT_INLINE vec_t<T> value(vec_t<T> x) const { return x; }
    ENFILT_INLINE Linearized<T> linearize(vec_t<T> x) const { return {x, broadcast<T>(T(1))}; }
};

template <class T>
struct ArctanOperator {
    explicit ArctanOperator(double) {}
    ENFILT_INLINE vec_t<T> value(vec_t<T> x) const { return atan<T>(x); }
    ENFILT_INLINE Linearized<T> linearize(vec_t<T> x) const {
        return {atan<T>(x), T(1) / (T(1) + x * x)};
    }
};

template <class T>
struct TanhOperator {
    explicit TanhOperator(double) {}
    ENFILT_INLINE vec_t<T> value(vec_t<T> x) const { return tanh<T>(x); }
    ENFILT_INLINE Linearized<T> linearize(vec_t<T> x) const {
        const vec_t<T> h = tanh<T>(x);
        return {h, (T(1) - h) * (T(1) + h)};
    }
};

template <class T>
struct SigmoidOperator {
    T alpha;
    explicit SigmoidOperator(double a) : alpha(static_cast<T>(a)) {}
    ENFILT_INLINE vec_t<T> value(vec_t<T> x) const { return sigmoid<T>(alpha * x); }
    ENFILT_INLINE Linearized<T> linearize(vec_t<T> x) const {
        const vec_t<T> h = sigmoid<T>(alpha * x);
        return {h, alpha * h * (T(1) - h)};
    }
};

// x^p, p a positive integer.
template <class T>
struct IntegerPowerOperator {
    int p;
    T scale;
    explicit IntegerPowerOperator(double exponent)
        : p(static_cast<int>(exponent)), scale(static_cast<T>(exponent)) {}
    ENFILT_INLINE vec_t<T> value(vec_t<T> x) const { return pow_integer<T>(x, p); }
    ENFILT_INLINE Linearized<T> linearize(vec_t<T> x) const {
        const vec_t<T> below = pow_integer<T>(x, p - 1);
        return {below * x, scale * below};
    }
};

// |x|^p sign(x), p any positive number.
template <class T>
struct RealPowerOperator {
    double p;
    T scale;
    explicit RealPowerOperator(double exponent) : p(exponent), scale(static_cast<T>(exponent)) {}
    ENFILT_INLINE vec_t<T> value(vec_t<T> x) const { return pow_signed<T>(x, p); }
    ENFILT_INLINE Linearized<T> linearize(vec_t<T> x) const {
        const vec_t<T> magnitude = select<T>(x < T(0), -x, x);
        return {pow_signed<T>(x, p), scale * pow_signed<T>(magnitude, p - 1)};
    }
};

// The caller's function. It is not called for a vector, which is too short for its loop to become
// vector code: kernels put whole rows through it, and what follows takes the results as they are.
template <class T>
struct BlockOperator {
    BlockFunction<T> function;
};

template <class Operator>
constexpr bool takes_blocks = false;
template <class T>
constexpr bool takes_blocks<BlockOperator<T>> = true;

// h in place, through a piece of memory of its own: compilers give up vectors where what is read
// and what is written may be the same.
template <class T>
void apply_in_place(const BlockOperator<T>& h, index_t n, T* x) {
    constexpr index_t most = 512;
    T piece[most];
    for (index_t d = 0; d < n; d += most) {
        const index_t count = n - d < most ? n - d : most;
        std::memcpy(piece, x + d, static_cast<std::size_t>(count) * sizeof(T));
        h.function.values(piece, count, x + d);
    }
}

// Calls body with the operator as a value of its own type: the kernel is compiled once for each,
// and no loop over components asks which it is.
template <class T, class Body>
void with_pointwise(const Observed<T>& observed, Body&& body) {
    const double parameter = observed.parameter;
    switch (observed.kind) {
#define ENFILT_CASE(name, Operator) \
    case Pointwise::name: return body(Operator<T>(parameter));
        ENFILT_POINTWISE(ENFILT_CASE)
#undef ENFILT_CASE
        case Pointwise::function: return body(BlockOperator<T>{observed.function});
    }
}

ENFILT_CLOSE
