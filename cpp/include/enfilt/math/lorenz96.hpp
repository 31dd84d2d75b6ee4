// Lorenz-96 (Lorenz 1996) by the classical Runge-Kutta method.
//
// Tiles and what neighbours tell each other are each side's own: on the CPU a tile stands in cache,
// and vectors get their neighbours by a turn of the lanes; on a GPU it stands in the registers of a
// block, of which only the edges go through shared memory.
#pragma once

#include "portable.hpp"

ENFILT_OPEN
namespace math {

// dx_d/dt of x_{d-2}, x_{d-1}, x_d and x_{d+1}
template <class V, class T>
ENFILT_INLINE V lorenz96_tendency(V two_back, V back, V here, V ahead, T forcing) {
    return (ahead - two_back) * back - here + forcing;
}

// How far the stages of a step reach, and what their slopes weigh.
template <class T>
struct RungeKutta {
    T half, sixth, third;
    ENFILT_INLINE explicit RungeKutta(T dt) : half(dt / T(2)), sixth(dt / T(6)), third(dt / T(3)) {}
};

// What one evaluation reads of its neighbours, and one step of four evaluations.
constexpr std::ptrdiff_t lorenz96_below = 8, lorenz96_above = 4;

}  // namespace math
ENFILT_CLOSE
