// What the kernels are asked: plain structures of pointers and numbers, the same for every
// instruction set. Who fills them has checked them: kernels assume sizes, finiteness and
// non-overlapping output.
#pragma once

#include <cstddef>
#include <cstdint>

namespace enfilt {

using index_t = std::ptrdiff_t;

// A caller's way to stop a kernel that runs: see Interruptible in parallel.hpp.
struct Interrupt {
    bool (*asked)(void* context) = nullptr;  // called on the caller's thread, some 30 times a second
    void* context = nullptr;
    long long next = 0;  // when it is called again, in nanoseconds of a steady clock
    int stop = 0;        // not 0: all threads of the kernel stop
};

// Where several processes have a part of one state each: which components are this one's, and what
// makes sums over them sums over all. Kernels then cut the whole state into chunks, wherever parts
// begin, and number random draws by its components.
struct Share {
    index_t first = 0, whole = 0;  // components first .. first + D of `whole`
    // Adds up `sums` + `lost`, (n,) each, over the processes, and leaves the total in them. Called on
    // the caller's thread, as often and with the same n in all processes; it may throw.
    void (*add)(void* context, double* sums, double* lost, index_t n) = nullptr;
    void* context = nullptr;
};

// Component-wise observation operators known to the kernels, by name, and the structures in
// math/operators.hpp that are their bodies; beside them a function of the caller's.
#define ENFILT_POINTWISE(X)               \
    X(identity, IdentityOperator)         \
    X(arctan, ArctanOperator)             \
    X(tanh, TanhOperator)                 \
    X(sigmoid, SigmoidOperator)           \
    X(power_integer, IntegerPowerOperator) \
    X(power_real, RealPowerOperator)

enum class Pointwise : int {
#define ENFILT_NAMED(name, body) name,
    ENFILT_POINTWISE(ENFILT_NAMED)
#undef ENFILT_NAMED
        function
};

// A component-wise operator of the caller's: C functions of n values that stand one behind the
// other, called for a block at a time from several threads at once; x overlaps no result.
template <class T>
struct BlockFunction {
    void (*values)(const T* x, index_t n, T* h) = nullptr;
    void (*linearize)(const T* x, index_t n, T* h, T* slope) = nullptr;  // h, and its derivative
};

// What is observed of one ensemble: y_k = h(x_{c(k)}) + r_k eps, with components c(k) increasing.
template <class T>
struct Observed {
    Pointwise kind = Pointwise::identity;
    double parameter = 0;  // of the operator: sigmoid's alpha, the power's exponent
    BlockFunction<T> function;  // of Pointwise::function

    index_t size = 0;                     // m
    index_t offset = 0, stride = 1;       // c(k) = offset + k stride, where indices is null
    const std::int64_t* indices = nullptr;  // c(k), strictly increasing

    const T* y = nullptr;          // (m,); NaN: not observed
    const T* precision = nullptr;  // 1 / r_k^2: (m,), or one number
    bool precision_varies = false;
};

// One moment of an affine Gaussian path: mu_j = a1 x1_j + a0 x0_j, width s, and the field
// v_i = ratio z_i + sum_j w_ij (b1 x1_j + b0 x0_j) with w_ij = softmax_j(-half_precision
// |z_i - mu_j|^2 + l_j).
struct Stage {
    double a1, a0;
    double half_precision;  // 1 / (2 s^2)
    double ratio;           // s'/s
    double b1, b0;
    double remaining;  // 1 - t
    double strength;   // of the local guidance at t; 0: none
};

// The pairwise estimator for M points and N components (flow field, mixture score).
template <class T>
struct PairwiseProblem {
    index_t points = 0, members = 0, dim = 0;
    const T* x = nullptr;                 // (M, D)
    const T* x1 = nullptr;                // (N, D)
    const T* x0 = nullptr;                // (N, D); null where a0 = b0 = 0
    const double* log_weights = nullptr;  // (N,) or null
    Stage stage{};
    T* out = nullptr;                 // (M, D)
    double* squared_distances = nullptr;  // (M, N)
};

// A whole analysis of the ensemble flow filter.
template <class T>
struct FlowProblem {
    index_t members = 0, dim = 0, steps = 0;
    const T* x1 = nullptr;  // (N, D) forecast
    const T* x0 = nullptr;  // (N, D) previous analysis; null where the path does not use it
    T* z = nullptr;         // (N, D) out; overlaps neither

    double start_width = 0;               // s(0)
    const std::int64_t* start = nullptr;  // (N,): member i starts from row start[i]; null: row i
    const T* noise = nullptr;             // (N, D), or null: Philox
    std::uint64_t key = 0;
    std::uint32_t batch = 0;  // index of this ensemble in its batch

    const Stage* stages = nullptr;        // steps (Euler) or steps + 1 (Heun)
    bool heun = false;
    const double* log_weights = nullptr;  // (N,) or null
    const double* gains = nullptr;        // covariance guidance: one (N, N) per stage; else null
    const Observed<T>* observed = nullptr;  // where guidance needs it in the steps
};

// One step of a reverse diffusion,
//
//     S_i = ratio x_i + sum_j w_ij pull x1_j - damping grad J(x_i), clipped,
//     x_i <- keep x_i + gain S_i + spread xi_i,
//
// with w_ij = softmax_j(-half_precision |x_i - centre x1_j|^2).
struct DiffusionStep {
    double centre;          // alpha
    double half_precision;  // 1 / (2 beta^2)
    double ratio, pull;     // -1 / beta^2, alpha / beta^2
    double damping;         // of the likelihood at t
    double keep, gain;      // 1 - dt f; dt g^2, or half of it
    double spread;          // g sqrt(dt); 0: no noise is drawn
};

// A whole analysis of the ensemble score filter.
template <class T>
struct DiffusionProblem {
    index_t members = 0, dim = 0, steps = 0;
    const T* x1 = nullptr;  // (N, D) forecast
    T* x = nullptr;         // (N, D) out; does not overlap it

    // (steps + 1, N, D), slice 0 the start and slice k + 1 of step k; (1, N, D) where no step has
    // a spread; null: Philox
    const T* noise = nullptr;
    std::uint64_t key = 0;
    std::uint32_t batch = 0;  // index of this ensemble in its batch

    const DiffusionStep* schedule = nullptr;  // (steps,)
    double score_limit = 0;                   // infinity: none
    bool paired = false;                      // w_ij = 1 for i = j in place of the softmax
    bool standardize = false;                 // the start has mean 0 and deviation 1
    const Observed<T>* observed = nullptr;    // never null
};

// One evaluation of a sampler in reduced form: the weights w_ij = softmax_j(-half_precision
// |z_i - mu_j|^2 + l_j), mu_j = a1 x1_j + a0 x0_j, and what they mix, b1 x1_j + b0 x0_j.
struct ReducedStage {
    double a1, a0, half_precision, b1, b0;
};

// z_i <- keep z_i + pull sum_j w_ij (b1 x1_j + b0 x0_j) + towards y, for components of one group.
struct ReducedMap {
    double keep, pull, towards;
};

// A whole analysis by a sampler whose steps are linear, with observations that pick components.
template <class T>
struct ReducedProblem {
    index_t members = 0, dim = 0, steps = 0;
    const T* x1 = nullptr;  // (N, D) forecast
    const T* x0 = nullptr;  // (N, D) previous analysis; null where it is not used
    T* z = nullptr;         // (N, D) out; overlaps neither

    double start_x1 = 0, start_x0 = 0, start_width = 0;  // z(0)_i = these times x1_j, x0_j, eps_i
    const std::int64_t* start = nullptr;  // (N,): j of each i; null: i itself
    const T* noise = nullptr;             // (N, D), or null: Philox
    std::uint64_t key = 0;
    std::uint32_t batch = 0;   // index of this ensemble in its batch
    bool standardize = false;  // eps has mean 0 and deviation 1

    const ReducedStage* stages = nullptr;  // steps (Euler) or steps + 1 (Heun)
    const ReducedMap* maps = nullptr;      // (stages, groups), a step of Euler's each
    bool heun = false;
    bool paired = false;                  // w_ij = 1 for i = j in place of the softmax
    const double* log_weights = nullptr;  // (N,) or null
    const double* gains = nullptr;        // covariance guidance: one (N, N) per stage; else null

    // Components by their 1/r^2; 0, the first, of those that are not observed.
    index_t groups = 1;
    const double* precisions = nullptr;     // (groups,)
    const Observed<T>* observed = nullptr;  // null: a single group
};

// The ensemble transform Kalman filter, from h(x) of the members.
template <class T>
struct EtkfProblem {
    index_t members = 0, dim = 0, observations = 0;
    const T* x = nullptr;               // (N, D) forecast
    T* out = nullptr;                   // (N, D); does not overlap it
    const T* values = nullptr;          // (N, m): h(x)
    const T* y = nullptr;               // (m,); NaN: not observed
    const double* precision = nullptr;  // (m,): 1/r^2
    const double* rotation = nullptr;   // (N, N), orthogonal, keeps the mean; or null
};

// What every form of the local ensemble transform Kalman filter works on.
template <class T>
struct LetkfEnsemble {
    index_t members = 0, dim = 0;
    const T* x = nullptr;              // (N, D) forecast
    T* out = nullptr;                  // (N, D); does not overlap x
    const double* rotation = nullptr;  // (N, N), orthogonal, keeps the mean; or null
};

// On a regular grid: each component sees the same window of places about it.
template <class T>
struct LetkfWindow : LetkfEnsemble<T> {
    index_t rows = 1, columns = 0;  // rows columns = D
    bool periodic = true;
    index_t before[2] = {0, 0}, behind[2] = {0, 0};  // reach; periodic: a place at most once
    index_t count = 0;                               // places in the window
    const std::int64_t* offsets = nullptr;           // (count, 2): rows and columns away
    const double* rho = nullptr;                     // (count,), above zero
    const Observed<T>* observed = nullptr;           // never null
};

// Place i sees observations indices[starts[i]] .. [starts[i + 1] - 1]. Components
// components[owners[i]] .. [owners[i + 1] - 1] are there; where these are null, first + i is.
struct PlaceLists {
    index_t first = 0, count = 0;
    const std::int64_t* starts = nullptr;  // (count + 1,)
    const std::int64_t* indices = nullptr;
    const double* rho = nullptr;               // as indices, above zero
    const std::int64_t* owners = nullptr;      // (count + 1,)
    const std::int64_t* components = nullptr;  // no component twice
};

template <class T>
struct LetkfLists : LetkfEnsemble<T>, PlaceLists {
    index_t observations = 0;  // m
    // (m, N + 1): anomalies of h, then the innovation, each over r sqrt(N - 1); no missing ones
    const T* rows = nullptr;
    const double* power = nullptr;  // (m,): sum of squares of a row's anomalies
};

// The rows of LetkfLists from h(x) of the members.
template <class T>
struct LetkfRows {
    index_t members = 0, observations = 0, count = 0;
    const std::int64_t* chosen = nullptr;  // (count,), which observations are seen
    const T* values = nullptr;             // (N, m): h(x)
    const T* y = nullptr;                  // (m,)
    const T* precision = nullptr;          // 1/r^2: (m,), or one number
    bool precision_varies = false;
    T* rows = nullptr;        // (count, N + 1)
    double* power = nullptr;  // (count,)
};

// Which observations are less than a distance from places. Euclidean, with axes whose ends may be
// joined; or with a radius, of which the first three axes are a sphere's: along great circles.
struct NearPairs {
    index_t places = 0, observations = 0, axes = 0;
    const double* where = nullptr;   // (places, axes)
    const double* seen = nullptr;    // (observations, axes)
    const double* period = nullptr;  // (axes,): the length of joined ones, where x lies in [0, it)
    double radius = 0;               // 0: none
    double reach = 0;

    std::int64_t* starts = nullptr;   // (places + 1,); counted into [1:], or given and summed up
    std::int32_t* indices = nullptr;  // in order; null: they are counted
    double* distances = nullptr;      // as indices
};

// Which of such pairs weigh something: lists of places, of some of the observations.
struct TaperPairs {
    index_t places = 0;
    const std::int64_t* chosen = nullptr;        // (places,) of the pairs' places; null: all
    const std::int64_t* begins = nullptr;        // as NearPairs::starts
    const std::int32_t* observations = nullptr;  // as NearPairs::indices
    const double* distances = nullptr;
    const std::int64_t* numbers = nullptr;  // of each observation in the lists, or -1; they increase
    bool step = false;                      // one within the cutoff; else Gaspari and Cohn's
    bool varies = false;                    // over observations, by their numbers
    const double *cutoffs = nullptr, *amplitudes = nullptr;

    std::int64_t* starts = nullptr;   // (places + 1,), as NearPairs::starts
    std::int64_t* indices = nullptr;  // null: they are counted
    double* rho = nullptr;
};

// The localized flow filter on a regular grid: each component sees the same window about it.
template <class T>
struct LenffWindow {
    index_t members = 0, dim = 0, steps = 0;
    const T* x = nullptr;  // (N, D) forecast
    T* out = nullptr;      // (N, D); does not overlap it
    const double* pseudo_times = nullptr;  // (steps,) w_k

    index_t rows = 1, columns = 0;  // rows columns = D
    bool periodic = true;
    index_t count = 0;                      // places in the window; periodic: at most once
    const std::int64_t* offsets = nullptr;  // (count, 2): rows and columns away
    const double* rho = nullptr;            // (count,), above zero
    const Observed<T>* observed = nullptr;  // never null
};

// The localized flow filter from lists; several of each kind, one for some of the places each.
template <class T>
struct LenffLists {
    index_t members = 0, dim = 0, observations = 0, steps = 0;
    T* x = nullptr;                        // (N, D): the forecast, which becomes the analysis
    const double* pseudo_times = nullptr;  // (steps,) w_k
    const T* y = nullptr;                  // (m,), none missing
    const double* precision = nullptr;     // (m,): 1/r^2

    // h(x), (N, m), of the only step; or where it is null, `moved`; or h of the components
    // `columns` of x.
    const T* values = nullptr;
    T* moved = nullptr;  // (N, m): h(x), which moves along; or null
    const Observed<T>* operation = nullptr;   // of which only the function is used
    const std::int64_t* columns = nullptr;    // (m,)

    const PlaceLists *of_state = nullptr, *of_moved = nullptr, *of_observations = nullptr;
    index_t state_parts = 0, moved_parts = 0, observation_parts = 0;
};

// How an ensemble is widened about its mean; inflation.hpp has the formulas.
enum class Inflate : int { multiplicative, rtpp, rtps };

template <class T>
struct InflationProblem {
    index_t members = 0, dim = 0;
    Inflate kind = Inflate::multiplicative;
    const T* x = nullptr;         // (N, D)
    const T* forecast = nullptr;  // (N, D); null where the kind does not use it
    const T* amount = nullptr;    // (D,), or one number; 0: the component stays as it is
    bool amount_varies = false;
    T* out = nullptr;             // (N, D); x itself is allowed
};

// What the innovations of an ensemble tell of its variance.
template <class T>
struct InnovationProblem {
    index_t members = 0, dim = 0;
    const T* x = nullptr;                   // (N, D)
    const Observed<T>* observed = nullptr;  // never null
    // (4,), over what is observed: its number, sum p/r^2, sum (p/r^2)^2, sum d^2/r^2
    double* sums = nullptr;
    T* departures = nullptr;  // (m,): d = y - mean h, NaN where y is; or null
    T* variances = nullptr;   // (m,), with departures: p, the variance of h, NaN where y is
};

// Sums over components from which the scores of an ensemble follow; all float64.
struct EnsembleSums {
    double squared_error = 0;  // sum_d (mean - truth)^2
    double variance = 0;       // sum_d variance (N - 1)
    double crps = 0;           // sum_d empirical CRPS
    double absolute = 0;       // sum_d mean over members of |x - truth|
};

template <class T>
struct ScoreProblem {
    index_t members = 0, dim = 0;
    const T* x = nullptr;      // (N, D)
    const T* truth = nullptr;  // (D,)
    EnsembleSums* sums = nullptr;
    double* to_members = nullptr;       // (N, N) squared distances
    double* to_truth = nullptr;         // (N,)
    std::int64_t* ranks = nullptr;      // (N + 1,) counts of the truth's rank
};

template <class T>
struct Lorenz96Problem {
    index_t rows = 0, dim = 0, steps = 0;
    double dt = 0, forcing = 0;
    const T* x = nullptr;  // (rows, D)
    T* out = nullptr;      // (rows, D); x itself is allowed
};

// Steps of (p, u, v) on n x n cells of a periodic square, x along rows; n at least 2.
template <class T>
struct NavierStokesProblem {
    index_t rows = 0, n = 0, steps = 0;
    index_t iterations = 0;  // of the pressure, in each step
    double dt = 0, spacing = 0, viscosity = 0;
    const T* forcing = nullptr;  // (n,): of u, a number for each row of cells
    const T* x = nullptr;        // (rows, 3, n, n)
    T* out = nullptr;            // as x; x itself is allowed
};

}  // namespace enfilt
