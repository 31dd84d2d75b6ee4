#include "arrays.hpp"
#include "dispatch.hpp"

namespace enfilt::bindings {

namespace {

template <class T>
void add(py::module_& m) {
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
            py::gil_scoped_release release;
            kernels<T>().lenff_window(p);
        },
        py::arg("x").noconvert(), py::arg("out").noconvert(), py::arg("pseudo_times").noconvert(),
        py::arg("rows"), py::arg("columns"), py::arg("periodic"), py::arg("offsets").noconvert(),
        py::arg("rho").noconvert(), py::arg("observed"));
}

}  // namespace

void register_lenff(py::module_& m) {
    add<float>(m);
    add<double>(m);
}

}  // namespace enfilt::bindings
