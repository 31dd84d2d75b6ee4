// What the kernels do for those who call them: whole operations. Pointers are the device's (the
// host's, where the bodies run on the CPU) except where said.
//
// Each operation takes its scratch memory from a workspace and writes down the kernels to start;
// with a workspace that only counts, none. Sums do not depend on scheduling.
#pragma once

#include <enfilt/problem.hpp>

#include "launches.hpp"
#include "workspace.hpp"

namespace enfilt::cuda {

// The localized flow filter on a regular grid whose components stand in groups, one behind the
// other: along the row of a grid that has one, else along a column.
template <class T>
struct LenffGroups {
    index_t members = 0, dim = 0, steps = 0;
    const T* x = nullptr;  // (N, D) forecast
    T* out = nullptr;      // (N, D); does not overlap it
    const double* pseudo_times = nullptr;  // (steps,) w_k, on the host

    index_t rows = 1, columns = 0;  // rows columns = D
    bool periodic = true;
    index_t reach_rows = 0, reach_columns = 0;  // of a component's window, to either side
    index_t count = 0;                          // places that a group sees
    const std::int64_t* places = nullptr;       // (count, 2): rows and columns from its first
    const double* rho = nullptr;                // (count, lenff_group()), of each with the place
    Observed<T> observed;
};

// One step's sums of the localized flow filter over the lists of a run of places.
template <class T>
struct LenffSums {
    index_t members = 0, count = 0;
    const T* rows = nullptr;  // (count, N): anomalies of x, or of h(x), at the places
    const std::int64_t* starts = nullptr;  // (count + 1,)
    const std::int64_t* indices = nullptr;
    const double* rho = nullptr;   // as indices, above zero
    const T* anomalies = nullptr;  // (m, N), of h(x)
    const T* gains = nullptr;      // (m, N): innovations over b + r^2/w; or null
    T* moves = nullptr;            // (count, N), given gains
    double* bounds = nullptr;      // (count,), without them
};

// Ensembles whose arrays stand one behind the other; a problem is of the first.
struct Batch {
    static constexpr index_t most = 65535;  // of a grid
    index_t count = 1;
    index_t y = 0, noise = 0;  // from an ensemble's to those of the next; 0: all have the same
};

// How an operation is run: scratch memory, and where its kernels are written down.
struct Run {
    Workspace& workspace;
    Launches& launch;
};

template <class T>
struct Kernels {
    static void squared_distances(const PairwiseProblem<T>&, Run);
    static void pairwise_field(const PairwiseProblem<T>&, Run);

    // `stages` on the host; without gains.
    static void flow_analysis(const FlowProblem<T>&, const Batch&, Run);

    // `schedule` on the host.
    static void diffusion_analysis(const DiffusionProblem<T>&, const Batch&, Run);

    // `stages`, `maps` and `precisions` on the device as well. Up to 256 groups.
    static void reduced_analysis(const ReducedProblem<T>&, Run);

    // On a regular grid, and from lists; offsets, lists, rho and rotation on the device as well.
    // Up to letkf_members(), which shared memory sets. `power` is not needed.
    static void letkf_window(const LetkfWindow<T>&, Run);
    static void letkf_lists(const LetkfLists<T>&, Run);
    static index_t letkf_members() { return 64; }

    // Any number of members.
    static void lenff_window(const LenffGroups<T>&, Run);
    static index_t lenff_group();

    // All on the device.
    static void lenff_lists(const LenffSums<T>&, Run);

    static void misfit(const T* x, index_t members, index_t dim, const Observed<T>&, double* out,
                       Run);
    static void normals(std::uint64_t key, std::uint32_t batch, std::uint32_t step, index_t members,
                        index_t dim, T* out, Run);
    static void lorenz96(const Lorenz96Problem<T>&, Run);

    // `sums` is of four numbers on the device: EnsembleSums.
    static void ensemble_scores(const ScoreProblem<T>&, double* sums, Run);

    // Of ensembles of `count` numbers, where their flags are set.
    static void copy_where(const bool* flags, const T* x, T* out, index_t ensembles, index_t count,
                           Run);
};

}  // namespace enfilt::cuda
