// The steps of EnFF and EnSF, and the normals that they start from.
#pragma once

#include "../advance.hpp"
#include "../paired.hpp"
#include "pairs.hpp"

namespace enfilt::cuda {

template <class T>
ObservedOfBatch<T> observed_of(const Observed<T>* first, const Batch& batch) {
    return first ? ObservedOfBatch<T>{*first, batch.y} : ObservedOfBatch<T>{};
}

template <class T>
void Kernels<T>::flow_analysis(const FlowProblem<T>& p, const Batch& batch, Run run) {
    const index_t all = batch.count;
    const Pairs<T> pairs(p.members, p.members, p.dim, all, run);
    T* const ahead = p.heun ? run.workspace.template take<T>(all * p.members * p.dim) : nullptr;
    if (run.workspace.counts_only()) return;
    Launches& launch = run.launch;
    const Members<T> members{p.x1, p.x0, p.members, p.dim};
    const double dt = 1.0 / static_cast<double>(p.steps);
    const Stage* const s = p.stages;
    const ObservedOfBatch<T> seen = observed_of(p.observed, batch);
    const ObservedOfBatch<T>* const observed = p.observed ? &seen : nullptr;
    const auto centre = [&](index_t k) { return Blend<T>(s[k].a1, s[k].a0); };
    const auto target = [&](index_t k) {
        const FieldForm form(s[k]);
        return Blend<T>(form.c1, form.c0);
    };
    const auto weigh = [&](index_t k) { return pairs.weigh(s[k].half_precision, p.log_weights); };

    const StartPass<T> start{{p.noise, {p.key, p.batch, 0}, p.dim, batch.noise},
                             p.x1,
                             p.x0,
                             p.start,
                             static_cast<T>(s[0].a1),
                             static_cast<T>(s[0].a0),
                             static_cast<T>(p.start_width),
                             p.members,
                             p.dim,
                             p.z};
    launch(start.grid(all), 0, start);
    pairs.measure(p.z, members, centre(0));
    for (index_t k = 0; k < p.steps; ++k) {
        const bool last = k + 1 == p.steps;
        const WeightRows<T> weights = weigh(k);
        if (!p.heun && pairs.small()) {
            with_flow_advance<T>(s[k], dt, observed, [&](auto euler) {
                const SteppedPoints<T, decltype(euler)> points{
                    p.z, p.members, p.dim, p.members, target(k), weights, euler};
                pairs.measure_while_making(points, members, centre(last ? k : k + 1), !last);
            });
            continue;
        }
        mix<T>(launch, all, p.z, p.heun ? ahead : p.z, p.members, members, target(k), weights,
               any_flow_advance(s[k], dt, observed));
        if (p.heun) {
            pairs.measure(ahead, members, centre(k + 1));
            const auto euler = any_flow_advance(s[k + 1], dt, observed);
            mix<T>(launch, all, ahead, p.z, p.members, members, target(k + 1), weigh(k + 1),
                   HeunAdvance<T, FlowAdvance<T, AnyOperator<T>>>{euler, p.z, p.dim, p.members * p.dim});
        }
        if (!last) pairs.measure(p.z, members, centre(k + 1));
    }
}

// Normals alone, where that is asked for standardized: the start of a reverse diffusion.
template <class T>
void draw_normals(const Normals<T>& normals, index_t ensembles, index_t members, bool standardized,
                  T* out, Launches& launch) {
    const StartPass<T> start{normals, nullptr, nullptr,     nullptr, T(0), T(0),
                             T(1),    members, normals.dim, out};
    launch(start.grid(ensembles), 0, start);
    if (!standardized) return;
    const StandardizePass<T> standardize{members, normals.dim, out};
    launch(standardize.grid(ensembles), 0, standardize);
}

template <class T>
void start_diffusion(const DiffusionProblem<T>& p, const Batch& batch, Launches& launch) {
    draw_normals<T>({p.noise, {p.key, p.batch, 0}, p.dim, batch.noise}, batch.count, p.members,
                    p.standardize, p.x, launch);
}

template <class T, class Operator>
void paired_diffusion(const DiffusionProblem<T>& p, const Batch& batch, const Operator& h,
                      Launches& launch) {
    if (p.standardize) start_diffusion(p, batch, launch);
    PairedPass<T, Operator> pass{p.x1,
                                 p.x,
                                 p.members,
                                 p.dim,
                                 !p.standardize,
                                 0,
                                 0,
                                 {},
                                 static_cast<T>(p.score_limit),
                                 h,
                                 observed_of(p.observed, batch),
                                 p.noise,
                                 batch.noise,
                                 p.key,
                                 p.batch};
    for (index_t first = 0; first < p.steps; first += pass.most) {
        pass.first_step = static_cast<int>(first);
        pass.count = static_cast<int>(smaller(pass.most, p.steps - first));
        for (int k = 0; k < pass.count; ++k) {
            const DiffusionStep& s = p.schedule[first + k];
            pass.schedule[k] = {math::ReverseUpdate<Scalars<T>>(s), static_cast<T>(s.pull)};
        }
        launch(pass.grid(batch.count), 0, pass);
        pass.draws_start = false;
    }
}

template <class T>
void Kernels<T>::diffusion_analysis(const DiffusionProblem<T>& p, const Batch& batch, Run run) {
    Launches& launch = run.launch;
    if (p.paired) {
        if (run.workspace.counts_only()) return;
        return with_operator(*p.observed,
                             [&](auto h) { paired_diffusion(p, batch, h, launch); });
    }
    const index_t all = batch.count;
    const Pairs<T> pairs(p.members, p.members, p.dim, all, run);
    if (run.workspace.counts_only()) return;
    const Members<T> members{p.x1, nullptr, p.members, p.dim};
    start_diffusion(p, batch, launch);
    pairs.measure(p.x, members, {p.schedule[0].centre, 0.0});
    for (index_t k = 0; k < p.steps; ++k) {
        const DiffusionStep& s = p.schedule[k];
        const bool last = k + 1 == p.steps;
        const WeightRows<T> weights = pairs.weigh(s.half_precision, nullptr);
        const Blend<T> target(s.pull, 0.0), next(last ? 0.0 : p.schedule[k + 1].centre, 0.0);
        const T* const noise = p.noise ? p.noise + (k + 1) * p.members * p.dim : nullptr;
        const auto advance = [&](auto h) {
            return DiffusionAdvance<T, decltype(h)>{
                math::ReverseUpdate<Scalars<T>>(s),
                static_cast<T>(p.score_limit),
                h,
                observed_of(p.observed, batch),
                {noise,
                 {p.key, p.batch, static_cast<std::uint32_t>(k + 1)},
                 p.dim,
                 batch.noise}};
        };
        if (pairs.small()) {
            with_operator(*p.observed, [&](auto h) {
                const SteppedPoints<T, decltype(advance(h))> points{
                    p.x, p.members, p.dim, p.members, target, weights, advance(h)};
                pairs.measure_while_making(points, members, next, !last);
            });
        } else {
            mix<T>(launch, all, p.x, p.x, p.members, members, target, weights,
                   advance(AnyOperator<T>(*p.observed)));
            if (!last) pairs.measure(p.x, members, next);
        }
    }
}

template <class T>
void Kernels<T>::normals(std::uint64_t key, std::uint32_t batch, std::uint32_t step,
                         index_t members, index_t dim, T* out, Run run) {
    if (run.workspace.counts_only()) return;
    draw_normals<T>({nullptr, {key, batch, step}, dim}, 1, members, false, out, run.launch);
}

}  // namespace enfilt::cuda
