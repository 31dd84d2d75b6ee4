// Which components are observed, and how well.
//
// A block of the CPU looks for the first observation in it and goes on from there; a thread of a
// GPU, which has a component alone, asks whether that has one.
#pragma once

#include "../problem.hpp"
#include "portable.hpp"

ENFILT_OPEN
namespace math {

// What an observation says of its component: y with its weight 1/r^2; both are 0 where y is NaN.
template <class T>
struct Seen {
    T y, weight;
};

template <class T>
ENFILT_INLINE Seen<T> observation(const Observed<T>& obs, index_t k) {
    const T value = obs.y[k];
    const bool seen = value == value;
    return {seen ? value : T(0), seen ? obs.precision[obs.precision_varies ? k : 0] : T(0)};
}

// The first observation of component d or one behind it, where indices tell the components.
template <class T>
ENFILT_INLINE index_t first_from(const Observed<T>& obs, index_t d) {
    index_t low = 0, high = obs.size;
    while (low < high) {
        const index_t middle = low + (high - low) / 2;
        if (obs.indices[middle] < d)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

}  // namespace math
ENFILT_CLOSE
