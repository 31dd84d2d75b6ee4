// The pairwise estimator by itself: the field, or the score, at points of the caller's.
#pragma once

#include "low_dim.hpp"

ENFILT_OPEN

namespace field_detail {

// v_d = gain (keep x_d - pull_d) of a row of n.
template <class T>
void write_field(const FieldForm& form, const T* x, const T* pull, index_t n, T* out) {
    constexpr index_t lanes = Blocks<T>::lanes;
    const T gain = static_cast<T>(form.gain), keep = static_cast<T>(form.keep);
    for (index_t d = 0; d < n; d += lanes) {
        const vec_t<T> v = gain * (keep * load_up_to(x + d, n - d) - load(pull + d));
        store_up_to(out + d, v, n - d);
    }
}

template <class T>
void low_dim_field(const PairwiseProblem<T>& p) {
    LowDimMixture<T> mixture(p.x1, p.x0, p.members, p.dim, p.log_weights, p.points);
    const index_t stride = mixture.stride();
    const ZeroedRows<T> memory(2 * tiled(p.points), stride);
    T *const x = memory.row(0), *const mixed = memory.row(tiled(p.points));
    const FieldForm form(p.stage);
    for (index_t i = 0; i < p.points; ++i) fetch(p.x + i * p.dim, p.dim, x + i * stride);
    mixture.set(p.stage.a1, p.stage.a0, form.c1, form.c0);
    mixture.mix(x, p.points, p.stage.half_precision, mixed);
    for (index_t i = 0; i < p.points; ++i)
        write_field(form, p.x + i * p.dim, mixed + i * stride, p.dim, p.out + i * p.dim);
}

template <class T>
void high_dim_field(const PairwiseProblem<T>& p) {
    constexpr index_t lanes = Blocks<T>::lanes;
    Buffer<double> w(static_cast<std::size_t>(p.points * p.members));
    PairwiseProblem<T> distances = p;
    distances.squared_distances = w.get();
    squared_distances(distances);
    softmax_rows(w.get(), p.points, p.members, p.stage.half_precision, p.log_weights, w.get());
    Weights<T> weights(p.points, p.members);
    weights.assign(w.get());

    const Blocks<T> blocks(p.points + p.members, p.dim);
    const Scratch<T> scratch(p.members + tiled(p.points), blocks.stride, blocks.team);
    const FieldForm form(p.stage);
    blocks.for_each([&](int thread, index_t, index_t first, index_t n) {
        T* target = scratch.of(thread);
        T* mixed = target + p.members * blocks.stride;
        combine_members(p.x1, p.x0, p.members, p.dim, first, n, form.c1, form.c0, target,
                        blocks.stride);
        weights.mix_dense(target, blocks.stride, round_up(n, lanes), mixed);
        index_t k = 0;
        for (index_t i = 0; i < p.points; ++i) {
            const T* pull = weights.row(i, target, mixed, blocks.stride, k);
            const index_t at = i * p.dim + first;
            write_field(form, p.x + at, pull, n, p.out + at);
        }
    });
}

}  // namespace field_detail

template <class T>
void pairwise_field(const PairwiseProblem<T>& p) {
    if (takes_all<T>(p.dim))
        field_detail::low_dim_field(p);
    else
        field_detail::high_dim_field(p);
}

ENFILT_CLOSE
