// The pull of an observation on a member, component by component.
#pragma once

#include "operators.hpp"

ENFILT_OPEN
namespace math {

// -strength grad J with J = 1/2 sum_k ((y_k - h_k(x)) / r_k)^2 (Feng et al. 2025,
// arXiv:2502.02150), h as it is at x, weight 1/r^2; 0 where the weight is, whatever h is there.
template <class A>
ENFILT_INLINE typename A::value observed_pull(typename A::scalar strength,
                                              typename A::value weight, const Linearized<A>& h,
                                              typename A::value y) {
    using T = typename A::scalar;
    const typename A::value pull = strength * weight * h.slope * (y - h.value);
    return A::select(weight > T(0), pull, A::broadcast(T(0)));
}

}  // namespace math
ENFILT_CLOSE
