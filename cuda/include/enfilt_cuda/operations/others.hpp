// Operations of a pass or two.
#pragma once

#include "../kernels.hpp"
#include "../lorenz96.hpp"
#include "../observed.hpp"
#include "../scores.hpp"
#include "../sums.hpp"

namespace enfilt::cuda {

template <class T>
void Kernels<T>::misfit(const T* x, index_t members, index_t dim, const Observed<T>& observed,
                        double* out, Run run) {
    using Pass = MisfitPass<T>;
    double* const partial = run.workspace.template take<double>(members * Pass::chunks(dim));
    if (run.workspace.counts_only()) return;
    Launches& launch = run.launch;
    const Pass pass{observed, x, members, dim, partial};
    launch(pass.grid(), pass.shared_bytes, pass);
    const SumPass sum(partial, members, Pass::chunks(dim), out);
    launch(sum.grid(), sum.shared_bytes, sum);
}

template <class T>
void Kernels<T>::lorenz96(const Lorenz96Problem<T>& p, Run run) {
    using Pass = Lorenz96Pass<T>;
    const bool in_place = p.x == p.out;
    index_t passes = larger(1, divide_up(p.steps, Pass::most_steps));
    if (in_place && passes % 2 == 1) ++passes;  // by way of the scratch, and back
    T* const scratch =
        passes > 1 ? run.workspace.template take<T>(p.rows * p.dim) : nullptr;
    if (run.workspace.counts_only()) return;
    Launches& launch = run.launch;
    const T* from = p.x;
    for (index_t left = passes, steps = p.steps; left > 0; --left) {
        const index_t now = divide_up(steps, left);
        T* const to = left % 2 == 1 ? p.out : scratch;
        const Pass pass{from,
                        to,
                        p.rows,
                        p.dim,
                        static_cast<int>(now),
                        static_cast<T>(p.dt),
                        static_cast<T>(p.forcing)};
        launch(pass.grid(), pass.shared_bytes, pass);
        from = to;
        steps -= now;
    }
}

template <class T>
void Kernels<T>::copy_where(const bool* flags, const T* x, T* out, index_t ensembles,
                            index_t count, Run run) {
    if (run.workspace.counts_only()) return;
    const CopyWherePass<T> pass{flags, x, out, count};
    run.launch(pass.grid(ensembles), 0, pass);
}

}  // namespace enfilt::cuda
