// The localized filters: LETKF and LEnFF.
#include <enfilt/schedules.hpp>

#include "arguments.hpp"
#include "plans.hpp"

namespace enfilt::c {

namespace {

template <class T>
void check_plan(const Plan& plan, const EnsembleOf<T>& e, const Observing<T>& observing) {
    if (plan.dim != e.dim)
        fail(ENFILT_ERROR_ARGUMENT, "forecast has %lld components: expected %lld, as the plan",
             shown(e.dim), shown(plan.dim));
    if (plan.is_grid)
        observing.need_function("a plan of a grid");
    else if (plan.size != observing.given.size)
        fail(ENFILT_ERROR_ARGUMENT, "observations->size is %lld: expected %lld, as the plan",
             shown(observing.given.size), shown(plan.size));
}

template <class Window>
void take_window(Window& p, const Plan& plan) {
    p.rows = plan.rows;
    p.columns = plan.columns;
    p.periodic = plan.periodic;
    p.count = static_cast<index_t>(plan.rho.size());
    p.offsets = plan.offsets.data();
    p.rho = plan.rho.data();
}

template <class T>
std::vector<std::int64_t> seen_of(const ObservationsOf<T>& o) {
    std::vector<std::int64_t> seen;
    for (std::int64_t k = 0; k < o.size; ++k)
        if (o.y[k] == o.y[k]) seen.push_back(k);
    return seen;
}

// h(x) of some of the observations, (N, k).
template <class T>
std::vector<T> values_of(const Observing<T>& observing, const EnsembleOf<T>& e,
                         const std::vector<std::int64_t>& seen) {
    const ObservationsOf<T>& o = observing.given;
    if (!o.values && o.function != ENFILT_IDENTITY)
        fail(ENFILT_ERROR_ARGUMENT,
             "observations->function: by lists the LETKF takes ENFILT_IDENTITY, or values: h(x) of each "
             "member");
    std::vector<T> values;
    values.reserve(static_cast<std::size_t>(e.members) * seen.size());
    for (std::int64_t j = 0; j < e.members; ++j)
        for (const std::int64_t k : seen)
            values.push_back(o.values ? o.values[j * o.size + k]
                                      : e.data[j * e.dim + observing.component(k)]);
    return values;
}

template <class T>
void letkf_lists(Plan& plan, const EnsembleOf<T>& e, const Observing<T>& observing,
                 LetkfEnsemble<T> ensemble) {
    const ObservationsOf<T>& o = observing.given;
    const std::vector<std::int64_t> seen = seen_of<T>(o);
    const std::size_t count = seen.size();
    // of values that the caller has, those of observations that are seen; or all, made here
    std::vector<T> own;
    if (!o.values) {
        std::vector<std::int64_t> all(static_cast<std::size_t>(o.size));
        for (std::size_t k = 0; k < all.size(); ++k) all[k] = static_cast<std::int64_t>(k);
        own = values_of(observing, e, all);
    }
    std::vector<T> rows(count * static_cast<std::size_t>(e.members + 1));
    std::vector<double> power(count);
    LetkfRows<T> said;
    said.members = e.members;
    said.observations = o.size;
    said.count = static_cast<index_t>(count);
    said.chosen = seen.data();
    said.values = o.values ? o.values : own.data();
    said.y = o.y;
    said.precision = observing.precision.data();
    said.precision_varies = observing.precision.size() > 1;
    said.rows = rows.data();
    said.power = power.data();
    kernels<T>().letkf_rows(said);
    LetkfLists<T> p;
    static_cast<LetkfEnsemble<T>&>(p) = ensemble;
    static_cast<PlaceLists&>(p) = plan.state_seen(seen).view();
    p.observations = static_cast<index_t>(count);
    p.rows = rows.data();
    p.power = power.data();
    kernels<T>().letkf_lists(p);
}

template <class T>
void letkf(enfilt_plan number, const EnsembleOf<T>* forecast, const ObservationsOf<T>* observations,
           const enfilt_etkf_options* given, T* analysis) {
    const InUse plan(number);
    const enfilt_etkf_options o = options_of(given, enfilt_etkf_options_init);
    check_ensemble<T>("forecast", forecast);
    const EnsembleOf<T>& e = *forecast;
    check_result_memory<T>("analysis", analysis, e.members, e.dim, "forecast", e);
    check_inflation(o.inflation, o.inflation_amount);
    if (o.allreduce)
        fail(ENFILT_ERROR_ARGUMENT,
             "options->allreduce: the LETKF sums nothing up over processes, each of which has lists of "
             "its own; expected null");
    if (o.rotation) {
        check_pointer("options->rotation", o.rotation);
        check_finite("options->rotation", o.rotation, e.members, e.members);
    }
    const Observing<T> observing(observations, e, analysis, false);
    check_plan(*plan, e, observing);
    if (observing.seen == 0) {
        copy_ensemble(e, analysis);
        return;
    }
    LetkfEnsemble<T> ensemble;
    ensemble.members = e.members;
    ensemble.dim = e.dim;
    ensemble.x = e.data;
    ensemble.out = analysis;
    ensemble.rotation = o.rotation;
    if (plan->is_grid) {
        const Observed<T> seen = observing.of_state();
        LetkfWindow<T> p;
        static_cast<LetkfEnsemble<T>&>(p) = ensemble;
        take_window(p, *plan);
        for (index_t s = 0; s < p.count; ++s)
            for (index_t axis = 0; axis < 2; ++axis) {
                const index_t away = p.offsets[2 * s + axis];
                if (away > p.behind[axis]) p.behind[axis] = away;
                if (-away > p.before[axis]) p.before[axis] = -away;
            }
        p.observed = &seen;
        kernels<T>().letkf_window(p);
    } else {
        letkf_lists(*plan, e, observing, ensemble);
    }
    finish(o.inflation, o.inflation_amount, e, analysis);
}

template <class T>
void lenff_lists(Plan& plan, const EnsembleOf<T>& e, const Observing<T>& observing,
                 const std::vector<double>& weights, T* analysis) {
    const ObservationsOf<T>& o = observing.given;
    const std::vector<std::int64_t> seen = seen_of<T>(o);
    std::vector<T> y, moved;
    std::vector<double> precision;
    std::vector<std::int64_t> components;
    for (const std::int64_t k : seen) {
        y.push_back(o.y[k]);
        precision.push_back(observing.exact[observing.exact.size() > 1 ? static_cast<std::size_t>(k) : 0]);
        if (!o.values) components.push_back(observing.component(k));
    }
    const PlaceLists of_state = plan.state_seen(seen).view();
    const PlaceLists between = plan.between_seen(seen).view();
    const Observed<T> operation = observing.of_state();
    LenffLists<T> p;
    p.members = e.members;
    p.dim = e.dim;
    p.observations = static_cast<index_t>(seen.size());
    p.steps = static_cast<index_t>(weights.size());
    p.x = analysis;
    p.pseudo_times = weights.data();
    p.y = y.data();
    p.precision = precision.data();
    if (o.values) {
        moved = values_of(observing, e, seen);
        p.moved = moved.data();
        p.of_moved = &between;
        p.moved_parts = 1;
    } else {
        p.operation = &operation;
        p.columns = components.data();
    }
    p.of_state = &of_state;
    p.of_observations = &between;
    p.state_parts = p.observation_parts = 1;
    copy_ensemble(e, analysis);
    kernels<T>().lenff_lists(p);
}

template <class T>
void lenff(enfilt_plan number, const EnsembleOf<T>* forecast, const ObservationsOf<T>* observations,
           const enfilt_lenff_options* given, T* analysis) {
    const InUse plan(number);
    const enfilt_lenff_options o = options_of(given, enfilt_lenff_options_init);
    check_ensemble<T>("forecast", forecast);
    const EnsembleOf<T>& e = *forecast;
    check_result_memory<T>("analysis", analysis, e.members, e.dim, "forecast", e);
    check_steps(o.steps);
    check_number("options->growth", o.growth, o.growth > 0, "a number above zero");
    check_inflation(o.inflation, o.inflation_amount);
    const Observing<T> observing(observations, e, analysis, false);
    check_plan(*plan, e, observing);
    if (observing.seen == 0) {
        copy_ensemble(e, analysis);
        return;
    }
    std::vector<double> weights(static_cast<std::size_t>(o.steps));
    pseudo_times(o.steps, o.growth, weights.data());
    if (plan->is_grid) {
        const Observed<T> seen = observing.of_state();
        LenffWindow<T> p;
        p.members = e.members;
        p.dim = e.dim;
        p.steps = o.steps;
        p.x = e.data;
        p.out = analysis;
        p.pseudo_times = weights.data();
        take_window(p, *plan);
        p.observed = &seen;
        kernels<T>().lenff_window(p);
    } else {
        lenff_lists(*plan, e, observing, weights, analysis);
    }
    finish(o.inflation, o.inflation_amount, e, analysis);
}

}  // namespace

}  // namespace enfilt::c

using namespace enfilt::c;

void enfilt_lenff_options_init(enfilt_lenff_options* options) {
    if (!options) return;
    *options = {};
    options->size = sizeof *options;
    options->steps = 10;
    options->growth = 10;
    options->inflation_amount = 1;
}

int enfilt_letkf_f64(enfilt_plan plan, const enfilt_ensemble_f64* forecast,
                     const enfilt_observations_f64* observations, const enfilt_etkf_options* options,
                     double* analysis) {
    return guarded([&] { letkf<double>(plan, forecast, observations, options, analysis); });
}

int enfilt_letkf_f32(enfilt_plan plan, const enfilt_ensemble_f32* forecast,
                     const enfilt_observations_f32* observations, const enfilt_etkf_options* options,
                     float* analysis) {
    return guarded([&] { letkf<float>(plan, forecast, observations, options, analysis); });
}

int enfilt_lenff_f64(enfilt_plan plan, const enfilt_ensemble_f64* forecast,
                     const enfilt_observations_f64* observations,
                     const enfilt_lenff_options* options, double* analysis) {
    return guarded([&] { lenff<double>(plan, forecast, observations, options, analysis); });
}

int enfilt_lenff_f32(enfilt_plan plan, const enfilt_ensemble_f32* forecast,
                     const enfilt_observations_f32* observations,
                     const enfilt_lenff_options* options, float* analysis) {
    return guarded([&] { lenff<float>(plan, forecast, observations, options, analysis); });
}
