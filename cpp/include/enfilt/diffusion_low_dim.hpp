// The reverse diffusion with the mixture score for states of few components: all of it in cache.
#pragma once

#include "low_dim.hpp"
#include "reverse_update.hpp"

ENFILT_OPEN

template <class T>
void low_dim_diffusion(const DiffusionProblem<T>& p) {
    const index_t n = p.members;
    LowDimMixture<T> mixture(p.x1, nullptr, n, p.dim, nullptr, n);
    const index_t stride = mixture.stride();
    const ZeroedRows<T> memory(2 * tiled(n) + GuidanceRows<T>::count + 1, stride);
    T *const x = memory.row(0), *const mixed = memory.row(tiled(n));
    const GuidanceRows<T> rows(memory.row(2 * tiled(n)), stride);
    T* const xi = memory.row(2 * tiled(n) + GuidanceRows<T>::count);

    const Normals<T> start = normals_of(p, 0);
    for (index_t i = 0; i < n; ++i) start.draw(i, 0, p.dim, x + i * stride);
    if (p.standardize) standardize(x, n, stride, p.dim);
    spread_observations(*p.observed, 0, p.dim, rows.y, rows.weight);
    with_pointwise<T>(*p.observed, [&](auto h) {
        const LocalGuidance<T, decltype(h)> guidance{h, rows};
        for (index_t k = 0; k < p.steps; ++k) {
            check_interrupt();
            const DiffusionStep& s = p.schedule[k];
            const ReverseUpdate<T> update(s, p.score_limit);
            const Normals<T> normals = normals_of(p, k + 1);
            mixture.set(s.centre, 0.0, s.pull, 0.0);
            mixture.mix(x, n, s.half_precision, mixed);
            for (index_t i = 0; i < n; ++i) {
                const T* target = mixed + i * stride;
                if (update.spread != 0) normals.draw(i, 0, p.dim, xi);
                update(guidance, [&](index_t d) { return load(target + d); }, xi, p.dim,
                       x + i * stride);
            }
        }
    });
    for (index_t i = 0; i < n; ++i)
        std::memcpy(p.x + i * p.dim, x + i * stride, static_cast<std::size_t>(p.dim) * sizeof(T));
}

ENFILT_CLOSE
