// One table of kernels for each instruction set that the library was built for.
#pragma once

#include <enfilt/problem.hpp>

namespace enfilt {

template <class T>
struct Kernels {
    void (*squared_distances)(const PairwiseProblem<T>&);
    void (*pairwise_field)(const PairwiseProblem<T>&);
    void (*flow_analysis)(const FlowProblem<T>&);
    void (*diffusion_analysis)(const DiffusionProblem<T>&);
    void (*reduced_analysis)(const ReducedProblem<T>&);
    void (*misfit)(const T* x, index_t members, index_t dim, const Observed<T>&, double* out);
    void (*anomaly_grams)(const T* x, index_t members, index_t dim, const Observed<T>&,
                          double* states, double* observed);
    void (*inflate)(const InflationProblem<T>&);
    void (*innovations)(const InnovationProblem<T>&);
    void (*ensemble_scores)(const ScoreProblem<T>&);
    void (*lorenz96)(const Lorenz96Problem<T>&);
    void (*navier_stokes)(const NavierStokesProblem<T>&);
    void (*etkf)(const EtkfProblem<T>&);
    void (*letkf_window)(const LetkfWindow<T>&);
    void (*letkf_lists)(const LetkfLists<T>&);
    void (*letkf_rows)(const LetkfRows<T>&);
    void (*lenff_window)(const LenffWindow<T>&);
    void (*lenff_lists)(const LenffLists<T>&);
    void (*normals)(std::uint64_t key, std::uint32_t batch, std::uint32_t step, index_t members,
                    index_t dim, T* out);
    bool (*all_finite)(const T* x, index_t n);
    void (*triad)(const T* a, const T* b, T k, index_t n, T* c);
    // an elementary function over an array, for its own test: see vecmath.hpp
    bool (*elementary)(const char* name, const T* x, index_t n, T* out);
};

struct Level {
    const char* name;      // "v2", "v3", "v4"; "baseline" where the processor is no x86-64
    std::uint32_t needs;   // what its code asks of the processor: see processor.hpp
    int vector_bytes;
    const Kernels<float>& float32;
    const Kernels<double>& float64;

    // How many threads a kernel that is called now may use.
    int (*threads)();
    // Calls body(context); `interrupt`, or null, can stop the kernels that it calls, which have a
    // part of a state where `share` is not null.
    void (*interruptible)(Interrupt* interrupt, const Share* share, void (*body)(void*),
                          void* context);
    void (*near_pairs)(const NearPairs&);
    void (*taper_pairs)(const TaperPairs&);
    // Calls body(context, b) for all b below count, on several threads where that is worth more.
    void (*share_out)(index_t count, bool worth, void (*body)(void*, index_t), void* context);
};

// The levels built into this library, lowest first.
const Level* const* built_levels(int& count);

}  // namespace enfilt
