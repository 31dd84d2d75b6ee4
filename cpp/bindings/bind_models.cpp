#include "arrays.hpp"
#include "dispatch.hpp"

namespace enfilt::bindings {

namespace {

template <class T>
void add(py::module_& m) {
    m.def(
        "lorenz96",
        [](const array<T>& x, array<T>& out, double dt, index_t steps, double forcing) {
            Lorenz96Problem<T> p;
            p.rows = x.shape(0);
            p.dim = x.shape(1);
            p.steps = steps;
            p.dt = dt;
            p.forcing = forcing;
            p.x = x.data();
            p.out = out.mutable_data();
            py::gil_scoped_release release;
            kernels<T>().lorenz96(p);
        },
        py::arg("x").noconvert(), py::arg("out").noconvert(), py::arg("dt"), py::arg("steps"),
        py::arg("forcing"));
}

}  // namespace

void register_models(py::module_& m) {
    add<float>(m);
    add<double>(m);
}

}  // namespace enfilt::bindings
