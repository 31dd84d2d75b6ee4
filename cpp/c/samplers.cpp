// The filters that draw members along a path: EnFF and EnSF.
#include <enfilt/schedules.hpp>

#include <limits>

#include "arguments.hpp"

namespace enfilt::c {

namespace {

// Whether kernels may take the reduced form, and do.
template <class T>
bool reduces(std::int32_t algorithm, const Observing<T>& observing, bool in_steps, bool in_parts,
             const EnsembleOf<T>& e, std::int64_t evaluations, bool paired) {
    if (algorithm == ENFILT_ALGORITHM_STREAMING) return false;
    const bool automatic = algorithm == ENFILT_ALGORITHM_AUTO;
    // sizes differ from process to process, and all have to take the same
    if (automatic && (in_parts || !reduced_pays(e.members, e.dim, evaluations, paired)))
        return false;
    const char* reason = nullptr;
    if (in_steps && (observing.given.values || observing.given.function != ENFILT_IDENTITY))
        reason = "it observes components as they are, ENFILT_IDENTITY";
    if (in_steps && in_parts && observing.exact.size() > 1)
        reason = "a state in parts has one std for all observations";
    std::size_t distinct = 0;
    T known[most_errors] = {};
    for (std::size_t k = 0; in_steps && k < observing.precision.size() && !reason; ++k) {
        std::size_t i = 0;
        while (i < distinct && known[i] != observing.precision[k]) ++i;
        if (i < distinct) continue;
        if (distinct == most_errors) reason = "it takes at most 8 distinct values of std";
        else known[distinct++] = observing.precision[k];
    }
    if (reason && !automatic)
        fail(ENFILT_ERROR_ARGUMENT, "options->algorithm=ENFILT_ALGORITHM_REDUCED can't run this: %s",
             reason);
    return !reason;
}

// 0, and the distinct precisions in the order in which they come.
template <class T>
std::vector<double> groups_of(const Observing<T>& observing, bool in_steps) {
    std::vector<double> found{0.0};
    if (!in_steps) return found;
    for (const T precision : observing.precision) {
        const double value = static_cast<double>(precision);
        bool known = false;
        for (const double other : found) known = known || other == value;
        if (!known) found.push_back(value);
    }
    return found;
}

// Whether nothing at all is observed, by any process; then the analysis is the forecast.
template <class T>
bool nothing_seen(const Observing<T>& observing, const Sums& sums, const EnsembleOf<T>& forecast,
                  T* analysis) {
    if (sums.total(static_cast<double>(observing.seen)) > 0) return false;
    copy_ensemble(forecast, analysis);
    return true;
}

template <class T>
void enff(const EnsembleOf<T>* forecast, const T* previous, const ObservationsOf<T>* observations,
          const enfilt_enff_options* given, const T* noise, const std::int64_t* start, T* analysis) {
    const enfilt_enff_options o = options_of(given, enfilt_enff_options_init);
    check_ensemble<T>("forecast", forecast);
    const EnsembleOf<T>& e = *forecast;
    check_result_memory<T>("analysis", analysis, e.members, e.dim, "forecast", e);
    check_choice("options->path", o.path, ENFILT_PATH_VE);
    check_choice("options->guidance", o.guidance, ENFILT_GUIDANCE_COVARIANCE);
    check_choice("options->sampler", o.sampler, ENFILT_HEUN);
    check_choice("options->algorithm", o.algorithm, ENFILT_ALGORITHM_REDUCED);
    check_steps(o.steps);
    check_number("options->strength", o.strength, o.strength >= 0, "a number of at least 0");
    check_inflation(o.inflation, o.inflation_amount);
    check_part(o.allreduce, o.first_component, o.whole, e.dim);
    const Path path = static_cast<Path>(o.path);
    const double sigma = o.sigma_min == 0 ? default_sigma_min(path) : o.sigma_min;
    check_number("options->sigma_min", sigma, sigma > 0 && (path != Path::ve || sigma < 25),
                 path == Path::ve ? "a number above zero and below 25" : "a number above zero");
    if (path == Path::f2p) {
        if (!previous)
            fail(ENFILT_ERROR_ARGUMENT,
                 "previous is null: ENFILT_PATH_F2P starts from the analysis that the forecast was "
                 "made from; in the first cycle pass the forecast itself");
        check_optional("previous", previous, e.members, e.dim, analysis, e.members * e.dim);
        if (o.guidance == ENFILT_GUIDANCE_COVARIANCE)
            fail(ENFILT_ERROR_ARGUMENT,
                 "options->guidance=ENFILT_GUIDANCE_COVARIANCE can't go with ENFILT_PATH_F2P, on which "
                 "a point fixes its forecast member almost surely: expected OT or VE");
    }
    check_optional("noise", noise, e.members, e.dim, analysis, e.members * e.dim);
    if (start) {
        check_pointer("start", start);
        for (std::int64_t i = 0; i < e.members; ++i)
            if (start[i] < 0 || start[i] >= e.members)
                fail(ENFILT_ERROR_ARGUMENT, "start[%lld] is %lld: expected from 0 to %lld", shown(i),
                     shown(start[i]), shown(e.members - 1));
    }
    const Sums sums(o.allreduce, o.context, o.first_component, o.whole);
    const Observing<T> observing(observations, e, analysis, o.allreduce != nullptr);
    const bool local = o.guidance == ENFILT_GUIDANCE_LOCAL;
    const bool covariance = o.guidance == ENFILT_GUIDANCE_COVARIANCE;
    if (local || covariance) observing.need_function("this guidance");

    const bool heun = o.sampler == ENFILT_HEUN;
    const std::int64_t count = o.steps + (heun ? 1 : 0);
    std::vector<Stage> stages;
    stages.reserve(static_cast<std::size_t>(count));
    double start_width = 0;
    for (std::int64_t k = 0; k < count; ++k) {
        double width = 0;
        const double t = static_cast<double>(k) / static_cast<double>(o.steps);
        stages.push_back(flow_stage(path, sigma, t, local ? o.strength : 0.0, &width));
        if (k == 0) start_width = width;
        if (!(width >= 1e-150 && width <= 1e150))  // squares of it are numbers
            fail(ENFILT_ERROR_ARGUMENT, "options->sigma_min=%g: expected widths from 1e-150 to 1e150, "
                 "and at t=%g there is one of %g", sigma, t, width);
    }
    if (nothing_seen(observing, sums, e, analysis)) return;

    const std::size_t n = static_cast<std::size_t>(e.members);
    const Observed<T> seen = observing.given.values ? observing.of_values() : observing.of_state();
    std::vector<double> log_weights, gains;
    if (o.guidance == ENFILT_GUIDANCE_MONTE_CARLO) {
        log_weights.resize(n);
        const bool given_values = observing.given.values != nullptr;
        sums.over([&] {
            kernels<T>().misfit(given_values ? observing.given.values : e.data, e.members,
                                given_values ? observing.given.size : e.dim, seen,
                                log_weights.data());
        });
        for (double& weight : log_weights) weight = -weight;
    }
    if (covariance) {
        std::vector<double> states(n * n), observed(n * n), scratch(2 * n);
        sums.over([&] {
            kernels<T>().anomaly_grams(e.data, e.members, e.dim, seen, states.data(),
                                       observed.data());
        });
        gains.resize(n * n * stages.size());
        for (std::size_t k = 0; k < stages.size(); ++k)
            covariance_gain(stages[k], e.members, states.data(), observed.data(),
                            gains.data() + k * n * n, scratch.data());
    }
    const auto fill = [&](auto& p) {
        p.members = e.members;
        p.dim = e.dim;
        p.steps = o.steps;
        p.x1 = e.data;
        p.x0 = path == Path::f2p ? previous : nullptr;
        p.z = analysis;
        p.start_width = start_width;
        p.start = path == Path::f2p ? start : nullptr;
        p.noise = noise;
        p.key = o.key;
        p.heun = heun;
        p.log_weights = log_weights.empty() ? nullptr : log_weights.data();
        p.gains = gains.empty() ? nullptr : gains.data();
        p.observed = local || covariance ? &seen : nullptr;
    };
    const bool in_steps = local || covariance;
    if (reduces(o.algorithm, observing, in_steps, o.allreduce != nullptr, e, o.steps * (heun ? 2 : 1),
                false)) {
        const std::vector<double> groups = groups_of(observing, in_steps);
        std::vector<ReducedStage> points;
        std::vector<ReducedMap> maps;
        for (const Stage& stage : stages) {
            points.push_back(reduced_stage(stage));
            for (const double precision : groups)
                maps.push_back(reduced_map(stage, o.steps, precision));
        }
        ReducedProblem<T> p;
        fill(p);
        p.start_x1 = stages[0].a1;
        p.start_x0 = stages[0].a0;
        p.stages = points.data();
        p.maps = maps.data();
        p.groups = static_cast<index_t>(groups.size());
        p.precisions = groups.data();
        sums.over([&] { kernels<T>().reduced_analysis(p); });
    } else {
        FlowProblem<T> p;
        fill(p);
        p.stages = stages.data();
        sums.over([&] { kernels<T>().flow_analysis(p); });
    }
    finish(o.inflation, o.inflation_amount, e, analysis);
}

template <class T>
void ensf(const EnsembleOf<T>* forecast, const ObservationsOf<T>* observations,
          const enfilt_ensf_options* given, const T* noise, T* analysis) {
    const enfilt_ensf_options o = options_of(given, enfilt_ensf_options_init);
    check_ensemble<T>("forecast", forecast);
    const EnsembleOf<T>& e = *forecast;
    check_result_memory<T>("analysis", analysis, e.members, e.dim, "forecast", e);
    check_choice("options->score", o.score, ENFILT_PAIRED);
    check_choice("options->sampler", o.sampler, ENFILT_SDE);
    check_choice("options->algorithm", o.algorithm, ENFILT_ALGORITHM_REDUCED);
    check_choice("options->standardize_start", o.standardize_start, 1);
    check_steps(o.steps);
    check_number("options->eps_alpha", o.eps_alpha, o.eps_alpha > 1e-15 && o.eps_alpha <= 1,
                 "a number above 1e-15 and at most 1");
    check_number("options->eps_beta", o.eps_beta, o.eps_beta >= 0 && o.eps_beta < 1,
                 "a number of at least 0 and below 1");
    check_number("options->score_limit", o.score_limit, o.score_limit >= 0, "a number of at least 0");
    check_inflation(o.inflation, o.inflation_amount);
    check_part(o.allreduce, o.first_component, o.whole, e.dim);
    const bool stochastic = o.sampler == ENFILT_SDE, paired = o.score == ENFILT_PAIRED;
    const bool linear = !stochastic && o.score_limit == 0;
    if (o.algorithm == ENFILT_ALGORITHM_REDUCED && !linear)
        fail(ENFILT_ERROR_ARGUMENT,
             "options->algorithm=ENFILT_ALGORITHM_REDUCED runs ENFILT_ODE without a score_limit: its "
             "steps must be linear");
    check_optional("noise", noise, stochastic ? (o.steps + 1) * e.members : e.members, e.dim, analysis,
                   e.members * e.dim);
    const Sums sums(o.allreduce, o.context, o.first_component, o.whole);
    const Observing<T> observing(observations, e, analysis, o.allreduce != nullptr);
    observing.need_function("EnSF");
    if (nothing_seen(observing, sums, e, analysis)) return;

    std::vector<DiffusionStep> schedule;
    schedule.reserve(static_cast<std::size_t>(o.steps));
    for (std::int64_t k = 0; k < o.steps; ++k)
        schedule.push_back(diffusion_step(k, o.steps, o.eps_alpha, o.eps_beta, stochastic));
    const Observed<T> seen = observing.of_state();
    const auto fill = [&](auto& p) {
        p.members = e.members;
        p.dim = e.dim;
        p.steps = o.steps;
        p.x1 = e.data;
        p.noise = noise;
        p.key = o.key;
        p.paired = paired;
        p.standardize = o.standardize_start != 0;
        p.observed = &seen;
    };
    if (linear && reduces(o.algorithm, observing, true, o.allreduce != nullptr, e, o.steps, paired)) {
        const std::vector<double> groups = groups_of(observing, true);
        std::vector<ReducedStage> points;
        std::vector<ReducedMap> maps;
        for (const DiffusionStep& step : schedule) {
            points.push_back(reduced_stage(step));
            for (const double precision : groups) maps.push_back(reduced_map(step, precision));
        }
        ReducedProblem<T> p;
        fill(p);
        p.z = analysis;
        p.start_width = 1;
        p.stages = points.data();
        p.maps = maps.data();
        p.groups = static_cast<index_t>(groups.size());
        p.precisions = groups.data();
        sums.over([&] { kernels<T>().reduced_analysis(p); });
    } else {
        DiffusionProblem<T> p;
        fill(p);
        p.x = analysis;
        p.schedule = schedule.data();
        p.score_limit = o.score_limit == 0 ? std::numeric_limits<double>::infinity() : o.score_limit;
        sums.over([&] { kernels<T>().diffusion_analysis(p); });
    }
    finish(o.inflation, o.inflation_amount, e, analysis);
}

}  // namespace

}  // namespace enfilt::c

using namespace enfilt::c;

void enfilt_enff_options_init(enfilt_enff_options* options) {
    if (!options) return;
    *options = {};
    options->size = sizeof *options;
    options->guidance = ENFILT_GUIDANCE_LOCAL;
    options->steps = 19;
    options->strength = 0.05;
    options->inflation_amount = 1;
}

void enfilt_ensf_options_init(enfilt_ensf_options* options) {
    if (!options) return;
    *options = {};
    options->size = sizeof *options;
    options->sampler = ENFILT_SDE;
    options->steps = 99;
    options->eps_alpha = 0.6;
    options->eps_beta = 0.075;
    options->inflation_amount = 1;
}

int enfilt_enff_f64(const enfilt_ensemble_f64* forecast, const double* previous,
                    const enfilt_observations_f64* observations, const enfilt_enff_options* options,
                    const double* noise, const int64_t* start, double* analysis) {
    return guarded([&] {
        enff<double>(forecast, previous, observations, options, noise, start, analysis);
    });
}

int enfilt_enff_f32(const enfilt_ensemble_f32* forecast, const float* previous,
                    const enfilt_observations_f32* observations, const enfilt_enff_options* options,
                    const float* noise, const int64_t* start, float* analysis) {
    return guarded([&] {
        enff<float>(forecast, previous, observations, options, noise, start, analysis);
    });
}

int enfilt_ensf_f64(const enfilt_ensemble_f64* forecast,
                    const enfilt_observations_f64* observations, const enfilt_ensf_options* options,
                    const double* noise, double* analysis) {
    return guarded([&] { ensf<double>(forecast, observations, options, noise, analysis); });
}

int enfilt_ensf_f32(const enfilt_ensemble_f32* forecast,
                    const enfilt_observations_f32* observations, const enfilt_ensf_options* options,
                    const float* noise, float* analysis) {
    return guarded([&] { ensf<float>(forecast, observations, options, noise, analysis); });
}
