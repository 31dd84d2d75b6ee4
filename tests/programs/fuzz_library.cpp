// Calls of libenfilt with arguments that nobody means: fuzz_library CALLS SEED.
//
// Arrays are on the heap and as long as their sizes say, so that the address sanitizer sees what lies
// beside them. Each call returns 0 and finite numbers, or the code of an error and a message.
#include <enfilt.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <vector>

namespace {

std::mt19937_64 random_bits;

std::int64_t below(std::int64_t n) {
    return static_cast<std::int64_t>(random_bits() % static_cast<std::uint64_t>(n));
}
bool rarely(int one_of) { return below(one_of) == 0; }
double uniform(double low, double high) {
    return low + (high - low) * static_cast<double>(random_bits() >> 11) * 0x1p-53;
}

// A number that fits mostly, and else none that anybody means.
double number(double low, double high) {
    if (!rarely(12)) return uniform(low, high);
    constexpr double odd[] = {0.0, -1.0, 1e-320, 1e308, -1e308, 1e20};
    switch (below(8)) {
        case 0: return std::numeric_limits<double>::quiet_NaN();
        case 1: return std::numeric_limits<double>::infinity();
        default: return odd[below(6)];
    }
}
// A size, or one that is none or overflows; but never one larger than the array that anybody has.
std::int64_t size(std::int64_t n) {
    if (!rarely(25)) return n;
    constexpr std::int64_t odd[] = {0, -1, INT64_MIN, INT64_MAX, INT64_C(1) << 61, INT64_C(1) << 58};
    return odd[below(6)];
}
std::int32_t choice(int count) {
    return rarely(20) ? static_cast<std::int32_t>(random_bits()) : static_cast<std::int32_t>(below(count));
}

template <class T>
using Block = std::unique_ptr<T[]>;

template <class T>
Block<T> values(std::int64_t n, double spread = 3) {
    Block<T> made(new T[static_cast<std::size_t>(n)]);
    for (std::int64_t k = 0; k < n; ++k) made[static_cast<std::size_t>(k)] = static_cast<T>(uniform(-spread, spread));
    if (n > 0 && rarely(15))
        made[static_cast<std::size_t>(below(n))] = static_cast<T>(number(0, 1));
    return made;
}

// Where it begins, or null, or half a number further.
template <class T>
T* pointer(const Block<T>& block) {
    if (rarely(40)) return nullptr;
    if (rarely(80)) return reinterpret_cast<T*>(reinterpret_cast<char*>(block.get()) + sizeof(T) / 2);
    return block.get();
}

struct Double {
    using T = double;
    using Ensemble = enfilt_ensemble_f64;
    using Observations = enfilt_observations_f64;
    static constexpr auto enff = enfilt_enff_f64;
    static constexpr auto ensf = enfilt_ensf_f64;
    static constexpr auto etkf = enfilt_etkf_f64;
    static constexpr auto letkf = enfilt_letkf_f64;
    static constexpr auto lenff = enfilt_lenff_f64;
    static constexpr auto inflate = enfilt_inflate_f64;
    static constexpr auto lorenz96 = enfilt_lorenz96_f64;
    static constexpr auto flow_field = enfilt_flow_field_f64;
    static constexpr auto mixture_score = enfilt_mixture_score_f64;
    static constexpr auto log_weights = enfilt_pairwise_log_weights_f64;
    static constexpr auto normals = enfilt_normals_f64;
};
struct Single {
    using T = float;
    using Ensemble = enfilt_ensemble_f32;
    using Observations = enfilt_observations_f32;
    static constexpr auto enff = enfilt_enff_f32;
    static constexpr auto ensf = enfilt_ensf_f32;
    static constexpr auto etkf = enfilt_etkf_f32;
    static constexpr auto letkf = enfilt_letkf_f32;
    static constexpr auto lenff = enfilt_lenff_f32;
    static constexpr auto inflate = enfilt_inflate_f32;
    static constexpr auto lorenz96 = enfilt_lorenz96_f32;
    static constexpr auto flow_field = enfilt_flow_field_f32;
    static constexpr auto mixture_score = enfilt_mixture_score_f32;
    static constexpr auto log_weights = enfilt_pairwise_log_weights_f32;
    static constexpr auto normals = enfilt_normals_f32;
};

std::int64_t of_codes[9];

// The code of a call that wrote `n` numbers, if it did.
template <class T>
void judge(const char* name, int code, const T* written, std::int64_t n) {
    const auto wrong = [&](const char* what) {
        std::printf("%s returned %d (%s): %s\n", name, code, enfilt_last_error(), what);
        std::exit(1);
    };
    if (code < 0 || code > ENFILT_ERROR_BUSY) wrong("no code that it may have");
    ++of_codes[code];
    if (code != ENFILT_OK && std::strlen(enfilt_last_error()) < 8) wrong("without a message");
    for (std::int64_t k = 0; code == ENFILT_OK && k < n; ++k)
        if (!std::isfinite(written[k])) wrong("a result that is not finite");
}

template <class Options>
void widen(Options& options) {
    options.inflation = choice(4);
    options.inflation_amount = number(0, 1.2);
    if (rarely(40)) options.size = static_cast<std::size_t>(below(200));
    if (rarely(40)) options.reserved = -1;
}

std::vector<enfilt_plan> plans;

void destroy(std::size_t k) {
    const int code = enfilt_plan_destroy(plans[k]);
    judge<double>("plan_destroy", code, nullptr, 0);
    if (!rarely(3)) {  // else it is used after that
        plans[k] = plans.back();
        plans.pop_back();
    }
}

Block<std::int64_t> lists(std::int64_t count, std::int64_t size_, Block<std::int64_t>& starts,
                          Block<double>& rho) {
    std::vector<std::int64_t> indices;
    starts.reset(new std::int64_t[static_cast<std::size_t>(count + 1)]);
    for (std::int64_t i = 0; i <= count; ++i) {
        starts[static_cast<std::size_t>(i)] = static_cast<std::int64_t>(indices.size());
        for (std::int64_t s = 0; i < count && s < size_; ++s)
            if (rarely(3)) indices.push_back(rarely(200) ? size(s) : s);
    }
    const std::size_t n = indices.size();
    rho.reset(new double[n]);
    for (std::size_t k = 0; k < n; ++k) rho[k] = rarely(200) ? number(0, 2) : uniform(0.01, 1);
    Block<std::int64_t> found(new std::int64_t[n]);
    for (std::size_t k = 0; k < n; ++k) found[k] = indices[k];
    return found;
}

void make_plan(std::int64_t dim, std::int64_t m) {
    enfilt_plan plan{0};
    enfilt_taper taper{number(0.5, 8), choice(2), 0};
    int code;
    switch (below(3)) {
        case 0:
            code = enfilt_plan_grid(size(1 + dim % 2), size(dim / (1 + dim % 2)),
                                    static_cast<int>(below(2)), number(0.5, 2), rarely(60) ? nullptr : &taper,
                                    rarely(60) ? nullptr : &plan);
            break;
        case 1: {
            const std::int64_t axes = 1 + below(3);
            Block<double> where = values<double>(dim * axes, 20), seen = values<double>(m * axes, 20);
            Block<double> period = values<double>(axes, 20);
            const enfilt_places places{size(axes), rarely(2) ? nullptr : pointer(period), size(dim),
                                       pointer(where), size(dim), nullptr, size(m), pointer(seen)};
            code = enfilt_plan_places(&places, &taper, &plan);
            break;
        }
        default: {
            Block<std::int64_t> starts, between_starts;
            Block<double> rho, between_rho;
            Block<std::int64_t> indices = lists(dim, m, starts, rho);
            Block<std::int64_t> others = lists(m, m, between_starts, between_rho);
            const enfilt_lists of_state{size(dim), pointer(starts), pointer(indices), pointer(rho)};
            const enfilt_lists between{size(m), pointer(between_starts), pointer(others),
                                       pointer(between_rho)};
            code = enfilt_plan_lists(&of_state, size(dim), nullptr, size(m),
                                     rarely(4) ? nullptr : &between, &plan);
        }
    }
    judge<double>("plan", code, nullptr, 0);
    if (code == ENFILT_OK) plans.push_back(plan);
    if (plans.size() > 40) destroy(static_cast<std::size_t>(below(40)));
}

template <class D>
void call() {
    using T = typename D::T;
    const std::int64_t n = 2 + below(5), m = 1 + below(12);
    const std::int64_t dim = rarely(3) ? 1 + below(4) : 12 + below(30);
    Block<T> x = values<T>(n * dim), before = values<T>(n * dim), out(new T[static_cast<std::size_t>(n * dim)]);
    const typename D::Ensemble forecast{pointer(x), size(n), size(dim), rarely(20) ? size(dim) : 0};
    Block<T> y = values<T>(m), h = values<T>(n * m);
    if (rarely(3)) y[static_cast<std::size_t>(below(m))] = std::numeric_limits<T>::quiet_NaN();
    Block<double> std = values<double>(m, 1);
    for (std::int64_t k = 0; k < m; ++k) std[static_cast<std::size_t>(k)] = rarely(200) ? number(0, 1) : uniform(0.1, 2);
    typename D::Observations observations{};
    observations.size = size(m);
    observations.y = pointer(y);
    observations.std = pointer(std);
    observations.std_size = rarely(2) ? size(m) : size(1);
    observations.function = choice(6);
    observations.parameter = number(1, 3);
    observations.offset = size(0);
    observations.stride = size(1);
    Block<std::int64_t> components(new std::int64_t[static_cast<std::size_t>(m)]);
    for (std::int64_t k = 0; k < m; ++k) components[static_cast<std::size_t>(k)] = rarely(200) ? size(k) : k * (dim / m > 0 ? dim / m : 1);
    if (rarely(2)) observations.components = pointer(components);
    if (rarely(2)) observations.values = pointer(h), observations.function = 0;
    const typename D::Ensemble* given = rarely(60) ? nullptr : &forecast;
    const typename D::Observations* seen = rarely(60) ? nullptr : &observations;
    T* to = rarely(60) ? x.get() : pointer(out);
    const std::int64_t steps = rarely(40) ? size(0) : 1 + below(6);
    const std::int64_t few = steps > 1000000 ? -1 : steps;
    enfilt_plan plan{below(1000)};
    if (!plans.empty() && !rarely(10)) plan = plans[static_cast<std::size_t>(below(static_cast<std::int64_t>(plans.size())))];
    int code = 0;
    const char* name = "";
    switch (below(12)) {
        case 0: {
            name = "enff";
            enfilt_enff_options options;
            enfilt_enff_options_init(&options);
            widen(options);
            options.path = choice(3), options.guidance = choice(4), options.sampler = choice(2);
            options.algorithm = choice(3), options.steps = few, options.key = random_bits();
            options.sigma_min = rarely(2) ? 0 : number(0.01, 2), options.strength = number(0, 0.1);
            std::vector<std::int64_t> start(static_cast<std::size_t>(n));
            for (std::int64_t& row : start) row = rarely(60) ? size(0) : below(n);
            code = D::enff(given, pointer(before), seen, rarely(30) ? nullptr : &options,
                           rarely(2) ? nullptr : pointer(before), rarely(2) ? nullptr : start.data(), to);
            break;
        }
        case 1: {
            name = "ensf";
            enfilt_ensf_options options;
            enfilt_ensf_options_init(&options);
            widen(options);
            options.score = choice(2), options.sampler = choice(2), options.algorithm = choice(3);
            options.standardize_start = choice(2), options.steps = few;
            options.eps_alpha = number(0.1, 1), options.eps_beta = number(0, 0.9);
            options.score_limit = rarely(2) ? 0 : number(1, 50);
            Block<T> noise = values<T>((steps < 100 && steps > 0 ? steps + 1 : 100) * n * dim);
            code = D::ensf(given, seen, &options, rarely(2) || few < 0 ? nullptr : pointer(noise), to);
            break;
        }
        case 2: case 3: {
            enfilt_etkf_options options;
            enfilt_etkf_options_init(&options);
            widen(options);
            Block<double> rotation = values<double>(n * n);
            if (rarely(4)) options.rotation = pointer(rotation);
            name = rarely(2) ? "etkf" : "letkf";
            code = *name == 'e' ? D::etkf(given, seen, &options, to)
                                : D::letkf(plan, given, seen, &options, to);
            break;
        }
        case 4: case 5: {
            name = "lenff";
            enfilt_lenff_options options;
            enfilt_lenff_options_init(&options);
            widen(options);
            options.steps = few, options.growth = number(0.5, 20);
            code = D::lenff(plan, given, seen, &options, to);
            break;
        }
        case 6:
            name = "inflate";
            code = D::inflate(choice(4), number(0, 1.2), given, to);
            break;
        case 7:
            name = "lorenz96";
            code = D::lorenz96(given, number(0.001, 0.05), few, number(0, 10), to);
            break;
        case 8:
            name = "flow_field";
            code = D::flow_field(given, given, pointer(before), choice(3), rarely(2) ? 0 : number(0.1, 3),
                                 number(0, 1), nullptr, to);
            break;
        case 9:
            name = "mixture_score";
            code = D::mixture_score(given, given, number(0, 1), number(0.5, 2), nullptr, to);
            break;
        case 10: {
            Block<double> weights(new double[static_cast<std::size_t>(n * n)]);
            code = D::log_weights(given, given, number(0, 1), number(0.5, 2), pointer(weights));
            return judge("pairwise_log_weights", code, weights.get(), n * n);
        }
        default:
            make_plan(dim, m);
            return;
    }
    judge(name, code, to, n * dim);
}

}  // namespace

int main(int count, char** arguments) {
    const long calls = count > 1 ? std::atol(arguments[1]) : 10000;
    random_bits.seed(count > 2 ? static_cast<unsigned long>(std::atol(arguments[2])) : 0);
    for (long k = 0; k < calls; ++k)
        if (rarely(2))
            call<Double>();
        else
            call<Single>();
    std::printf("%ld calls, by code:", calls);
    for (const std::int64_t n : of_codes) std::printf(" %lld", static_cast<long long>(n));
    std::printf("\n");
    return of_codes[ENFILT_OK] > calls / 4 ? 0 : 1;
}
