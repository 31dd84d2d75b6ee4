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
        [](const array<T>& x, array<T>& out, index_t n, double spacing, double dt, double viscosity,
           index_t iterations, const array<T>& forcing, index_t steps) {
            NavierStokesProblem<T> p;
            p.rows = x.shape(0);
            p.n = n;
            p.steps = steps;
            p.iterations = iterations;
            p.dt = dt;
            p.spacing = spacing;
            p.viscosity = viscosity;
            p.forcing = forcing.data();
            p.x = x.data();
            p.out = out.mutable_data();
            released([&] { kernels<T>().navier_stokes(p); });
        },
        py::arg("x").noconvert(), py::arg("out").noconvert(), py::arg("n"), py::arg("spacing"),
        py::arg("dt"), py::arg("viscosity"), py::arg("iterations"), py::arg("forcing").noconvert(),
        py::arg("steps"));
}

}  // namespace

void register_models(py::module_& m) {
    add_models<float>(m);
    add_models<double>(m);
}

}  // namespace enfilt::bindings
