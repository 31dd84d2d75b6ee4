// The numbers of the CPU: a vector of T at a time.
#pragma once

#include "../vecmath.hpp"

ENFILT_OPEN
namespace math {

template <class T>
struct Vectors {
    using scalar = T;
    using value = vec_t<T>;

    ENFILT_INLINE static value select(ivec_t<T> mask, value a, value b) {
        return enfilt::select<T>(mask, a, b);
    }
    ENFILT_INLINE static value broadcast(T x) { return enfilt::broadcast<T>(x); }
    ENFILT_INLINE static value reciprocal(value x) { return T(1) / x; }
    ENFILT_INLINE static value sqrt(value x) { return enfilt::sqrt<T>(x); }
    ENFILT_INLINE static value log_of_normal(value x) { return enfilt::log_of_normal<T>(x); }
    ENFILT_INLINE static value atan(value x) { return enfilt::atan<T>(x); }
    ENFILT_INLINE static value tanh(value x) { return enfilt::tanh<T>(x); }
    ENFILT_INLINE static value sigmoid(value x) { return enfilt::sigmoid<T>(x); }
    ENFILT_INLINE static value pow_integer(value x, int p) {
        return enfilt::pow_integer<T>(x, p);
    }
    ENFILT_INLINE static value pow_signed(value x, double p) {
        return enfilt::pow_signed<T>(x, p);
    }
    ENFILT_INLINE static void sincos_turns(value u, value& sine, value& cosine) {
        enfilt::sincos_turns<T>(u, sine, cosine);
    }
};

}  // namespace math
ENFILT_CLOSE
