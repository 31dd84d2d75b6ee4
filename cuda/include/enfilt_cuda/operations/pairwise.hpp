// The pairwise estimator, and the scores of an ensemble, which are made of distances as well.
#pragma once

#include "../scores.hpp"
#include "pairs.hpp"

namespace enfilt::cuda {

template <class T>
void Kernels<T>::squared_distances(const PairwiseProblem<T>& p, Run run) {
    Pairs<T> pairs(p.points, p.members, p.dim, run);
    if (run.workspace.counts_only()) return;
    pairs.distance = p.squared_distances;
    pairs.measure(p.x, {p.x1, p.x0, p.members, p.dim}, {p.stage.a1, p.stage.a0});
}

template <class T>
void Kernels<T>::pairwise_field(const PairwiseProblem<T>& p, Run run) {
    const Pairs<T> pairs(p.points, p.members, p.dim, run);
    if (run.workspace.counts_only()) return;
    const Members<T> members{p.x1, p.x0, p.members, p.dim};
    pairs.measure(p.x, members, {p.stage.a1, p.stage.a0});
    const WeightRows<T> weights = pairs.weigh(p.stage.half_precision, p.log_weights);
    const FieldForm form(p.stage);
    mix<T>(run.launch, p.x, p.out, p.points, members, {form.c1, form.c0}, weights,
           FieldAdvance<T>{math::Velocity<Scalars<T>>(p.stage)});
}

template <class T>
void Kernels<T>::ensemble_scores(const ScoreProblem<T>& p, double* sums, Run run) {
    using Pass = ScorePass<T>;
    const index_t chunks = Pass::chunks(p.dim);
    double* const partial = run.workspace.template take<double>(4 * chunks);
    Pairs<T> among(p.members, p.members, p.dim, run);
    Pairs<T> beside(p.members, 1, p.dim, run);
    if (run.workspace.counts_only()) return;
    Launches& launch = run.launch;
    auto* const ranks = reinterpret_cast<unsigned long long*>(p.ranks);
    const ZeroPass<unsigned long long> zero{ranks, p.members + 1};
    launch(zero.grid(), 0, zero);
    const Pass pass{p.x, p.truth, p.members, p.dim, partial, ranks};
    launch(pass.grid(), pass.shared_bytes(), pass);
    const SumPass sum(partial, 4, chunks, sums);
    launch(sum.grid(), sum.shared_bytes, sum);
    among.distance = p.to_members;
    among.measure(p.x, {p.x, nullptr, p.members, p.dim}, {1.0, 0.0});
    beside.distance = p.to_truth;
    beside.measure(p.x, {p.truth, nullptr, 1, p.dim}, {1.0, 0.0});
}

}  // namespace enfilt::cuda
