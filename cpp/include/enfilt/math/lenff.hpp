// The gain of the localized flow filter's observations.
#pragma once

#include <limits>

#include "portable.hpp"

ENFILT_OPEN
namespace math {

// r^2/w, infinite where nothing is observed.
template <class V, class T>
ENFILT_INLINE V lenff_variance(T pseudo_time, V weight) {
    return T(1) / (pseudo_time * weight);
}

// Where b, below, is no normal number, Y is zero to rounding, and nothing moves.
template <class T>
inline constexpr T lenff_least = 4 * std::numeric_limits<T>::min();

// q = 1/(b + r^2/w), given b = sum_k |rho_lk (Y_l.Y_k)/(N - 1)|
template <class A>
ENFILT_INLINE typename A::value lenff_gain(typename A::value b, typename A::value variance) {
    using T = typename A::scalar;
    return A::select(b > lenff_least<T>, T(1) / (b + variance), A::broadcast(T(0)));
}

}  // namespace math
ENFILT_CLOSE
