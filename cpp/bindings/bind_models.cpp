#include "arrays.hpp"
#include "call.hpp"

namespace enfilt::bindings {

namespace {

template <class T>
void add_models(py::module_& m) {
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
            released([&] { kernels<T>().lorenz96(p); });
        },
        py::arg("x").noconvert(), py::arg("out").noconvert(), py::arg("dt"), py::arg("steps"),
        py::arg("forcing"));
    m.def(
        "navier_stokes",
        [](const array<T>& x, array<T>& out, py::handle scheme, index_t steps) {
            const Fields f(scheme);
            NavierStokesProblem<T> p;
            p.rows = x.shape(0);
            p.n = f.number<index_t>("n");
            p.steps = steps;
            p.iterations = f.number<index_t>("iterations");
            p.dt = f.number<double>("dt");
            p.spacing = f.number<double>("spacing");
            p.viscosity = f.number<double>("viscosity");
            p.forcing = f.data<T>("forcing");
            p.x = x.data();
            p.out = out.mutable_data();
            released([&] { kernels<T>().navier_stokes(p); });
        },
        py::arg("x").noconvert(), py::arg("out").noconvert(), py::arg("scheme"), py::arg("steps"));
}

}  // namespace

void register_models(py::module_& m) {
    add_models<float>(m);
    add_models<double>(m);
}

}  // namespace enfilt::bindings
