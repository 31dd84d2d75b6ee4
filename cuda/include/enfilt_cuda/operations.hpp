// The operations of kernels.hpp in terms of passes; the launcher of the device or of the host has to
// be included before this file.
#pragma once

#include <utility>

#include "distances.hpp"
#include "kernels.hpp"
#include "lenff.hpp"
#include "lenff_lists.hpp"
#include "letkf.hpp"
#include "lorenz96.hpp"
#include "mix.hpp"
#include "paired.hpp"
#include "reduced_combine.hpp"
#include "reduced_gram.hpp"
#include "reduced_steps.hpp"
#include "scores.hpp"
#include "small_pass.hpp"
#include "sums.hpp"

namespace enfilt::cuda {

template <class T>
bool is_small(index_t points, index_t members) {
    using Largest = SmallPass<T, SteppedPoints<T, FlowAdvance<T>>>;
    return points <= small_members && members <= small_members &&
           Largest::shared_bytes(points, members) <= small_memory;
}

// The pairwise sums of M points and N members, and the weights that follow from them.
template <class T>
class Pairs {
  public:
    Pairs(index_t points, index_t members, index_t dim, Run run)
        : points_(points), members_(members), dim_(dim), launch_(run.launch),
          distance(run.workspace.take<double>(points * members)),
          partial_(run.workspace.take<double>(points * members * chunks())),
          w_(run.workspace.take<T>(points * members)), single_(run.workspace.take<int>(points)) {}

    // Distances of points as they stand to the centres of a stage.
    void measure(const T* x, const Members<T>& members, const Blend<T>& centre) const {
        if (small()) {
            measure_while_making(GivenPoints<T>{x, points_, dim_}, members, centre);
        } else {
            const DistancePass<T> pass{x, points_, members, centre, partial_};
            launch_(pass.grid(), pass.shared_bytes, pass);
            add();
        }
    }

    // Makes points; where `measured`, also their distances to these centres.
    template <class Points>
    void measure_while_making(const Points& points, const Members<T>& members,
                              const Blend<T>& centre, bool measured = true) const {
        const SmallPass<T, Points> pass{points, members, centre, measured ? partial_ : nullptr};
        launch_(pass.grid(), pass.shared_bytes(), pass);
        if (measured) add();
    }

    WeightRows<T> weigh(double half_precision, const double* log_weights) const {
        const SoftmaxPass<T> pass{distance, log_weights, half_precision, points_,
                                  members_, w_,          single_};
        launch_(pass.grid(), pass.shared_bytes, pass);
        return {w_, single_};
    }

    bool small() const { return is_small<T>(points_, members_); }

  private:
    index_t chunks() const {
        return small() ? SmallPass<T, GivenPoints<T>>::blocks(dim_)
                       : DistancePass<T>::chunks(points_, members_, dim_);
    }

    void add() const {
        const SumPass pass(partial_, points_ * members_, chunks(), distance);
        launch_(pass.grid(), pass.shared_bytes, pass);
    }

    index_t points_, members_, dim_;
    Launches& launch_;

  public:
    double* distance;  // (M, N)

  private:
    double* partial_;
    T* w_;
    int* single_;
};

template <class T, class Advance>
void mix(Launches& launch, const T* from, T* to, index_t points, const Members<T>& members,
         const Blend<T>& target, const WeightRows<T>& weights, const Advance& advance) {
    const MixPass<T, Advance> pass{from, to, points, members, target, weights, advance};
    launch(pass.grid(), pass.shared_bytes, pass);
}

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
           FieldAdvance<T>(form));
}

template <class T>
void Kernels<T>::flow_analysis(const FlowProblem<T>& p, Run run) {
    const Pairs<T> pairs(p.members, p.members, p.dim, run);
    T* const ahead = p.heun ? run.workspace.template take<T>(p.members * p.dim) : nullptr;
    if (run.workspace.counts_only()) return;
    Launches& launch = run.launch;
    const Members<T> members{p.x1, p.x0, p.members, p.dim};
    const double dt = 1.0 / static_cast<double>(p.steps);
    const Stage* const s = p.stages;
    const auto centre = [&](index_t k) { return Blend<T>(s[k].a1, s[k].a0); };
    const auto target = [&](index_t k) {
        const FieldForm form(s[k]);
        return Blend<T>(form.c1, form.c0);
    };
    const auto weigh = [&](index_t k) { return pairs.weigh(s[k].half_precision, p.log_weights); };

    const StartPass<T> start{{p.noise, {p.key, p.batch, 0}, p.dim},
                             p.x1,
                             p.x0,
                             p.start,
                             static_cast<T>(s[0].a1),
                             static_cast<T>(s[0].a0),
                             static_cast<T>(p.start_width),
                             p.members,
                             p.dim,
                             p.z};
    launch(start.grid(), 0, start);
    pairs.measure(p.z, members, centre(0));
    for (index_t k = 0; k < p.steps; ++k) {
        const bool last = k + 1 == p.steps;
        const WeightRows<T> weights = weigh(k);
        const FlowAdvance<T> euler(s[k], dt, p.observed);
        if (p.heun) {
            mix<T>(launch, p.z, ahead, p.members, members, target(k), weights, euler);
            pairs.measure(ahead, members, centre(k + 1));
            const HeunAdvance<T> heun{FlowAdvance<T>(s[k + 1], dt, p.observed), p.z, p.dim};
            mix<T>(launch, ahead, p.z, p.members, members, target(k + 1), weigh(k + 1), heun);
        } else if (pairs.small()) {
            const SteppedPoints<T, FlowAdvance<T>> points{p.z,       p.members, p.dim, p.members,
                                                          target(k), weights,   euler};
            pairs.measure_while_making(points, members, centre(last ? k : k + 1), !last);
            continue;
        } else {
            mix<T>(launch, p.z, p.z, p.members, members, target(k), weights, euler);
        }
        if (!last) pairs.measure(p.z, members, centre(k + 1));
    }
}

// Normals alone, where that is asked for standardized: the start of a reverse diffusion.
template <class T>
void draw_normals(const Normals<T>& normals, index_t members, bool standardized, T* out,
                  Launches& launch) {
    const StartPass<T> start{normals, nullptr, nullptr,     nullptr, T(0), T(0),
                             T(1),    members, normals.dim, out};
    launch(start.grid(), 0, start);
    if (!standardized) return;
    const StandardizePass<T> standardize{members, normals.dim, out};
    launch(standardize.grid(), 0, standardize);
}

template <class T>
void start_diffusion(const DiffusionProblem<T>& p, Launches& launch) {
    draw_normals<T>({p.noise, {p.key, p.batch, 0}, p.dim}, p.members, p.standardize, p.x, launch);
}

template <class T>
void paired_diffusion(const DiffusionProblem<T>& p, Launches& launch) {
    if (p.standardize) start_diffusion(p, launch);
    PairedPass<T> pass{};
    pass.x1 = p.x1, pass.x = p.x;
    pass.members = p.members, pass.dim = p.dim;
    pass.draws_start = !p.standardize;
    pass.limit = static_cast<T>(p.score_limit);
    pass.observed = *p.observed;
    pass.noise = p.noise, pass.key = p.key, pass.batch = p.batch;
    for (index_t first = 0; first < p.steps; first += pass.most) {
        pass.first_step = static_cast<int>(first);
        pass.count = static_cast<int>(smaller(pass.most, p.steps - first));
        for (int k = 0; k < pass.count; ++k)
            pass.schedule[k] = ReverseUpdate<T>(p.schedule[first + k]);
        launch(pass.grid(), 0, pass);
        pass.draws_start = false;
    }
}

template <class T>
void Kernels<T>::diffusion_analysis(const DiffusionProblem<T>& p, Run run) {
    Launches& launch = run.launch;
    if (p.paired) {
        if (!run.workspace.counts_only()) paired_diffusion(p, launch);
        return;
    }
    const Pairs<T> pairs(p.members, p.members, p.dim, run);
    if (run.workspace.counts_only()) return;
    const Members<T> members{p.x1, nullptr, p.members, p.dim};
    start_diffusion(p, launch);
    pairs.measure(p.x, members, {p.schedule[0].centre, 0.0});
    for (index_t k = 0; k < p.steps; ++k) {
        const DiffusionStep& s = p.schedule[k];
        const bool last = k + 1 == p.steps;
        const WeightRows<T> weights = pairs.weigh(s.half_precision, nullptr);
        const Blend<T> target(s.pull, 0.0), next(last ? 0.0 : p.schedule[k + 1].centre, 0.0);
        const T* const noise = p.noise ? p.noise + (k + 1) * p.members * p.dim : nullptr;
        const DiffusionAdvance<T> advance{
            ReverseUpdate<T>(s),
            static_cast<T>(p.score_limit),
            *p.observed,
            {noise, {p.key, p.batch, static_cast<std::uint32_t>(k + 1)}, p.dim}};
        if (pairs.small()) {
            const SteppedPoints<T, DiffusionAdvance<T>> points{p.x,    p.members, p.dim, p.members,
                                                               target, weights,   advance};
            pairs.measure_while_making(points, members, next, !last);
        } else {
            mix<T>(launch, p.x, p.x, p.members, members, target, weights, advance);
            if (!last) pairs.measure(p.x, members, next);
        }
    }
}

// The Gram matrices of the reduced form, (groups, rows, A1 and A0), from the sums of chunks.
template <class T>
void sum_grams(const GramPass<T>& pass, double* gram, Launches& launch) {
    launch(pass.grid(), pass.shared_bytes, pass);
    const SumPass sum(pass.partial, pass.groups * pass.rows.at.rows() * pass.rows.at.spanned,
                      pass.grid().rows, gram);
    launch(sum.grid(), sum.shared_bytes, sum);
}

template <class T, int Height>
void combine(const ReducedRows<T>& rows, index_t groups, const T* coefficients, T* z,
             Launches& launch) {
    const CombinePass<T, Height> pass{rows, groups, coefficients, z};
    launch(pass.grid(), pass.shared_bytes, pass);
}

template <class T>
void Kernels<T>::reduced_analysis(const ReducedProblem<T>& p, Run run) {
    using Steps = CoefficientPass<T>;
    const RowLayout at(p.members, p.x0 != nullptr);
    const bool draws = !p.noise || p.standardize;
    // where shared memory has no room for the coefficients of a member, or for its Gram matrices
    const index_t own = Steps::own_size(p, at), copied = Steps::copied_size(p, at);
    const bool fits = Steps::bytes(own) <= small_memory;
    const bool copies = !p.paired && fits && Steps::bytes(own + copied) <= small_memory;
    const index_t products = p.paired ? 0 : p.groups * at.rows() * at.spanned;

    Workspace& scratch = run.workspace;
    const ReducedRows<T> rows{at,
                              p.dim,
                              p.x1,
                              p.x0,
                              draws ? p.z : p.noise,
                              scratch.template take<Centre<T>>(p.dim),
                              scratch.template take<std::uint8_t>(p.dim)};
    int* const used = scratch.template take<int>(p.groups);
    double* const gram = scratch.template take<double>(products);
    double* const partial =
        scratch.template take<double>(products * GramPass<T>::chunks(at, p.dim));
    double* const memory = fits ? nullptr : scratch.template take<double>(p.members * own);
    T* const coefficients = scratch.template take<T>(p.groups * p.members * at.stored());
    if (scratch.counts_only()) return;
    Launches& launch = run.launch;

    if (draws)
        draw_normals<T>({p.noise, {p.key, p.batch, 0}, p.dim}, p.members, p.standardize, p.z,
                        launch);
    const ZeroPass<int> zero{used, p.groups};
    launch(zero.grid(), 0, zero);
    const Observed<T> observed = p.observed ? *p.observed : Observed<T>();
    const CentrePass<T> centre{rows,         p.observed != nullptr, observed,
                               p.precisions, p.groups,              used};
    launch(centre.grid(), 0, centre);
    // paired, there are no weights to find
    if (!p.paired) sum_grams(GramPass<T>{rows, p.groups, partial}, gram, launch);
    Steps steps{p, at, gram, used, memory, copies, coefficients};
    steps.p.observed = nullptr;  // which stands on the host
    launch(steps.grid(), steps.shared_bytes(), steps);
    if (p.members <= small_members)
        combine<T, 32>(rows, p.groups, coefficients, p.z, launch);
    else
        combine<T, 64>(rows, p.groups, coefficients, p.z, launch);
}

template <class T>
void Kernels<T>::letkf_window(const LetkfWindow<T>& p, Run run) {
    T* const rows = run.workspace.template take<T>((p.members + 1) * p.dim);
    if (run.workspace.counts_only()) return;
    Launches& launch = run.launch;
    const LocalRowsPass<T> observe{*p.observed, p.x, p.members, p.dim, rows};
    launch(observe.grid(), 0, observe);
    using Pass = LetkfPass<T, SeenInWindow<T>>;
    Pass pass{{p, rows}, 0, p.dim};
    pass.sees.p.observed = nullptr;  // which stands on the host
    launch(pass.grid(), Pass::shared_bytes(p.members), pass);
}

template <class T>
void Kernels<T>::letkf_lists(const LetkfLists<T>& p, Run run) {
    if (run.workspace.counts_only()) return;
    using Pass = LetkfPass<T, SeenInLists<T>>;
    const Pass pass{{p}, p.first, p.count};
    run.launch(pass.grid(), Pass::shared_bytes(p.members), pass);
}

template <class T>
index_t Kernels<T>::lenff_group() {
    return enfilt::cuda::lenff_group;
}

template <class T>
void Kernels<T>::lenff_window(const LenffGroups<T>& p, Run run) {
    const LenffPanel panel(p.rows, p.columns, p.periodic, p.reach_rows, p.reach_columns);
    const LenffScratch<T> scratch(panel, p.members, p.count, run.workspace);
    if (run.workspace.counts_only()) return;
    Launches& launch = run.launch;
    const LenffWindowPass<T> window{panel, scratch, p.count, p.places, p.rho};
    launch(window.grid(), 0, window);
    const T* from = p.x;
    for (index_t k = 0; k < p.steps; ++k) {
        const LenffRowsPass<T> observe{panel, scratch, p.observed,
                                       from,  p.dim,   static_cast<T>(p.pseudo_times[k])};
        launch(observe.grid(), 0, observe);
        const LenffGainPass<T> gains{panel, scratch};
        launch(gains.grid(), 0, gains);
        const LenffMovePass<T> move{panel, scratch, from, p.out, p.dim};
        launch(move.grid(), move.shared_bytes, move);
        from = p.out;
    }
}

template <class T>
void Kernels<T>::lenff_lists(const LenffLists<T>& p, Run run) {
    if (run.workspace.counts_only()) return;
    const LenffListsPass<T> pass{p};
    run.launch(pass.grid(), pass.shared_bytes, pass);
}

template <class T>
void Kernels<T>::misfit(const T* x, index_t members, index_t dim, const Observed<T>& observed,
                        double* out, Run run) {
    using Pass = MisfitPass<T>;
    double* const partial = run.workspace.template take<double>(members * Pass::chunks(dim));
    if (run.workspace.counts_only()) return;
    Launches& launch = run.launch;
    const Pass pass{observed, x, members, dim, partial};
    launch(pass.grid(), pass.shared_bytes, pass);
    const SumPass sum(partial, members, Pass::chunks(dim), out);
    launch(sum.grid(), sum.shared_bytes, sum);
}

template <class T>
void Kernels<T>::normals(std::uint64_t key, std::uint32_t batch, std::uint32_t step,
                         index_t members, index_t dim, T* out, Run run) {
    if (run.workspace.counts_only()) return;
    draw_normals<T>({nullptr, {key, batch, step}, dim}, members, false, out,
                    run.launch);
}

template <class T>
void Kernels<T>::lorenz96(const Lorenz96Problem<T>& p, Run run) {
    using Pass = Lorenz96Pass<T>;
    const bool in_place = p.x == p.out;
    index_t passes = larger(1, divide_up(p.steps, Pass::most_steps));
    if (in_place && passes % 2 == 1) ++passes;  // by way of the scratch, and back
    T* const scratch =
        passes > 1 ? run.workspace.template take<T>(p.rows * p.dim) : nullptr;
    if (run.workspace.counts_only()) return;
    Launches& launch = run.launch;
    const T* from = p.x;
    for (index_t left = passes, steps = p.steps; left > 0; --left) {
        const index_t now = divide_up(steps, left);
        T* const to = left % 2 == 1 ? p.out : scratch;
        const Pass pass{from,
                        to,
                        p.rows,
                        p.dim,
                        static_cast<int>(now),
                        static_cast<T>(p.dt),
                        static_cast<T>(p.forcing)};
        launch(pass.grid(), pass.shared_bytes, pass);
        from = to;
        steps -= now;
    }
}

template <class T>
void Kernels<T>::ensemble_scores(const ScoreProblem<T>& p, double* sums, Run run) {
    using Pass = ScorePass<T>;
    const index_t chunks = Pass::chunks(p.dim);
    double* const partial = run.workspace.template take<double>(3 * chunks);
    Pairs<T> among(p.members, p.members, p.dim, run);
    Pairs<T> beside(p.members, 1, p.dim, run);
    if (run.workspace.counts_only()) return;
    Launches& launch = run.launch;
    auto* const ranks = reinterpret_cast<unsigned long long*>(p.ranks);
    const ZeroPass<unsigned long long> zero{ranks, p.members + 1};
    launch(zero.grid(), 0, zero);
    const Pass pass{p.x, p.truth, p.members, p.dim, partial, ranks};
    launch(pass.grid(), pass.shared_bytes(), pass);
    const SumPass sum(partial, 3, chunks, sums);
    launch(sum.grid(), sum.shared_bytes, sum);
    among.distance = p.to_members;
    among.measure(p.x, {p.x, nullptr, p.members, p.dim}, {1.0, 0.0});
    beside.distance = p.to_truth;
    beside.measure(p.x, {p.truth, nullptr, 1, p.dim}, {1.0, 0.0});
}

template <class T>
void Kernels<T>::copy_where(const bool* flag, const T* x, T* out, index_t count, Run run) {
    if (run.workspace.counts_only()) return;
    const CopyWherePass<T> pass{flag, x, out, count};
    run.launch(pass.grid(), 0, pass);
}

}  // namespace enfilt::cuda
