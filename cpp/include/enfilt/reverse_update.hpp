// One step of a reverse diffusion, given what draws a member to the forecast.
#pragma once

#include "guidance.hpp"
#include "math/reverse_update.hpp"
#include "normals.hpp"

ENFILT_OPEN

// What one step does to a vector of a member.
template <class T>
struct ReverseUpdate : math::ReverseUpdate<math::Vectors<T>> {
    using Maths = math::ReverseUpdate<math::Vectors<T>>;
    using Maths::damping, Maths::spread;
    T limit;

    ReverseUpdate(const DiffusionStep& s, double score_limit)
        : Maths(s), limit(static_cast<T>(score_limit)) {}

    // x is moved through components [0, n) of a block. pull(d): what draws it to the centres; xi:
    // normals, read where the step has a spread.
    template <class Guidance, class Pull>
    ENFILT_INLINE void operator()(const Guidance& guidance, const Pull& pull, const T* xi, index_t n,
                                  T* x) const {
        constexpr index_t lanes = Blocks<T>::lanes;
        guidance.prepare(x, n);
        const vec_t<T> high = broadcast(limit), low = broadcast(-limit);
        const auto step = [&](index_t d) {
            const vec_t<T> at = load(x + d);
            const auto drawn = [&] { return pull(d); };
            const auto guided = [&] { return guidance(d, at, damping); };
            return Maths::moved(at, drawn, guided, low, high);
        };
        if (spread != 0) {
            for (index_t d = 0; d < n; d += lanes) store(x + d, step(d) + spread * load(xi + d));
        } else {
            for (index_t d = 0; d < n; d += lanes) store(x + d, step(d));
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
