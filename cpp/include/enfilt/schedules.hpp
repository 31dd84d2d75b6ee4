// What a filter's options come to: stages of paths, steps of a reverse diffusion, weights of
// pseudo-time, and when the reduced form of a sampler is taken.
//
// Python says the same (paths.py, filters/ensf.py, kernels/lenff.py, filters/reduced.py) for backends
// without a compiler; tests/test_libenfilt.py holds both to the same bits, which they have where
// products and sums are rounded one by one (-ffp-contract=off; always where there is no FMA).
#pragma once

#include <cmath>

#include "problem.hpp"

namespace enfilt {

// From the previous analysis to the forecast; from N(0, I) to it; or noise that shrinks about it.
enum class Path : int { f2p, ot, ve };

inline double default_sigma_min(Path path) { return path == Path::ve ? 1.0 : 0.01; }

// What kernels need of a path at time t, its width at the end being sigma_min: Transue et al. (2025),
// arXiv:2508.13313; Lipman et al. (2022), arXiv:2210.02747, eq. 20; Song et al. (2020),
// arXiv:2011.13456, eq. 30, with sigma_max = 25 and t_min = 0.001.
inline Stage flow_stage(Path path, double sigma_min, double t, double strength, double* width) {
    double a1 = t, a0 = 0, s = sigma_min, da1 = 1, da0 = 0, ds = 0;
    switch (path) {
        case Path::f2p:
            a0 = 1 - t;
            da0 = -1;
            break;
        case Path::ot:
            ds = sigma_min - 1;
            s = 1 + ds * t;
            break;
        case Path::ve: {
            const double log_ratio = std::log(25.0 / sigma_min), rate = 1 - 1e-3;
            const double growth = std::exp(2 * log_ratio * (1 - rate * t));
            a1 = 1;
            da1 = 0;
            s = sigma_min * std::sqrt((growth - 1) / (2 * log_ratio));
            ds = -0.5 * (sigma_min * sigma_min) * rate * growth / s;
            break;
        }
    }
    if (width) *width = s;
    const double ratio = ds / s;
    return {a1, a0, 0.5 / (s * s), ratio, da1 - ratio * a1, da0 - ratio * a0, 1 - t, strength};
}

// The score of the mixture of N(scale c_j, std^2 I), as a stage.
inline Stage mixture_stage(double scale, double std) {
    const double variance = std * std;
    return {scale, 0, 0.5 / variance, -1 / variance, scale / variance, 0, 0, 0};
}

// Step k of so many of the ensemble score filter, with the likelihood damped by 1 - t.
inline DiffusionStep diffusion_step(index_t k, index_t steps, double eps_alpha, double eps_beta,
                                    bool stochastic) {
    const double count = static_cast<double>(steps);
    const double t = 1 - static_cast<double>(k) / count, dt = 1 / count;
    const double alpha = 1 - t * (1 - eps_alpha);
    const double variance = eps_beta + t * (1 - eps_beta);
    const double drift = -(1 - eps_alpha) / alpha;
    const double diffusion = (1 - eps_beta) - 2 * drift * variance;  // g^2
    DiffusionStep step;
    step.centre = alpha;
    step.half_precision = 0.5 / variance;
    step.ratio = -1 / variance;
    step.pull = alpha / variance;
    step.damping = 1 - t;
    step.keep = 1 - dt * drift;
    step.gain = stochastic ? dt * diffusion : dt * diffusion / 2;
    step.spread = stochastic ? std::sqrt(dt * diffusion) : 0.0;
    return step;
}

// w_k of the localized flow filter: growth^(k/(steps - 1)), made to sum to 1.
inline void pseudo_times(index_t steps, double growth, double* weights) {
    const double last = static_cast<double>(steps > 1 ? steps - 1 : 1);
    double total = 0;
    for (index_t k = 0; k < steps; ++k) {
        weights[k] = std::pow(growth, static_cast<double>(k) / last);
        total += weights[k];
    }
    for (index_t k = 0; k < steps; ++k) weights[k] /= total;
}

// The flow filter's Euler or Heun step of 1/steps at a stage, for components of one precision.
inline ReducedMap reduced_map(const Stage& s, index_t steps, double precision) {
    const double dt = 1 / static_cast<double>(steps), pull = s.strength * precision;
    const double of_velocity = 1 - pull * s.remaining;
    return {1 + dt * (s.ratio * of_velocity - pull), dt * of_velocity, dt * pull};
}

inline ReducedMap reduced_map(const DiffusionStep& s, double precision) {
    const double towards = s.gain * s.damping * precision;
    return {s.keep + s.gain * s.ratio - towards, s.gain, towards};
}

inline ReducedStage reduced_stage(const Stage& s) {
    return {s.a1, s.a0, s.half_precision, s.b1, s.b0};
}

inline ReducedStage reduced_stage(const DiffusionStep& s) {
    return {s.centre, 0, s.half_precision, s.pull, 0};
}

// Distinct observation errors that the reduced form keeps Gram matrices for.
constexpr index_t most_errors = 8;

// Whether the reduced form is the faster one: filters/reduced.py says what is counted.
inline bool reduced_pays(index_t members, index_t dim, index_t evaluations, bool paired) {
    const double n = static_cast<double>(members), count = static_cast<double>(evaluations);
    const double spared = paired ? count / 8 - 1 : count - 5;
    return spared * n * static_cast<double>(dim) > 24000 + count * (64 * n * n);
}

// The gain of covariance guidance at a stage, ((N - 1) I + (a1/s)^2 A A^T + Y R^-1 Y^T)^-1 from Gram
// matrices of the anomalies A and Y, (N, N): by Gauss and Jordan, without pivoting.
inline void covariance_gain(const Stage& s, index_t n, const double* states,
                            const double* observed, double* gain, double* scratch) {
    const double factor = 2 * s.half_precision * (s.a1 * s.a1);
    for (index_t i = 0; i < n; ++i)
        for (index_t j = 0; j < n; ++j) {
            const double own = i == j ? static_cast<double>(n - 1) : 0.0;
            gain[i * n + j] = own + factor * states[i * n + j] + observed[i * n + j];
        }
    double *row = scratch, *column = scratch + n;
    for (index_t p = 0; p < n; ++p) {
        const double pivot = gain[p * n + p];
        for (index_t j = 0; j < n; ++j) row[j] = gain[p * n + j] / pivot;
        for (index_t i = 0; i < n; ++i) column[i] = gain[i * n + p];
        for (index_t i = 0; i < n; ++i)
            for (index_t j = 0; j < n; ++j) {
                const double change = column[i] * row[j];
                gain[i * n + j] -= change;
            }
        for (index_t j = 0; j < n; ++j) gain[p * n + j] = row[j];
        for (index_t i = 0; i < n; ++i) gain[i * n + p] = -column[i] / pivot;
        gain[p * n + p] = 1 / pivot;
    }
}

}  // namespace enfilt
