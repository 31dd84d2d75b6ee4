// One step of a reverse diffusion, given what draws a member to the forecast.
#pragma once

#include "guidance.hpp"
#include "normals.hpp"

ENFILT_OPEN

// What one step does to a vector of a member.
template <class T>
struct ReverseUpdate {
    T ratio, damping, keep, gain, spread, limit;

    ReverseUpdate(const DiffusionStep& s, double score_limit)
        : ratio(static_cast<T>(s.ratio)), damping(static_cast<T>(s.damping)),
          keep(static_cast<T>(s.keep)), gain(static_cast<T>(s.gain)),
          spread(static_cast<T>(s.spread)), limit(static_cast<T>(score_limit)) {}

    // x is moved through components [0, n) of a block. pull(d): what draws it to the centres; xi:
    // normals, read where the step has a spread.
    template <class Guidance, class Pull>
    ENFILT_INLINE void operator()(const Guidance& guidance, const Pull& pull, const T* xi, index_t n,
                                  T* x) const {
        constexpr index_t lanes = Blocks<T>::lanes;
        guidance.prepare(x, n);
        const vec_t<T> high = broadcast(limit), low = broadcast(-limit);
        const auto moved = [&](index_t d) {
            const vec_t<T> at = load(x + d);
            vec_t<T> score = ratio * at + pull(d) + guidance(d, at, damping);
            score = select<T>(score > high, high, score);
            score = select<T>(score < low, low, score);
            return keep * at + gain * score;
        };
        if (spread != 0) {
            for (index_t d = 0; d < n; d += lanes) store(x + d, moved(d) + spread * load(xi + d));
        } else {
            for (index_t d = 0; d < n; d += lanes) store(x + d, moved(d));
        }
    }
};

// The normals of one draw of a problem: 0 starts it, k + 1 drives step k.
template <class T>
Normals<T> normals_of(const DiffusionProblem<T>& p, index_t draw) {
    return {p.noise ? p.noise + draw * p.members * p.dim : nullptr,
            {p.key, p.batch, static_cast<std::uint32_t>(draw)},
            p.dim};
}

ENFILT_CLOSE
