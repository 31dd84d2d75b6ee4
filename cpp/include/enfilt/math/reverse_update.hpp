// What one step of a reverse diffusion does to a member, given what draws it to the forecast.
#pragma once

#include "../problem.hpp"
#include "portable.hpp"

ENFILT_OPEN
namespace math {

template <class A>
struct ReverseUpdate {
    using T = typename A::scalar;
    using V = typename A::value;
    T ratio, damping, keep, gain, spread;

    ReverseUpdate() = default;
    ENFILT_INLINE explicit ReverseUpdate(const DiffusionStep& s)
        : ratio(static_cast<T>(s.ratio)), damping(static_cast<T>(s.damping)),
          keep(static_cast<T>(s.keep)), gain(static_cast<T>(s.gain)),
          spread(static_cast<T>(s.spread)) {}

    // x where the score S = ratio x + drawn() + guided(), clipped to [low, high], moves it; without
    // the step's spread xi. Both are called where the sum has them: what a compiler fuses follows
    // from the order.
    template <class Drawn, class Guided>
    ENFILT_INLINE V moved(V x, const Drawn& drawn, const Guided& guided, V low, V high) const {
        V score = ratio * x + drawn() + guided();
        score = A::select(score > high, high, score);
        score = A::select(score < low, low, score);
        return keep * x + gain * score;
    }
};

}  // namespace math
ENFILT_CLOSE
