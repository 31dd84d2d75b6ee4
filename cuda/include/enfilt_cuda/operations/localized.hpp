// LETKF and LEnFF.
#pragma once

#include "../kernels.hpp"
#include "../lenff.hpp"
#include "../lenff_lists.hpp"
#include "../letkf.hpp"

namespace enfilt::cuda {

template <class T>
void Kernels<T>::letkf_window(const LetkfWindow<T>& p, Run run) {
    T* const rows = run.workspace.template take<T>((p.members + 1) * p.dim);
    if (run.workspace.counts_only()) return;
    Launches& launch = run.launch;
    const LocalRowsPass<T> observe{*p.observed, p.x, p.members, p.dim, rows};
    launch(observe.grid(), 0, observe);
    using Pass = LetkfPass<T, SeenInWindow<T>>;
    Pass pass{{p, rows}, 0, p.dim, RootShifts::all()};
    pass.sees.p.observed = nullptr;  // which stands on the host
    launch(pass.grid(), Pass::shared_bytes(p.members), pass);
}

template <class T>
void Kernels<T>::letkf_lists(const LetkfLists<T>& p, Run run) {
    if (run.workspace.counts_only()) return;
    using Pass = LetkfPass<T, SeenInLists<T>>;
    const Pass pass{{p}, p.first, p.count, RootShifts::all()};
    run.launch(pass.grid(), Pass::shared_bytes(p.members), pass);
}

template <class T>
index_t Kernels<T>::lenff_group() {
    return enfilt::cuda::lenff_group;
}

template <class T>
void Kernels<T>::lenff_window(const LenffGroups<T>& p, Run run) {
    const LenffPanel panel(p.rows, p.columns, p.periodic, p.reach_rows, p.reach_columns);
    const LenffScratch<T> scratch(panel, p.members, p.count, run.workspace);
    if (run.workspace.counts_only()) return;
    Launches& launch = run.launch;
    const LenffWindowPass<T> window{panel, scratch, p.count, p.places, p.rho};
    launch(window.grid(), 0, window);
    const T* from = p.x;
    for (index_t k = 0; k < p.steps; ++k) {
        const LenffRowsPass<T> observe{panel, scratch, p.observed,
                                       from,  p.dim,   static_cast<T>(p.pseudo_times[k])};
        launch(observe.grid(), 0, observe);
        const LenffGainPass<T> gains{panel, scratch};
        launch(gains.grid(), 0, gains);
        const LenffMovePass<T> move{panel, scratch, from, p.out, p.dim};
        launch(move.grid(), move.shared_bytes, move);
        from = p.out;
    }
}

template <class T>
void Kernels<T>::lenff_lists(const LenffSums<T>& p, Run run) {
    if (run.workspace.counts_only()) return;
    const LenffListsPass<T> pass{p};
    run.launch(pass.grid(), pass.shared_bytes, pass);
}

}  // namespace enfilt::cuda
