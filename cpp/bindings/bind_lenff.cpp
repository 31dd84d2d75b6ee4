#include "arrays.hpp"
#include "call.hpp"

namespace enfilt::bindings {

namespace {

template <class T>
void add_lenff(py::module_& m) {
    m.def(
        "lenff_window",
        [](const array<T>& x, array<T>& out, const array<double>& pseudo_times, index_t rows,
           index_t columns, bool periodic, const array<std::int64_t>& offsets,
           const array<double>& rho, const py::tuple& observed) {
            const ObservedArrays<T> obs(observed);
            LenffWindow<T> p;
            p.members = x.shape(0);
            p.dim = x.shape(1);
            p.steps = pseudo_times.size();
            p.x = x.data();
            p.out = out.mutable_data();
            p.pseudo_times = pseudo_times.data();
            p.rows = rows;
            p.columns = columns;
            p.periodic = periodic;
            p.count = rho.size();
            p.offsets = offsets.data();
            p.rho = rho.data();
            p.observed = &obs.view;
            released([&] { kernels<T>().lenff_window(p); });
        },
        py::arg("x").noconvert(), py::arg("out").noconvert(), py::arg("pseudo_times").noconvert(),
        py::arg("rows"), py::arg("columns"), py::arg("periodic"), py::arg("offsets").noconvert(),
        py::arg("rho").noconvert(), py::arg("observed"));
    m.def(
        "lenff_lists",
        [](const array<T>& rows, const array<std::int64_t>& starts,
           const array<std::int64_t>& indices, const array<double>& rho, const array<T>& anomalies,
           const optional_array<T>& gains, std::optional<array<T>>& moves,
           std::optional<array<double>>& bounds) {
            LenffLists<T> p;
            p.members = rows.shape(1);
            p.count = rows.shape(0);
            p.observations = anomalies.shape(0);
            p.rows = rows.data();
            p.starts = starts.data();
            p.indices = indices.data();
            p.rho = rho.data();
            p.anomalies = anomalies.data();
            p.gains = data_or_null(gains);
            if (moves) p.moves = moves->mutable_data();
            if (bounds) p.bounds = bounds->mutable_data();
            released([&] { kernels<T>().lenff_lists(p); });
        },
        py::arg("rows").noconvert(), py::arg("starts").noconvert(), py::arg("indices").noconvert(),
        py::arg("rho").noconvert(), py::arg("anomalies").noconvert(), py::arg("gains").noconvert(),
        py::arg("moves").noconvert(), py::arg("bounds").noconvert());
}

}  // namespace

void register_lenff(py::module_& m) {
    add_lenff<float>(m);
    add_lenff<double>(m);
}

}  // namespace enfilt::bindings
