// The ensemble flow filter's sampler in streaming form: one pass over memory a step.
//
// A step needs the N x N weights, and the weights need sums over all components. So while a block
// of z is in cache after its update, its share of |z_i - mu_j|^2 for the *next* step is added up
// at once; between two steps only the N x N sums remain. Heun's second stage needs the predicted
// z, which the corrector makes again from z instead of storing it. Nothing of size N x D is held
// beside the output, and nothing of size N x N x D ever exists.
#pragma once

#include "flow_low_dim.hpp"
#include "likelihood.hpp"
#include "normals.hpp"
#include "velocity.hpp"

ENFILT_OPEN

template <class T>
class FlowSampler {
  public:
    explicit FlowSampler(const FlowProblem<T>& problem)
        : p_(problem),
          n_(problem.members),
          blocks_(n_ * 4, problem.dim, n_ * n_, n_),
          scratch_(tiled(n_) * (problem.heun ? 6 : 4) + GuidanceRows<T>::count + 2, blocks_.stride,
                   blocks_.team),
          sums_(blocks_, n_ * n_),
          matrix_(static_cast<std::size_t>(n_ * n_)),
          innovations_(static_cast<std::size_t>(problem.gains ? n_ * n_ : 0)),
          first_(n_, n_),
          second_(problem.heun ? n_ : 0, problem.heun ? n_ : 0) {}

    void run() {
        start();
        bool guided = false;
        for (index_t k = 0; k < p_.steps + (p_.heun ? 1 : 0); ++k)
            guided = guided || p_.stages[k].strength != 0;
        if (p_.observed && (guided || p_.gains)) {
            with_pointwise<T>(*p_.observed, [&](auto h) { steps<decltype(h)>(h, guided); });
        } else {
            steps<IdentityOperator<T>>(IdentityOperator<T>(0), false);
        }
    }

  private:
    static constexpr index_t lanes = Blocks<T>::lanes;

    // Rows of a block that stand in scratch together.
    struct Rows {
        T *z, *centre, *target, *mixed, *target2, *mixed2;
        GuidanceRows<T> guidance;
        T *x_hat, *ahead;  // of one member, for a function that takes blocks
    };

    Rows rows(int thread) const {
        const index_t ensemble = tiled(n_) * blocks_.stride;
        T* base = scratch_.of(thread);
        Rows r{};
        r.guidance = {base, blocks_.stride};
        r.x_hat = base + GuidanceRows<T>::count * blocks_.stride;
        r.ahead = r.x_hat + blocks_.stride;
        r.z = r.ahead + blocks_.stride;
        r.centre = r.z + ensemble;
        r.target = r.centre + ensemble;
        r.mixed = r.target + ensemble;
        r.target2 = p_.heun ? r.mixed + ensemble : nullptr;
        r.mixed2 = p_.heun ? r.target2 + ensemble : nullptr;
        return r;
    }

    // z(0), the conditional path of member start[i] at t = 0, and its distances to the centres.
    void start() {
        const Stage& s = p_.stages[0];
        const Normals<T> normals{p_.noise, {p_.key, p_.batch, 0}, p_.dim};
        const T width = static_cast<T>(p_.start_width);
        sums_.clear();
        blocks_.for_each([&](int thread, index_t chunk, index_t first, index_t n) {
            const Rows r = rows(thread);
            combine(s.a1, s.a0, first, n, r.centre, 0, n_);
            for (index_t i = 0; i < n_; ++i) {
                T* z = r.z + i * blocks_.stride;
                const T* centre = r.centre + (p_.start ? p_.start[i] : i) * blocks_.stride;
                normals.draw(i, first, n, z);
                for (index_t d = 0; d < n; d += lanes)
                    store(z + d, width * load(z + d) + load(centre + d));
                std::memcpy(p_.z + i * p_.dim + first, z, bytes(n));
            }
            add_pairwise<SquaredDifference>(r.z, n_, r.centre, n_, blocks_.stride, n,
                                            sums_.of(chunk));
        });
    }

    template <class Operator>
    void steps(Operator h, bool guided) {
        for (index_t k = 0; k < p_.steps; ++k) {
            weigh(k, first_, h);
            if (!p_.heun) {
                dispatch<Operator, false>(h, guided, k, k + 1 < p_.steps ? k + 1 : -1);
            } else {
                dispatch<Operator, true>(h, guided, k, -2);
                weigh(k + 1, second_, h);
                dispatch<Operator, false>(h, guided, k, k + 1 < p_.steps ? k + 1 : -1);
            }
        }
    }

    template <class Operator, bool Predict>
    void dispatch(Operator h, bool guided, index_t k, index_t next) {
        if (guided)
            pass<Operator, true, Predict>(h, k, next);
        else
            pass<Operator, false, Predict>(h, k, next);
    }

    // One pass over memory. Euler, and Heun's corrector: z <- z + dt f (or the mean of two), and
    // the distances to the centres of stage `next` where there is one. Predict: only the
    // distances of z + dt f to the centres of stage k + 1.
    template <class Operator, bool Guided, bool Predict>
    void pass(Operator h, index_t k, index_t next) {
        const Stage& now = p_.stages[k];
        const bool correct = p_.heun && !Predict;
        const Stage& end = p_.stages[correct ? k + 1 : k];
        const FlowVelocity<T> leaving(now), arriving(end);
        const index_t measured = Predict ? k + 1 : next;
        const T dt = static_cast<T>(1.0 / static_cast<double>(p_.steps));
        if (measured >= 0) sums_.clear();
        blocks_.for_each([&](int thread, index_t chunk, index_t first, index_t n) {
            const Rows r = rows(thread);
            mix_dense(first_, leaving.form, first, n, r.target, r.mixed);
            if (correct) mix_dense(second_, arriving.form, first, n, r.target2, r.mixed2);
            const auto guidance = [&] {
                if constexpr (Guided) {
                    spread_observations(*p_.observed, first, n, r.guidance.y, r.guidance.weight);
                    return LocalGuidance<T, Operator>{h, r.guidance};
                } else {
                    return NoGuidance<T>{};
                }
            }();
            index_t dense = 0, dense2 = 0;
            for (index_t i = 0; i < n_; ++i) {
                T* const z = p_.z + i * p_.dim + first;
                const auto at = [&](index_t d) { return load_up_to(z + d, n - d); };
                const auto put = [&](index_t d, vec_t<T> moved) {
                    if (measured >= 0) store(r.z + i * blocks_.stride + d, moved);
                    if (!Predict) store_up_to(z + d, moved, n - d);
                    prefetch(i, first + blocks_.length + d);
                };
                const Pull pull(*this, first_, i, leaving.form, first, n, r.mixed, dense);
                const auto stepped = [&](index_t d) {
                    return at(d) + dt * leaving(guidance, d, at(d), pull(d));
                };
                leaving.prepare(guidance, at, pull, n, r.x_hat);
                if (correct) {
                    const Pull pull2(*this, second_, i, arriving.form, first, n, r.mixed2, dense2);
                    const auto ahead = [&](index_t d) {
                        return guidance.by_blocks ? load(r.ahead + d) : stepped(d);
                    };
                    if constexpr (guidance.by_blocks) {
                        for (index_t d = 0; d < n; d += lanes) store(r.ahead + d, stepped(d));
                        arriving.prepare(guidance, ahead, pull2, n, r.x_hat);
                    }
                    for (index_t d = 0; d < n; d += lanes) {
                        const vec_t<T> arrived = ahead(d);
                        const vec_t<T> f = arriving(guidance, d, arrived, pull2(d));
                        put(d, T(0.5) * (at(d) + arrived + dt * f));
                    }
                } else {
                    for (index_t d = 0; d < n; d += lanes) put(d, stepped(d));
                }
                if (measured >= 0) {  // its rows are in cache now
                    const Stage& to = p_.stages[measured];
                    combine(to.a1, to.a0, first, n, r.centre, i, i + 1);
                }
            }
            if (measured >= 0)
                add_pairwise<SquaredDifference>(r.z, n_, r.centre, n_, blocks_.stride, n,
                                                sums_.of(chunk));
        });
    }

    // Where dense rows of weights need them, the targets of a block, and what these rows mix.
    void mix_dense(const Weights<T>& weights, const FieldForm& form, index_t first, index_t n,
                   T* target, T* mixed) const {
        if (weights.dense_count() == 0) return;
        combine(form.c1, form.c0, first, n, target, 0, n_);
        weights.mix_dense(target, blocks_.stride, round_up(n, lanes), mixed);
    }

    // Row i of a mixture, vector by vector: that of the member which a one-hot row of weights
    // picks, made where it is used, or the next one of those that were mixed.
    struct Pull {
        const T *one, *zero;
        T c1 = T(1), c0 = T(0);
        index_t n;

        Pull(const FlowSampler& s, const Weights<T>& weights, index_t i, const FieldForm& form,
             index_t first, index_t n_, const T* mixed, index_t& dense) : n(n_) {
            const index_t j = weights.single(i);
            if (j < 0) {
                one = zero = mixed + (dense++) * s.blocks_.stride;
                return;
            }
            one = zero = s.p_.x1 + j * s.p_.dim + first;
            c1 = static_cast<T>(form.c1);
            if (!s.p_.x0) return;
            zero = s.p_.x0 + j * s.p_.dim + first;
            c0 = static_cast<T>(form.c0);
        }

        ENFILT_INLINE vec_t<T> operator()(index_t d) const {
            return c0 * load_up_to(zero + d, n - d) + c1 * load_up_to(one + d, n - d);
        }
    };

    // The next block comes from memory while this one is worked on; the rows are too many, and the
    // pieces of them too short, for the processor to see it coming.
    ENFILT_INLINE void prefetch(index_t i, index_t d) const {
        const index_t at = i * p_.dim + d;
        __builtin_prefetch(p_.z + at, 1, 2);
        __builtin_prefetch(p_.x1 + at, 0, 2);
        if (p_.x0) __builtin_prefetch(p_.x0 + at, 0, 2);
    }

    // The weights of stage k from the distances added up last. With covariance guidance the gain
    // is a change of the weights: g_i = sum_j b1 q_ij (x1_j - mean), q = (gain u_i), so the
    // members are mixed with w_ij + q_ij - mean_j q_ij.
    template <class Operator>
    void weigh(index_t k, Weights<T>& weights, Operator h) {
        sums_.total(matrix_.get());
        softmax_rows(matrix_.get(), n_, n_, p_.stages[k].half_precision, p_.log_weights,
                     matrix_.get());
        weights.assign(matrix_.get());
        if (!p_.gains) return;
        measure_innovations(weights, h);
        const double* gain = p_.gains + k * n_ * n_;
        Team(n_, n_ > 256).for_each(n_, [&](int, index_t i) {
            const double* u = innovations_.get() + i * n_;
            double* w = matrix_.get() + i * n_;
            double mean = 0;
            for (index_t j = 0; j < n_; ++j) {
                constexpr index_t wide = Blocks<double>::lanes;
                vec_t<double> sum = {};
                for (index_t l = 0; l < n_; l += wide)
                    sum += load_up_to(gain + j * n_ + l, n_ - l) * load_up_to(u + l, n_ - l);
                const double q = add_lanes(sum);
                w[j] += q;
                mean += q / static_cast<double>(n_);
            }
            for (index_t j = 0; j < n_; ++j) w[j] -= mean;
        });
        weights.assign(matrix_.get());
    }

    // u_ij = sum over the observed components of Y_j (y - h(x_hat_i)) / r^2, with
    // x_hat_i = sum_j w_ij x1_j and Y the anomalies of h(x1_j).
    template <class Operator>
    void measure_innovations(const Weights<T>& weights, Operator h) {
        sums_.clear();
        blocks_.for_each([&](int thread, index_t chunk, index_t first, index_t n) {
            const Rows r = rows(thread);
            const index_t whole = round_up(n, lanes);
            const T *y = r.guidance.y, *weight = r.guidance.weight;
            spread_observations(*p_.observed, first, n, r.guidance.y, r.guidance.weight);
            for (index_t j = 0; j < n_; ++j)
                fetch(p_.x1 + j * p_.dim + first, n, r.target + j * blocks_.stride);
            weights.mix_dense(r.target, blocks_.stride, whole, r.mixed);
            index_t dense = 0;
            for (index_t i = 0; i < n_; ++i) {
                const T* x_hat = weights.row(i, r.target, r.mixed, blocks_.stride, dense);
                T* innovation = r.z + i * blocks_.stride;
                if constexpr (takes_blocks<Operator>) h.function.values(x_hat, n, innovation);
                const auto value = [&](index_t d) {
                    if constexpr (takes_blocks<Operator>)
                        return load(innovation + d);
                    else
                        return h.value(load(x_hat + d));
                };
                for (index_t d = 0; d < whole; d += lanes) {
                    const vec_t<T> w = load(weight + d);
                    const vec_t<T> miss = w * (load(y + d) - value(d));
                    store(innovation + d, select<T>(w > T(0), miss, vec_t<T>{}));
                }
            }
            observed_anomalies<T>(h, r.target, weight, n_, blocks_.stride, whole, r.centre);
            add_pairwise<Product>(r.z, n_, r.centre, n_, blocks_.stride, whole, sums_.of(chunk));
        });
        sums_.total(innovations_.get());
    }

    // c1 x1_j + c0 x0_j for the members from `begin` on
    void combine(double c1, double c0, index_t first, index_t n, T* to, index_t begin,
                 index_t end) const {
        const T* x0 = p_.x0 ? p_.x0 + begin * p_.dim : nullptr;
        combine_members(p_.x1 + begin * p_.dim, x0, end - begin, p_.dim, first, n, c1, c0,
                        to + begin * blocks_.stride, blocks_.stride);
    }

    static std::size_t bytes(index_t n) { return static_cast<std::size_t>(n) * sizeof(T); }

    const FlowProblem<T>& p_;
    const index_t n_;
    const Blocks<T> blocks_;
    const Scratch<T> scratch_;
    const PartialSums<T> sums_;
    Buffer<double> matrix_, innovations_;
    Weights<T> first_, second_;
};

template <class T>
void flow_analysis(const FlowProblem<T>& problem) {
    if (LowDimFlow<T>::takes(problem))
        LowDimFlow<T>(problem).run();
    else
        FlowSampler<T>(problem).run();
}

ENFILT_CLOSE
