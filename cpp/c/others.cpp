// The pairwise estimator, Lorenz-96, and random numbers.
#include <enfilt/schedules.hpp>

#include "arguments.hpp"

namespace enfilt::c {

namespace {

template <class T>
void lorenz96(const EnsembleOf<T>* ensemble, double dt, std::int64_t steps, double forcing, T* out) {
    check_ensemble<T>("ensemble", ensemble, 1);
    const EnsembleOf<T>& e = *ensemble;
    if (e.dim < 4)
        fail(ENFILT_ERROR_ARGUMENT, "ensemble has %lld components: expected at least 4", shown(e.dim));
    check_pointer("out", out);
    if (out != e.data) check_result_memory<T>("out", out, e.members, e.dim, "ensemble", e);
    check_number("dt", dt, dt > 0, "a number above zero");
    check_number("forcing", forcing, true, "a finite number");
    check_steps(steps, 0);
    Lorenz96Problem<T> p;
    p.rows = e.members;
    p.dim = e.dim;
    p.steps = steps;
    p.dt = dt;
    p.forcing = forcing;
    p.x = e.data;
    p.out = out;
    kernels<T>().lorenz96(p);
    check_finite("out", out, e.members, e.dim, ENFILT_ERROR_OVERFLOW);
}

template <class T>
PairwiseProblem<T> pairs(const EnsembleOf<T>* x, const char* name, const EnsembleOf<T>* members) {
    check_ensemble<T>("x", x, 1);
    check_ensemble<T>(name, members, 1);
    if (members->dim != x->dim)
        fail(ENFILT_ERROR_ARGUMENT, "%s has %lld components: expected %lld, as x", name,
             shown(members->dim), shown(x->dim));
    PairwiseProblem<T> p;
    p.points = x->members;
    p.members = members->members;
    p.dim = x->dim;
    p.x = x->data;
    p.x1 = members->data;
    return p;
}

template <class T>
void field(PairwiseProblem<T>& p, const EnsembleOf<T>& x, const EnsembleOf<T>& members,
           const double* log_weights, T* out) {
    check_result_memory<T>("out", out, x.members, x.dim, "x", x);
    check_result_memory<T>("out", out, x.members, x.dim, "the members", members);
    if (log_weights) {
        check_pointer("log_weights", log_weights);
        check_finite("log_weights", log_weights, 1, members.members);
    }
    p.log_weights = log_weights;
    p.out = out;
    kernels<T>().pairwise_field(p);
    check_finite("out", out, x.members, x.dim, ENFILT_ERROR_OVERFLOW);
}

template <class T>
void flow_field(const EnsembleOf<T>* x, const EnsembleOf<T>* forecast, const T* previous,
                std::int32_t path, double sigma_min, double t, const double* log_weights, T* out) {
    PairwiseProblem<T> p = pairs<T>(x, "forecast", forecast);
    check_choice("path", path, ENFILT_PATH_VE);
    const Path kind = static_cast<Path>(path);
    const double sigma = sigma_min == 0 ? default_sigma_min(kind) : sigma_min;
    check_number("sigma_min", sigma, sigma > 0 && (kind != Path::ve || sigma < 25),
                 "a number above zero, of ENFILT_PATH_VE below 25");
    check_number("t", t, t >= 0 && t <= 1, "a number from 0 to 1");
    check_pointer("out", out);
    if (kind == Path::f2p) {
        if (!previous)
            fail(ENFILT_ERROR_ARGUMENT, "previous is null: ENFILT_PATH_F2P starts from it");
        check_optional("previous", previous, forecast->members, forecast->dim, out,
                       x->members * x->dim);
        p.x0 = previous;
    }
    double width = 0;
    p.stage = flow_stage(kind, sigma, t, 0.0, &width);
    check_number("sigma_min", width, width >= 1e-150 && width <= 1e150,
                 "one that leads to a width from 1e-150 to 1e150");
    field(p, *x, *forecast, log_weights, out);
}

Stage mixture(double scale, double std) {
    check_number("scale", scale, true, "a finite number");
    check_number("std", std, std >= 1e-150 && std <= 1e150, "a number from 1e-150 to 1e150");
    return mixture_stage(scale, std);
}

template <class T>
void mixture_score(const EnsembleOf<T>* x, const EnsembleOf<T>* centers, double scale, double std,
                   const double* log_weights, T* out) {
    PairwiseProblem<T> p = pairs<T>(x, "centers", centers);
    p.stage = mixture(scale, std);
    field(p, *x, *centers, log_weights, out);
}

template <class T>
void pairwise_log_weights(const EnsembleOf<T>* x, const EnsembleOf<T>* centers, double scale,
                          double std, double* out) {
    PairwiseProblem<T> p = pairs<T>(x, "centers", centers);
    p.stage = mixture(scale, std);
    const std::int64_t bytes = checked_bytes("out", p.points, p.members, sizeof(double));
    check_pointer("out", out);
    constexpr auto each = static_cast<std::int64_t>(sizeof(T));
    check_apart("x", x->data, p.points * p.dim * each, "out", out, bytes);
    check_apart("centers", centers->data, p.members * p.dim * each, "out", out, bytes);
    p.squared_distances = out;
    kernels<T>().squared_distances(p);
    for (std::int64_t k = 0; k < p.points * p.members; ++k) out[k] *= -p.stage.half_precision;
    check_finite("out", out, p.points, p.members, ENFILT_ERROR_OVERFLOW);
}

template <class T>
void normals(std::uint64_t key, std::uint32_t step, std::int64_t members, std::int64_t dim, T* out) {
    if (members < 1 || members > most_members || dim < 1)
        fail(ENFILT_ERROR_ARGUMENT, "members=%lld, dim=%lld: expected at least 1 of both",
             shown(members), shown(dim));
    checked_bytes("out", members, dim, sizeof(T));
    check_pointer("out", out);
    kernels<T>().normals(key, 0, step, members, dim, out);
}

}  // namespace

}  // namespace enfilt::c

using namespace enfilt::c;

int enfilt_lorenz96_f64(const enfilt_ensemble_f64* ensemble, double dt, int64_t steps,
                        double forcing, double* out) {
    return guarded([&] { lorenz96<double>(ensemble, dt, steps, forcing, out); });
}

int enfilt_lorenz96_f32(const enfilt_ensemble_f32* ensemble, double dt, int64_t steps,
                        double forcing, float* out) {
    return guarded([&] { lorenz96<float>(ensemble, dt, steps, forcing, out); });
}

int enfilt_flow_field_f64(const enfilt_ensemble_f64* x, const enfilt_ensemble_f64* forecast,
                          const double* previous, int32_t path, double sigma_min, double t,
                          const double* log_weights, double* out) {
    return guarded([&] {
        flow_field<double>(x, forecast, previous, path, sigma_min, t, log_weights, out);
    });
}

int enfilt_flow_field_f32(const enfilt_ensemble_f32* x, const enfilt_ensemble_f32* forecast,
                          const float* previous, int32_t path, double sigma_min, double t,
                          const double* log_weights, float* out) {
    return guarded([&] {
        flow_field<float>(x, forecast, previous, path, sigma_min, t, log_weights, out);
    });
}

int enfilt_mixture_score_f64(const enfilt_ensemble_f64* x, const enfilt_ensemble_f64* centers,
                             double scale, double std, const double* log_weights, double* out) {
    return guarded([&] { mixture_score<double>(x, centers, scale, std, log_weights, out); });
}

int enfilt_mixture_score_f32(const enfilt_ensemble_f32* x, const enfilt_ensemble_f32* centers,
                             double scale, double std, const double* log_weights, float* out) {
    return guarded([&] { mixture_score<float>(x, centers, scale, std, log_weights, out); });
}

int enfilt_pairwise_log_weights_f64(const enfilt_ensemble_f64* x,
                                    const enfilt_ensemble_f64* centers, double scale, double std,
                                    double* out) {
    return guarded([&] { pairwise_log_weights<double>(x, centers, scale, std, out); });
}

int enfilt_pairwise_log_weights_f32(const enfilt_ensemble_f32* x,
                                    const enfilt_ensemble_f32* centers, double scale, double std,
                                    double* out) {
    return guarded([&] { pairwise_log_weights<float>(x, centers, scale, std, out); });
}

int enfilt_normals_f64(uint64_t key, uint32_t step, int64_t members, int64_t dim, double* out) {
    return guarded([&] { normals<double>(key, step, members, dim, out); });
}

int enfilt_normals_f32(uint64_t key, uint32_t step, int64_t members, int64_t dim, float* out) {
    return guarded([&] { normals<float>(key, step, members, dim, out); });
}
