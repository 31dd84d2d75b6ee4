// The numbers of a GPU: one a thread (math/portable.hpp of the core), with the functions of CUDA's
// library; where the bodies run on the CPU, of C++'s.
#pragma once

#include <enfilt/math/operators.hpp>

#include "platform.hpp"

namespace enfilt::cuda {

// Two as sin and cos of a number of turns.
template <class T>
ENFILT_BOTH void sincos_of_turns(T turns, T& sine, T& cosine) {
#if defined(__CUDA_ARCH__)
    if constexpr (sizeof(T) == sizeof(float))
        sincospif(2 * turns, &sine, &cosine);
    else
        sincospi(2 * turns, &sine, &cosine);
#else
    const double angle = 2 * 3.14159265358979323846 * static_cast<double>(turns);
    sine = static_cast<T>(std::sin(angle));
    cosine = static_cast<T>(std::cos(angle));
#endif
}

template <class T>
struct Scalars {
    using scalar = T;
    using value = T;

    ENFILT_BOTH static T select(bool mask, T a, T b) { return mask ? a : b; }
    ENFILT_BOTH static T broadcast(T x) { return x; }
    // 1/x of x from 1 on. In float32 by the approximation of 2 ulp: the exact one is five
    // instructions and a branch more.
    ENFILT_BOTH static T reciprocal(T x) {
#if defined(__CUDA_ARCH__)
        if constexpr (sizeof(T) == sizeof(float)) return __fdividef(1.0f, x);
#endif
        return T(1) / x;
    }
    ENFILT_BOTH static T sqrt(T x) { return std::sqrt(x); }
    ENFILT_BOTH static T log_of_normal(T x) { return std::log(x); }
    ENFILT_BOTH static T atan(T x) { return std::atan(x); }
    ENFILT_BOTH static T tanh(T x) { return std::tanh(x); }
    // 1/(1 + e^-a) = (1 + tanh(a/2))/2 overflows on neither side, but for small values would lose
    // digits.
    ENFILT_BOTH static T sigmoid(T a) {
        const T e = std::exp(-std::fabs(a));
        return (a < 0 ? e : T(1)) / (T(1) + e);
    }
    ENFILT_BOTH static T pow_integer(T x, int p) {
        T result = 1;
        for (; p > 0; p >>= 1, x *= x)
            if (p & 1) result *= x;
        return result;
    }
    ENFILT_BOTH static T pow_signed(T x, double p) {
        return std::copysign(std::pow(std::fabs(x), static_cast<T>(p)), x);
    }
    ENFILT_BOTH static void sincos_turns(T u, T& sine, T& cosine) {
        sincos_of_turns(u, sine, cosine);
    }
};

// h of a kind that is known only when it runs: all threads of a kernel take the same case. Kernels
// that evaluate it for every member and step are compiled for each kind (with_operator).
template <class T>
struct AnyOperator {
    Pointwise kind;
    double parameter;

    ENFILT_BOTH explicit AnyOperator(const Observed<T>& observed)
        : kind(observed.kind), parameter(observed.parameter) {}

    ENFILT_DEVICE math::Linearized<Scalars<T>> linearize(T x) const {
        switch (kind) {
#define ENFILT_CASE(name, Operator) \
    case Pointwise::name: return math::Operator<Scalars<T>>(parameter).linearize(x);
            ENFILT_POINTWISE(ENFILT_CASE)
#undef ENFILT_CASE
            case Pointwise::function: break;  // of the CPU's
        }
        return {x, T(1)};
    }
    ENFILT_DEVICE T value(T x) const {
        switch (kind) {
#define ENFILT_CASE(name, Operator) \
    case Pointwise::name: return math::Operator<Scalars<T>>(parameter).value(x);
            ENFILT_POINTWISE(ENFILT_CASE)
#undef ENFILT_CASE
            case Pointwise::function: break;
        }
        return x;
    }
};

// Calls body with the operator as a value of its own type.
template <class T, class Body>
void with_operator(const Observed<T>& observed, Body&& body) {
    switch (observed.kind) {
#define ENFILT_CASE(name, Operator) \
    case Pointwise::name: return body(math::Operator<Scalars<T>>(observed.parameter));
        ENFILT_POINTWISE(ENFILT_CASE)
#undef ENFILT_CASE
        case Pointwise::function: break;
    }
}

}  // namespace enfilt::cuda
