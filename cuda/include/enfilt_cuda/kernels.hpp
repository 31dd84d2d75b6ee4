// What the kernels do for those who call them: whole operations on a stream. Pointers are the
// device's (the host's, where the bodies run on the CPU) except where said.
//
// Each operation takes its scratch memory from a workspace; with one that only counts, it starts
// nothing. None waits for the device, and sums do not depend on scheduling.
#pragma once

#include <enfilt/problem.hpp>

#include "workspace.hpp"

namespace enfilt::cuda {

// How an operation is run: scratch memory and a stream.
struct Run {
    Workspace& workspace;
    std::uintptr_t stream;
};

template <class T>
struct Kernels {
    static void squared_distances(const PairwiseProblem<T>&, Run);
    static void pairwise_field(const PairwiseProblem<T>&, Run);

    // `stages` on the host; without gains.
    static void flow_analysis(const FlowProblem<T>&, Run);

    // `schedule` on the host.
    static void diffusion_analysis(const DiffusionProblem<T>&, Run);

    // `stages`, `maps` and `precisions` on the device as well. Up to 256 groups.
    static void reduced_analysis(const ReducedProblem<T>&, Run);

    // On a regular grid; offsets, rho and rotation on the device as well. Up to letkf_members(),
    // which shared memory sets.
    static void letkf_window(const LetkfWindow<T>&, Run);
    static index_t letkf_members() { return 64; }

    static void misfit(const T* x, index_t members, index_t dim, const Observed<T>&, double* out,
                       Run);
    static void normals(std::uint64_t key, std::uint32_t batch, std::uint32_t step, index_t members,
                        index_t dim, T* out, Run);
    static void lorenz96(const Lorenz96Problem<T>&, Run);

    // `sums` is of three numbers on the device.
    static void ensemble_scores(const ScoreProblem<T>&, double* sums, Run);

    static void copy_where(const bool* flag, const T* x, T* out, index_t count, Run);
};

}  // namespace enfilt::cuda
