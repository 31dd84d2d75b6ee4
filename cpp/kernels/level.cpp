// The table of one instruction set's kernels. ENFILT_LEVEL names the instruction set, and the units
// beside this file hold the kernels' instances: a unit a kernel, so that they compile side by side.
// All of them are compiled once for each instruction set. Nothing in them may run before the table
// is chosen.
#include <enfilt/parallel.hpp>
#include <enfilt/share.hpp>

#include "processor.hpp"
#include "table.hpp"

ENFILT_OPEN

template <class T>
void squared_distances(const PairwiseProblem<T>&);
template <class T>
void pairwise_field(const PairwiseProblem<T>&);
template <class T>
void flow_analysis(const FlowProblem<T>&);
template <class T>
void diffusion_analysis(const DiffusionProblem<T>&);
template <class T>
void reduced_analysis(const ReducedProblem<T>&);
template <class T>
void misfit(const T* x, index_t members, index_t dim, const Observed<T>&, double* out);
template <class T>
void anomaly_grams(const T* x, index_t members, index_t dim, const Observed<T>&, double* states,
                   double* observed);
template <class T>
void inflate(const InflationProblem<T>&);
template <class T>
void innovations(const InnovationProblem<T>&);
template <class T>
void ensemble_scores(const ScoreProblem<T>&);
template <class T>
void lorenz96(const Lorenz96Problem<T>&);
template <class T>
void navier_stokes(const NavierStokesProblem<T>&);
template <class T>
void etkf(const EtkfProblem<T>&);
template <class T>
void letkf_window(const LetkfWindow<T>&);
template <class T>
void letkf_lists(const LetkfLists<T>&);
template <class T>
void letkf_rows(const LetkfRows<T>&);
template <class T>
void lenff_window(const LenffWindow<T>&);
template <class T>
void lenff_lists(const LenffLists<T>&);
template <class T>
void normals(std::uint64_t key, std::uint32_t batch, std::uint32_t step, index_t members,
             index_t dim, T* out);
template <class T>
bool all_finite(const T* x, index_t n);
template <class T>
void triad(const T* a, const T* b, T k, index_t n, T* c);
template <class T>
bool elementary(const char* name, const T* x, index_t n, T* out);

void near_pairs(const NearPairs&);
void taper_pairs(const TaperPairs&);

template <class T>
constexpr Kernels<T> kernels = {
    squared_distances<T>,  pairwise_field<T>, flow_analysis<T>,
    diffusion_analysis<T>, reduced_analysis<T>,
    misfit<T>,             anomaly_grams<T>,  inflate<T>,       innovations<T>,
    ensemble_scores<T>,    lorenz96<T>,       navier_stokes<T>,
    etkf<T>,               letkf_window<T>,   letkf_lists<T>,   letkf_rows<T>,
    lenff_window<T>,       lenff_lists<T>,    normals<T>,       all_finite<T>,
    triad<T>,              elementary<T>};

inline void interruptible(Interrupt* interrupt, const Share* share, void (*body)(void*),
                          void* context) {
    const Interruptible scope(interrupt);
    const Sharing part(share);
    body(context);
}

inline void share_out(index_t count, bool worth, void (*body)(void*, index_t), void* context) {
    Team(count, worth).for_each(count, [&](int, index_t b) { body(context, b); });
}

ENFILT_CLOSE

#define ENFILT_TEXT_(x) #x
#define ENFILT_TEXT(x) ENFILT_TEXT_(x)
#define ENFILT_JOIN_(a, b) a##b
#define ENFILT_JOIN(a, b) ENFILT_JOIN_(a, b)

namespace enfilt {

extern const Level ENFILT_JOIN(level_, ENFILT_LEVEL);
const Level ENFILT_JOIN(level_, ENFILT_LEVEL) = {
    ENFILT_TEXT(ENFILT_LEVEL),
    features_in_use,
    ENFILT_VECTOR_BYTES,
    kernels<float>,
    kernels<double>,
    available_threads,
    interruptible,
    near_pairs,
    taper_pairs,
    share_out,
};

}  // namespace enfilt
