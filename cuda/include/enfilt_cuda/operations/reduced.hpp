// The reduced form of EnFF and EnSF.
#pragma once

#include "../reduced_combine.hpp"
#include "../reduced_gram.hpp"
#include "../reduced_steps.hpp"
#include "samplers.hpp"

namespace enfilt::cuda {

// The Gram matrices of the reduced form, (groups, rows, A1 and A0), from the sums of chunks.
template <class T>
void sum_grams(const GramPass<T>& pass, double* gram, Launches& launch) {
    launch(pass.grid(), pass.shared_bytes, pass);
    const SumPass sum(pass.partial, pass.groups * pass.rows.at.rows() * pass.rows.at.spanned,
                      pass.grid().rows, gram);
    launch(sum.grid(), sum.shared_bytes, sum);
}

template <class T, int Height>
void combine(const ReducedRows<T>& rows, index_t groups, const T* coefficients, T* z,
             Launches& launch) {
    const CombinePass<T, Height> pass{rows, groups, coefficients, z};
    launch(pass.grid(), pass.shared_bytes, pass);
}

template <class T>
void Kernels<T>::reduced_analysis(const ReducedProblem<T>& p, Run run) {
    using Steps = CoefficientPass<T>;
    const RowLayout at(p.members, p.x0 != nullptr);
    const bool draws = !p.noise || p.standardize;
    // where shared memory has no room for the coefficients of a member, or for its Gram matrices
    const index_t own = Steps::own_size(p, at), copied = Steps::copied_size(p, at);
    const bool fits = Steps::bytes(own) <= small_memory;
    const bool copies = !p.paired && fits && Steps::bytes(own + copied) <= small_memory;
    const index_t products = p.paired ? 0 : p.groups * at.rows() * at.spanned;

    Workspace& scratch = run.workspace;
    const ReducedRows<T> rows{at,
                              p.dim,
                              p.x1,
                              p.x0,
                              draws ? p.z : p.noise,
                              scratch.template take<Centre<T>>(p.dim),
                              scratch.template take<std::uint8_t>(p.dim)};
    int* const used = scratch.template take<int>(p.groups);
    double* const gram = scratch.template take<double>(products);
    double* const partial =
        scratch.template take<double>(products * GramPass<T>::chunks(at, p.dim));
    double* const memory = fits ? nullptr : scratch.template take<double>(p.members * own);
    T* const coefficients = scratch.template take<T>(p.groups * p.members * at.stored());
    if (scratch.counts_only()) return;
    Launches& launch = run.launch;

    if (draws)
        draw_normals<T>({p.noise, {p.key, p.batch, 0}, p.dim}, 1, p.members, p.standardize, p.z,
                        launch);
    const ZeroPass<int> zero{used, p.groups};
    launch(zero.grid(), 0, zero);
    const Observed<T> observed = p.observed ? *p.observed : Observed<T>();
    const CentrePass<T> centre{rows,         p.observed != nullptr, observed,
                               p.precisions, p.groups,              used};
    launch(centre.grid(), 0, centre);
    // paired, there are no weights to find
    if (!p.paired) sum_grams(GramPass<T>{rows, p.groups, partial}, gram, launch);
    Steps steps{p, at, gram, used, memory, copies, coefficients};
    steps.p.observed = nullptr;  // which stands on the host
    launch(steps.grid(), steps.shared_bytes(), steps);
    if (p.members <= small_members)
        combine<T, 32>(rows, p.groups, coefficients, p.z, launch);
    else
        combine<T, 64>(rows, p.groups, coefficients, p.z, launch);
}

}  // namespace enfilt::cuda
