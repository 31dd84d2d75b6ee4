// The ensemble transform Kalman filter, and inflation.
#include "arguments.hpp"

namespace enfilt::c {

namespace {

template <class T>
void etkf(const EnsembleOf<T>* forecast, const ObservationsOf<T>* observations,
          const enfilt_etkf_options* given, T* analysis) {
    const enfilt_etkf_options o = options_of(given, enfilt_etkf_options_init);
    check_ensemble<T>("forecast", forecast);
    const EnsembleOf<T>& e = *forecast;
    check_result_memory<T>("analysis", analysis, e.members, e.dim, "forecast", e);
    check_inflation(o.inflation, o.inflation_amount);
    if (o.rotation) {
        check_pointer("options->rotation", o.rotation);
        check_finite("options->rotation", o.rotation, e.members, e.members);
    }
    const Observing<T> observing(observations, e, analysis, o.allreduce != nullptr);
    const ObservationsOf<T>& obs = observing.given;
    // observations of processes are in no order
    const Sums sums(o.allreduce, o.context, 0, obs.size > 0 ? obs.size : 1);
    if (sums.total(static_cast<double>(observing.seen)) == 0) {
        copy_ensemble(e, analysis);
        return;
    }
    const std::size_t m = static_cast<std::size_t>(obs.size);
    std::vector<T> own;
    if (!obs.values && m > 0) {
        if (obs.function != ENFILT_IDENTITY)
            fail(ENFILT_ERROR_ARGUMENT,
                 "observations->function: ETKF takes ENFILT_IDENTITY, or values: h(x) of each member");
        own.resize(static_cast<std::size_t>(e.members) * m);
        for (std::int64_t j = 0; j < e.members; ++j)
            for (std::int64_t k = 0; k < obs.size; ++k)
                own[static_cast<std::size_t>(j) * m + static_cast<std::size_t>(k)] =
                    e.data[j * e.dim + observing.component(k)];
    }
    std::vector<double> precision = observing.exact;
    if (precision.size() < m) precision.resize(m, precision[0]);
    EtkfProblem<T> p;
    p.members = e.members;
    p.dim = e.dim;
    p.observations = obs.size;
    p.x = e.data;
    p.out = analysis;
    p.values = obs.values ? obs.values : own.data();
    p.y = obs.y;
    p.precision = precision.data();
    p.rotation = o.rotation;
    sums.over([&] { kernels<T>().etkf(p); });
    finish(o.inflation, o.inflation_amount, e, analysis);
}

template <class T>
void inflate(std::int32_t kind, double amount, const EnsembleOf<T>* forecast, T* analysis) {
    check_ensemble<T>("forecast", forecast);
    check_result_memory<T>("analysis", analysis, forecast->members, forecast->dim, "forecast",
                           *forecast);
    check_inflation(kind, amount);
    check_finite("analysis", analysis, forecast->members, forecast->dim);
    finish(kind, amount, *forecast, analysis);
}

}  // namespace

}  // namespace enfilt::c

using namespace enfilt::c;

void enfilt_etkf_options_init(enfilt_etkf_options* options) {
    if (!options) return;
    *options = {};
    options->size = sizeof *options;
    options->inflation_amount = 1;
}

int enfilt_etkf_f64(const enfilt_ensemble_f64* forecast,
                    const enfilt_observations_f64* observations, const enfilt_etkf_options* options,
                    double* analysis) {
    return guarded([&] { etkf<double>(forecast, observations, options, analysis); });
}

int enfilt_etkf_f32(const enfilt_ensemble_f32* forecast,
                    const enfilt_observations_f32* observations, const enfilt_etkf_options* options,
                    float* analysis) {
    return guarded([&] { etkf<float>(forecast, observations, options, analysis); });
}

int enfilt_inflate_f64(int32_t inflation, double amount, const enfilt_ensemble_f64* forecast,
                       double* analysis) {
    return guarded([&] { inflate<double>(inflation, amount, forecast, analysis); });
}

int enfilt_inflate_f32(int32_t inflation, double amount, const enfilt_ensemble_f32* forecast,
                       float* analysis) {
    return guarded([&] { inflate<float>(inflation, amount, forecast, analysis); });
}
