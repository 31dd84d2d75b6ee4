/* enfilt's filters for C, and for all that calls C: libenfilt.
 *
 * An ensemble is an array (N, D): N members, a member a row, D components one behind the other. Rows
 * follow each other without gaps. Functions that end in _f64 take double, those in _f32 float.
 *
 * Every function that may fail returns ENFILT_OK or the code of an error, and enfilt_last_error() then
 * says what was wrong, with the name of the argument. No exception leaves the library and none ends
 * the program. When a call has failed, what it would have written holds no result.
 *
 * Numbers are those of the Python package of the same version, bit by bit, on the same processor.
 * Functions may be called from several threads at once. Each shares its work out to the threads of
 * OpenMP (OMP_NUM_THREADS); within a parallel region of the caller's it uses the one that calls. */
#ifndef ENFILT_H
#define ENFILT_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define ENFILT_API __attribute__((visibility("default")))
#else
#define ENFILT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What functions return. */
enum {
    ENFILT_OK = 0,
    ENFILT_ERROR_ARGUMENT = 1,   /* an argument does not fit */
    ENFILT_ERROR_NOT_FINITE = 2, /* an input holds NaN or infinity */
    ENFILT_ERROR_OVERFLOW = 3,   /* finite inputs lead to numbers that are too large */
    ENFILT_ERROR_MEMORY = 4,     /* there is no memory */
    ENFILT_ERROR_PLAN = 5,       /* no such plan: never made, or destroyed */
    ENFILT_ERROR_BUSY = 6,       /* the plan is in use by another thread */
    ENFILT_ERROR_PROCESSOR = 7,  /* this library is not built for the processor */
    ENFILT_ERROR_INTERNAL = 8    /* a defect of enfilt, or a callback threw an exception */
};

/* What the last call of this thread that failed says; valid until its next one. */
ENFILT_API const char* enfilt_last_error(void);
/* Such as "0.1.0". */
ENFILT_API const char* enfilt_version(void);
/* The instruction set in use, such as "v3"; "" where none can be. It is the best that the processor
 * has, or that which the environment's ENFILT_SIMD names. */
ENFILT_API const char* enfilt_simd(void);

/* ---- Ensembles and observations ---------------------------------------------------------------- */

typedef struct {
    const double* data;
    int64_t members; /* N */
    int64_t dim;     /* D */
    int64_t stride;  /* from row to row: D, or 0 for the same; other strides are an error */
} enfilt_ensemble_f64;

typedef struct {
    const float* data;
    int64_t members;
    int64_t dim;
    int64_t stride;
} enfilt_ensemble_f32;

/* Functions h of single components. */
enum {
    ENFILT_IDENTITY = 0,
    ENFILT_ARCTAN = 1,
    ENFILT_TANH = 2,
    ENFILT_SIGMOID = 3,       /* 1 / (1 + exp(-parameter x)) */
    ENFILT_POWER_INTEGER = 4, /* x^parameter */
    ENFILT_POWER_REAL = 5     /* sign(x) |x|^parameter */
};

/* y_k = h(x) + std_k eps. Either single components are observed through `function`, or `values` hold
 * h(x) of each member as the caller has computed it. */
typedef struct {
    int64_t size;              /* m, at least 1 */
    const double* y;           /* (m,); NaN: not observed */
    const double* std;         /* (std_size,): standard deviations of the errors */
    int64_t std_size;          /* m, or 1 for all alike */
    const double* values;      /* (N, m), or null */
    const int64_t* components; /* (m,), increasing; null: offset + k stride */
    int64_t offset;
    int64_t stride; /* at least 1 */
    double parameter;
    int32_t function;
    int32_t reserved; /* 0 */
} enfilt_observations_f64;

typedef struct {
    int64_t size;
    const float* y;
    const double* std;
    int64_t std_size;
    const float* values;
    const int64_t* components;
    int64_t offset;
    int64_t stride;
    double parameter;
    int32_t function;
    int32_t reserved;
} enfilt_observations_f32;

/* ---- Options ----------------------------------------------------------------------------------- */

/* Adds up n numbers of all processes, in place, to the same bits on each: MPI_Allreduce with MPI_SUM.
 * It is called on the thread that called enfilt, as often and with the same n on each process. */
typedef void (*enfilt_allreduce)(double* values, int64_t n, void* context);

/* How the analysis is widened about its mean. */
enum {
    ENFILT_INFLATION_NONE = 0,
    ENFILT_INFLATION_MULTIPLICATIVE = 1, /* the anomalies times amount, above 0 */
    ENFILT_INFLATION_RTPP = 2, /* relaxed to the forecast's anomalies by amount, from 0 to 1 */
    ENFILT_INFLATION_RTPS = 3  /* relaxed to the forecast's spread by amount, from 0 to 1 */
};

enum { ENFILT_PATH_F2P = 0, ENFILT_PATH_OT = 1, ENFILT_PATH_VE = 2 };
enum {
    ENFILT_GUIDANCE_NONE = 0,
    ENFILT_GUIDANCE_LOCAL = 1,
    ENFILT_GUIDANCE_MONTE_CARLO = 2,
    ENFILT_GUIDANCE_COVARIANCE = 3
};
enum { ENFILT_EULER = 0, ENFILT_HEUN = 1 };
enum { ENFILT_ODE = 0, ENFILT_SDE = 1 };
enum { ENFILT_MIXTURE = 0, ENFILT_PAIRED = 1 };
/* Of a state in parts (allreduce), ALGORITHM_AUTO is ALGORITHM_STREAMING. */
enum { ENFILT_ALGORITHM_AUTO = 0, ENFILT_ALGORITHM_STREAMING = 1, ENFILT_ALGORITHM_REDUCED = 2 };

/* Options are filled in by the function that ends in _init, and changed after that. `size` tells the
 * library which version of the structure it gets. */

/* The ensemble flow filter: Transue et al. (2025), arXiv:2508.13313. */
typedef struct {
    size_t size;
    int32_t path;      /* ENFILT_PATH_F2P */
    int32_t guidance;  /* ENFILT_GUIDANCE_LOCAL */
    int32_t sampler;   /* ENFILT_EULER */
    int32_t algorithm; /* ENFILT_ALGORITHM_AUTO */
    int64_t steps;     /* 19 */
    double sigma_min;  /* 0: the path's own, 0.01, of VE 1 */
    double strength;   /* of the local guidance: 0.05 */
    uint64_t key;      /* of the random numbers; another in each analysis */
    int64_t first_component; /* of a state in parts: where this one begins in the whole, */
    int64_t whole;              /* and how many components that has; else both are 0 */
    enfilt_allreduce allreduce; /* null: this process has the whole state */
    void* context;              /* given to allreduce */
    double inflation_amount;    /* 1 */
    int32_t inflation;          /* ENFILT_INFLATION_NONE */
    int32_t reserved;
} enfilt_enff_options;
ENFILT_API void enfilt_enff_options_init(enfilt_enff_options* options);

/* The ensemble score filter: Bao, Zhang, Zhang (2024), arXiv:2309.00983. */
typedef struct {
    size_t size;
    int32_t score;     /* ENFILT_MIXTURE */
    int32_t sampler;   /* ENFILT_SDE */
    int32_t algorithm; /* ENFILT_ALGORITHM_AUTO */
    int32_t standardize_start; /* 0 */
    int64_t steps;      /* 99 */
    double eps_alpha;   /* 0.6 */
    double eps_beta;    /* 0.075 */
    double score_limit; /* 0: none */
    uint64_t key;
    int64_t first_component;
    int64_t whole;
    enfilt_allreduce allreduce;
    void* context;
    double inflation_amount;
    int32_t inflation;
    int32_t reserved;
} enfilt_ensf_options;
ENFILT_API void enfilt_ensf_options_init(enfilt_ensf_options* options);

/* The Kalman filters in ensemble space: ETKF and LETKF. */
typedef struct {
    size_t size;
    const double* rotation;     /* (N, N), orthogonal, its rows sum to 1; or null */
    enfilt_allreduce allreduce; /* of the ETKF: where processes have observations of their own */
    void* context;
    double inflation_amount;
    int32_t inflation;
    int32_t reserved;
} enfilt_etkf_options;
ENFILT_API void enfilt_etkf_options_init(enfilt_etkf_options* options);

/* The localized ensemble flow filter. */
typedef struct {
    size_t size;
    int64_t steps; /* 10 */
    double growth; /* 10: the last step of pseudo-time over the first */
    double inflation_amount;
    int32_t inflation;
    int32_t reserved;
} enfilt_lenff_options;
ENFILT_API void enfilt_lenff_options_init(enfilt_lenff_options* options);

/* ---- Analyses ---------------------------------------------------------------------------------- */

/* `analysis` is (N, D) as the forecast and overlaps no input. `noise` holds standard normals in place
 * of those drawn by options->key, or is null. Where nothing is observed the analysis is the forecast. */

/* `previous` is the analysis that the forecast was made from, for ENFILT_PATH_F2P; else it is null.
 * noise: (N, D). start: (N,), the row that each member starts from, or null for its own. */
ENFILT_API int enfilt_enff_f64(const enfilt_ensemble_f64* forecast, const double* previous,
                               const enfilt_observations_f64* observations,
                               const enfilt_enff_options* options, const double* noise,
                               const int64_t* start, double* analysis);
ENFILT_API int enfilt_enff_f32(const enfilt_ensemble_f32* forecast, const float* previous,
                               const enfilt_observations_f32* observations,
                               const enfilt_enff_options* options, const float* noise,
                               const int64_t* start, float* analysis);

/* noise: (steps + 1, N, D) for ENFILT_SDE, (N, D) for ENFILT_ODE. */
ENFILT_API int enfilt_ensf_f64(const enfilt_ensemble_f64* forecast,
                               const enfilt_observations_f64* observations,
                               const enfilt_ensf_options* options, const double* noise,
                               double* analysis);
ENFILT_API int enfilt_ensf_f32(const enfilt_ensemble_f32* forecast,
                               const enfilt_observations_f32* observations,
                               const enfilt_ensf_options* options, const float* noise,
                               float* analysis);

ENFILT_API int enfilt_etkf_f64(const enfilt_ensemble_f64* forecast,
                               const enfilt_observations_f64* observations,
                               const enfilt_etkf_options* options, double* analysis);
ENFILT_API int enfilt_etkf_f32(const enfilt_ensemble_f32* forecast,
                               const enfilt_observations_f32* observations,
                               const enfilt_etkf_options* options, float* analysis);

/* ---- Localization ------------------------------------------------------------------------------ */

/* What each component of a state sees, made once. A plan is a number, so that one that was destroyed
 * is known for it. One call at a time uses it: another at the same time gets ENFILT_ERROR_BUSY. */
typedef struct {
    int64_t id;
} enfilt_plan;

enum { ENFILT_GASPARI_COHN = 0, ENFILT_STEP = 1 };
typedef struct {
    double cutoff; /* at and beyond it the weight is zero; above 0, infinite: everywhere one */
    int32_t shape; /* ENFILT_GASPARI_COHN, or ENFILT_STEP: one within the cutoff */
    int32_t reserved;
} enfilt_taper;

/* A regular grid of rows x columns = D components (rows 1: a line), `spacing` apart, its ends joined or
 * not. What is observed are components: `values` of the observations are an error. */
ENFILT_API int enfilt_plan_grid(int64_t rows, int64_t columns, int periodic, double spacing,
                                const enfilt_taper* taper, enfilt_plan* plan);

/* Places in a space of so many axes, straight distances; along an axis with a period above 0 the ends
 * are joined. `places` (count, axes) are those of the state, component d standing at place[d]; where
 * `place` is null, at place d. Observations (size, axes) have their own: in the order of y. */
typedef struct {
    int64_t axes;
    const double* period; /* (axes,), or null */
    int64_t count;
    const double* places;       /* (count, axes) */
    int64_t dim;                /* D */
    const int64_t* place;       /* (D,), or null */
    int64_t size;               /* m */
    const double* observations; /* (m, axes) */
} enfilt_places;
ENFILT_API int enfilt_plan_places(const enfilt_places* places, const enfilt_taper* taper,
                                  enfilt_plan* plan);

/* Lists that the caller has: place i sees observations indices[starts[i]] .. [starts[i + 1] - 1] with
 * the weights rho of the same entries, above 0 and at most 1; indices of a place increase. */
typedef struct {
    int64_t count;         /* of places */
    const int64_t* starts; /* (count + 1,), from 0 on */
    const int64_t* indices;
    const double* rho;
} enfilt_lists;
/* `between` are lists of the m observations, what each sees of the others (itself with it): of the LEnFF,
 * null for the LETKF. */
ENFILT_API int enfilt_plan_lists(const enfilt_lists* lists, int64_t dim, const int64_t* place,
                                 int64_t size, const enfilt_lists* between, enfilt_plan* plan);

ENFILT_API int enfilt_plan_destroy(enfilt_plan plan);

ENFILT_API int enfilt_letkf_f64(enfilt_plan plan, const enfilt_ensemble_f64* forecast,
                                const enfilt_observations_f64* observations,
                                const enfilt_etkf_options* options, double* analysis);
ENFILT_API int enfilt_letkf_f32(enfilt_plan plan, const enfilt_ensemble_f32* forecast,
                                const enfilt_observations_f32* observations,
                                const enfilt_etkf_options* options, float* analysis);
ENFILT_API int enfilt_lenff_f64(enfilt_plan plan, const enfilt_ensemble_f64* forecast,
                                const enfilt_observations_f64* observations,
                                const enfilt_lenff_options* options, double* analysis);
ENFILT_API int enfilt_lenff_f32(enfilt_plan plan, const enfilt_ensemble_f32* forecast,
                                const enfilt_observations_f32* observations,
                                const enfilt_lenff_options* options, float* analysis);

/* ---- Kernels ----------------------------------------------------------------------------------- */

/* Steps of dx_d/dt = (x_{d+1} - x_{d-2}) x_{d-1} - x_d + forcing by the classical method of Runge and
 * Kutta; D is at least 4, and `out` (N, D) may be the ensemble itself. */
ENFILT_API int enfilt_lorenz96_f64(const enfilt_ensemble_f64* ensemble, double dt, int64_t steps,
                                   double forcing, double* out);
ENFILT_API int enfilt_lorenz96_f32(const enfilt_ensemble_f32* ensemble, double dt, int64_t steps,
                                   double forcing, float* out);

/* The Monte Carlo marginal flow field of a path at points x (M, D) and time t in [0, 1]; log_weights
 * (N,) or null; out (M, D) overlaps no input. */
ENFILT_API int enfilt_flow_field_f64(const enfilt_ensemble_f64* x,
                                     const enfilt_ensemble_f64* forecast, const double* previous,
                                     int32_t path, double sigma_min, double t,
                                     const double* log_weights, double* out);
ENFILT_API int enfilt_flow_field_f32(const enfilt_ensemble_f32* x,
                                     const enfilt_ensemble_f32* forecast, const float* previous,
                                     int32_t path, double sigma_min, double t,
                                     const double* log_weights, float* out);

/* The score of the mixture of N(scale c_j, std^2 I) at points x (M, D). */
ENFILT_API int enfilt_mixture_score_f64(const enfilt_ensemble_f64* x,
                                        const enfilt_ensemble_f64* centers, double scale, double std,
                                        const double* log_weights, double* out);
ENFILT_API int enfilt_mixture_score_f32(const enfilt_ensemble_f32* x,
                                        const enfilt_ensemble_f32* centers, double scale, double std,
                                        const double* log_weights, float* out);

/* -|x_i - scale c_j|^2 / (2 std^2), (M, N), which may be summed over parts of a state. */
ENFILT_API int enfilt_pairwise_log_weights_f64(const enfilt_ensemble_f64* x,
                                               const enfilt_ensemble_f64* centers, double scale,
                                               double std, double* out);
ENFILT_API int enfilt_pairwise_log_weights_f32(const enfilt_ensemble_f32* x,
                                               const enfilt_ensemble_f32* centers, double scale,
                                               double std, double* out);

/* Widens an analysis (N, D) about its mean, in place. */
ENFILT_API int enfilt_inflate_f64(int32_t inflation, double amount,
                                  const enfilt_ensemble_f64* forecast, double* analysis);
ENFILT_API int enfilt_inflate_f32(int32_t inflation, double amount,
                                  const enfilt_ensemble_f32* forecast, float* analysis);

/* Standard normals (N, D) of a key: those of draw `step` of the samplers. */
ENFILT_API int enfilt_normals_f64(uint64_t key, uint32_t step, int64_t members, int64_t dim,
                                  double* out);
ENFILT_API int enfilt_normals_f32(uint64_t key, uint32_t step, int64_t members, int64_t dim,
                                  float* out);

#ifdef __cplusplus
}
#endif

#endif
