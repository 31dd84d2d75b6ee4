// The ensemble flow filter's sampler for states of few components: all of it stays in cache.
#pragma once

#include "low_dim.hpp"
#include "normals.hpp"
#include "velocity.hpp"

ENFILT_OPEN

template <class T>
class LowDimFlow {
  public:
    static bool takes(const FlowProblem<T>& problem) {
        // a gain changes the weights themselves, which no one sees here
        return takes_all<T>(problem.dim) && !problem.gains;
    }

    explicit LowDimFlow(const FlowProblem<T>& problem)
        : p_(problem), n_(problem.members), mixture_(problem.x1, problem.x0, n_, problem.dim, problem.log_weights, n_),
          stride_(mixture_.stride()),
          memory_(4 * tiled(n_) + GuidanceRows<T>::count + 1, stride_), z_(memory_.row(0)),
          mixed_(memory_.row(tiled(n_))), ahead_(memory_.row(2 * tiled(n_))),
          velocity_(memory_.row(3 * tiled(n_))), rows_(memory_.row(4 * tiled(n_)), stride_),
          x_hat_(memory_.row(4 * tiled(n_) + GuidanceRows<T>::count)) {}

    void run() {
        start();
        bool guided = false;
        for (index_t k = 0; k < p_.steps + (p_.heun ? 1 : 0); ++k)
            guided = guided || p_.stages[k].strength != 0;
        if (p_.observed && guided) {
            spread_observations(*p_.observed, 0, p_.dim, rows_.y, rows_.weight);
            with_pointwise<T>(*p_.observed, [&](auto h) {
                steps(LocalGuidance<T, decltype(h)>{h, rows_});
            });
        } else {
            steps(NoGuidance<T>{});
        }
        for (index_t i = 0; i < n_; ++i)
            std::memcpy(p_.z + i * p_.dim, z_ + i * stride_,
                        static_cast<std::size_t>(p_.dim) * sizeof(T));
    }

  private:
    static constexpr index_t lanes = Blocks<T>::lanes;

    void start() {
        const Stage& s = p_.stages[0];
        const Normals<T> normals{p_.noise, {p_.key, p_.batch, 0}, p_.dim};
        const T width = static_cast<T>(p_.start_width);
        combine_members(p_.x1, p_.x0, n_, p_.dim, 0, p_.dim, s.a1, s.a0, mixed_, stride_);
        for (index_t i = 0; i < n_; ++i) {
            T* z = z_ + i * stride_;
            const T* centre = mixed_ + (p_.start ? p_.start[i] : i) * stride_;
            normals.draw(i, 0, p_.dim, z);
            for (index_t d = 0; d < stride_; d += lanes)
                store(z + d, width * load(z + d) + load(centre + d));
        }
    }

    template <class Guidance>
    void steps(const Guidance& guidance) {
        const T dt = static_cast<T>(1.0 / static_cast<double>(p_.steps));
        for (index_t k = 0; k < p_.steps; ++k) {
            check_interrupt();
            follow(guidance, k, z_);
            if (!p_.heun) {
                each([&](index_t at) {
                    store(z_ + at, load(z_ + at) + dt * load(velocity_ + at));
                });
                continue;
            }
            each([&](index_t at) {
                store(ahead_ + at, load(z_ + at) + dt * load(velocity_ + at));
            });
            follow(guidance, k + 1, ahead_);
            each([&](index_t at) {
                const vec_t<T> arrived = load(ahead_ + at) + dt * load(velocity_ + at);
                store(z_ + at, T(0.5) * (load(z_ + at) + arrived));
            });
        }
    }

    // velocity_ at stage k of the points `from`
    template <class Guidance>
    void follow(const Guidance& guidance, index_t k, const T* from) {
        const Stage& s = p_.stages[k];
        const FlowVelocity<T> velocity(s);
        mixture_.set(s.a1, s.a0, velocity.form.c1, velocity.form.c0);
        mixture_.mix(from, n_, s.half_precision, mixed_);
        for (index_t i = 0; i < n_; ++i) {
            const auto z = [&](index_t d) { return load(from + i * stride_ + d); };
            const auto pull = [&](index_t d) { return load(mixed_ + i * stride_ + d); };
            velocity.prepare(guidance, z, pull, p_.dim, x_hat_);
            for (index_t d = 0; d < stride_; d += lanes)
                store(velocity_ + i * stride_ + d, velocity(guidance, d, z(d), pull(d)));
        }
    }

    template <class Body>
    void each(Body&& body) const {
        for (index_t at = 0; at < n_ * stride_; at += lanes) body(at);
    }

    const FlowProblem<T>& p_;
    const index_t n_;
    LowDimMixture<T> mixture_;
    const index_t stride_;
    const ZeroedRows<T> memory_;
    T *const z_, *const mixed_, *const ahead_, *const velocity_;  // ensembles
    const GuidanceRows<T> rows_;
    T* const x_hat_;  // of one member, for a function that takes blocks
};

ENFILT_CLOSE
