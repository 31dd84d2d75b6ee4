// The reverse diffusion of a score filter: from noise to the posterior along the score of the
// noised forecast, bent by the gradient of the likelihood.
//
// With the mixture score a step needs sums over all components: one pass over memory a step, the
// distances for the next one added up while the block is in cache, as in flow.hpp. With the paired
// score a component needs no other: a block stays in cache through all steps, and memory is passed
// over once, however many they are. Noise is made where it is used.
#pragma once

#include "diffusion_low_dim.hpp"
#include "pairwise.hpp"
#include "reverse_update.hpp"

ENFILT_OPEN

template <class T>
class MixtureSampler {
  public:
    explicit MixtureSampler(const DiffusionProblem<T>& problem)
        : p_(problem),
          n_(problem.members),
          blocks_(n_ * 4, problem.dim, n_ * n_, n_),
          scratch_(tiled(n_) * 4 + GuidanceRows<T>::count + 1, blocks_.stride, blocks_.team),
          sums_(blocks_, n_ * n_),
          matrix_(static_cast<std::size_t>(n_ * n_)),
          weights_(n_, n_) {}

    void run() {
        start();
        with_pointwise<T>(*p_.observed, [&](auto h) {
            for (index_t k = 0; k < p_.steps; ++k) {
                sums_.total(matrix_.get());
                softmax_rows(matrix_.get(), n_, n_, p_.schedule[k].half_precision, nullptr,
                             matrix_.get());
                weights_.assign(matrix_.get());
                step<decltype(h)>(h, k);
            }
        });
    }

  private:
    static constexpr index_t lanes = Blocks<T>::lanes;

    // Rows of a block that stand in scratch together.
    struct Rows {
        T *x, *centre, *target, *mixed, *xi;
        GuidanceRows<T> guidance;
    };

    Rows rows(int thread) const {
        const index_t ensemble = tiled(n_) * blocks_.stride;
        T* base = scratch_.of(thread);
        Rows r{};
        r.guidance = {base, blocks_.stride};
        r.xi = base + GuidanceRows<T>::count * blocks_.stride;
        r.x = r.xi + blocks_.stride;
        r.centre = r.x + ensemble;
        r.target = r.centre + ensemble;
        r.mixed = r.target + ensemble;
        return r;
    }

    void start() {
        const Normals<T> normals = normals_of(p_, 0);
        sums_.clear();
        blocks_.for_each([&](int thread, index_t chunk, index_t first, index_t n) {
            const Rows r = rows(thread);
            for (index_t i = 0; i < n_; ++i) normals.draw(i, first, n, r.x + i * blocks_.stride);
            if (p_.standardize) standardize(r.x, n_, blocks_.stride, n);
            for (index_t i = 0; i < n_; ++i) write(i, first, n, r.x);
            measure(0, chunk, first, n, r);
        });
    }

    template <class Operator>
    void step(Operator h, index_t k) {
        const ReverseUpdate<T> update(p_.schedule[k], p_.score_limit);
        const Normals<T> normals = normals_of(p_, k + 1);
        const bool last = k + 1 == p_.steps;
        if (!last) sums_.clear();
        blocks_.for_each([&](int thread, index_t chunk, index_t first, index_t n) {
            const Rows r = rows(thread);
            for (index_t i = 0; i < n_; ++i)
                fetch(p_.x + i * p_.dim + first, n, r.x + i * blocks_.stride);
            combine(p_.schedule[k].pull, first, n, r.target);
            weights_.mix_dense(r.target, blocks_.stride, round_up(n, lanes), r.mixed);
            spread_observations(*p_.observed, first, n, r.guidance.y, r.guidance.weight);
            const LocalGuidance<T, Operator> guidance{h, r.guidance};
            index_t dense = 0;
            for (index_t i = 0; i < n_; ++i) {
                const T* target = weights_.row(i, r.target, r.mixed, blocks_.stride, dense);
                const auto pull = [&](index_t d) {
                    prefetch(i, first + blocks_.length + d);
                    return load(target + d);
                };
                if (update.spread != 0) normals.draw(i, first, n, r.xi);
                update(guidance, pull, r.xi, n, r.x + i * blocks_.stride);
                write(i, first, n, r.x);
            }
            if (!last) measure(k + 1, chunk, first, n, r);
        });
    }

    // The share of a block in the distances to the centres of step k.
    void measure(index_t k, index_t chunk, index_t first, index_t n, const Rows& r) const {
        combine(p_.schedule[k].centre, first, n, r.centre);
        add_pairwise<SquaredDifference>(r.x, n_, r.centre, n_, blocks_.stride, n, sums_.of(chunk));
    }

    void write(index_t i, index_t first, index_t n, const T* x) const {
        std::memcpy(p_.x + i * p_.dim + first, x + i * blocks_.stride,
                    static_cast<std::size_t>(n) * sizeof(T));
    }

    void combine(double factor, index_t first, index_t n, T* to) const {
        combine_members<T>(p_.x1, nullptr, n_, p_.dim, first, n, factor, 0.0, to, blocks_.stride);
    }

    // As in flow.hpp: the rows are too many for the processor to see the next block coming.
    ENFILT_INLINE void prefetch(index_t i, index_t d) const {
        __builtin_prefetch(p_.x + i * p_.dim + d, 1, 2);
        __builtin_prefetch(p_.x1 + i * p_.dim + d, 0, 2);
    }

    const DiffusionProblem<T>& p_;
    const index_t n_;
    const Blocks<T> blocks_;
    const Scratch<T> scratch_;
    const PartialSums<T> sums_;
    Buffer<double> matrix_;
    Weights<T> weights_;
};

// Every member drawn to its own forecast member only: all steps in one pass over memory.
template <class T>
void paired_diffusion(const DiffusionProblem<T>& p) {
    constexpr index_t others = GuidanceRows<T>::count + 2;
    const Blocks<T> blocks(p.members + others, p.dim);
    const Scratch<T> scratch(p.members + others, blocks.stride, blocks.team);
    const Normals<T> first_normals = normals_of(p, 0);
    with_pointwise<T>(*p.observed, [&](auto h) {
        blocks.for_each([&](int thread, index_t, index_t first, index_t n) {
            const GuidanceRows<T> rows(scratch.of(thread), blocks.stride);
            T* member = scratch.of(thread) + GuidanceRows<T>::count * blocks.stride;
            T* xi = member + blocks.stride;
            T* start = xi + blocks.stride;
            spread_observations(*p.observed, first, n, rows.y, rows.weight);
            const LocalGuidance<T, decltype(h)> guidance{h, rows};
            for (index_t i = 0; i < p.members; ++i)
                first_normals.draw(i, first, n, start + i * blocks.stride);
            if (p.standardize) standardize(start, p.members, blocks.stride, n);
            for (index_t i = 0; i < p.members; ++i) {
                check_interrupt();  // all steps of a member are taken at once
                T* x = start + i * blocks.stride;
                fetch(p.x1 + i * p.dim + first, n, member);
                for (index_t k = 0; k < p.steps; ++k) {
                    const ReverseUpdate<T> update(p.schedule[k], p.score_limit);
                    const T factor = static_cast<T>(p.schedule[k].pull);
                    const auto pull = [&](index_t d) { return factor * load(member + d); };
                    if (update.spread != 0) normals_of(p, k + 1).draw(i, first, n, xi);
                    update(guidance, pull, xi, n, x);
                }
                std::memcpy(p.x + i * p.dim + first, x, static_cast<std::size_t>(n) * sizeof(T));
            }
        });
    });
}

template <class T>
void diffusion_analysis(const DiffusionProblem<T>& problem) {
    if (problem.paired)
        paired_diffusion(problem);
    else if (takes_all<T>(problem.dim))
        low_dim_diffusion(problem);
    else
        MixtureSampler<T>(problem).run();
}

ENFILT_CLOSE
