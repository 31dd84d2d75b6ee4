// The pairwise estimator, and the scores of an ensemble.
#pragma once

#include "../scores.hpp"
#include "pairs.hpp"

namespace enfilt::cuda {

template <class T>
void Kernels<T>::squared_distances(const PairwiseProblem<T>& p, Run run) {
    Pairs<T> pairs(p.points, p.members, p.dim, 1, run);
    if (run.workspace.counts_only()) return;
    pairs.distance = p.squared_distances;
    pairs.measure(p.x, {p.x1, p.x0, p.members, p.dim}, {p.stage.a1, p.stage.a0});
}

template <class T>
void Kernels<T>::pairwise_field(const PairwiseProblem<T>& p, Run run) {
    const Pairs<T> pairs(p.points, p.members, p.dim, 1, run);
    if (run.workspace.counts_only()) return;
    const Members<T> members{p.x1, p.x0, p.members, p.dim};
    pairs.measure(p.x, members, {p.stage.a1, p.stage.a0});
    const WeightRows<T> weights = pairs.weigh(p.stage.half_precision, p.log_weights);
    const FieldForm form(p.stage);
    mix<T>(run.launch, 1, p.x, p.out, p.points, members, {form.c1, form.c0}, weights,
           FieldAdvance<T>{math::Velocity<Scalars<T>>(p.stage)});
}

template <class T, int Columns>
void add_scores(const ScoreProblem<T>& p, double* sums, Run run) {
    using Pass = ScorePass<T, Columns>;
    auto* const ranks = reinterpret_cast<unsigned long long*>(p.ranks);
    Pass pass{p.x, p.truth, p.members, p.dim, nullptr, nullptr, ranks};
    const Grid grid = pass.grid();
    const index_t parts = static_cast<index_t>(grid.blocks) * grid.rows;
    const index_t pairs = ScoreTiles(p.members).count() * ScoreTiles::tile * ScoreTiles::tile;
    Workspace& scratch = run.workspace;
    pass.sums = scratch.template take<double>(Pass::numbers * parts);
    pass.pairs = scratch.template take<double>(pairs * grid.blocks);
    double* const of_pairs = scratch.template take<double>(pairs);
    if (scratch.counts_only()) return;
    Launches& launch = run.launch;
    const ZeroPass<unsigned long long> zero{ranks, p.members + 1};
    launch(zero.grid(), 0, zero);
    launch(grid, pass.shared_bytes(), pass);
    const SumPass sum(pass.sums, Pass::numbers, parts, sums);
    launch(sum.grid(), sum.shared_bytes, sum);
    const SumPass sum_pairs(pass.pairs, pairs, grid.blocks, of_pairs);
    launch(sum_pairs.grid(), sum_pairs.shared_bytes, sum_pairs);
    const ScorePairsPass to_places{of_pairs, p.members, p.to_members, p.to_truth};
    launch(to_places.grid(), 0, to_places);
}

template <class T>
void Kernels<T>::ensemble_scores(const ScoreProblem<T>& p, double* sums, Run run) {
    if (ScorePass<T, 128>::fits(p.members)) return add_scores<T, 128>(p, sums, run);
    if (ScorePass<T, 32>::fits(p.members)) return add_scores<T, 32>(p, sums, run);
    add_scores<T, 1>(p, sums, run);  // of thousands of members
}

}  // namespace enfilt::cuda
