// Misfits, Lorenz-96, and copies that a flag on the device asks for.
#include "arguments.hpp"

namespace enfilt::cuda::bindings {

void register_others(py::module_& m) {
    m.def("misfit", [](py::handle x, py::handle observed, py::handle out, const Place& place) {
        return with_type_of(x, [&](auto zero) {
            using T = decltype(zero);
            const ObservedArrays<T> seen(observed);
            const T* const from = at<const T>(x);
            double* const to = at<double>(out);
            const index_t members = length(x, 0), dim = length(x, 1);
            return with_scratch(place, [&](Run run) {
                Kernels<T>::misfit(from, members, dim, seen.first, to, run);
            });
        });
    });
    m.def("lorenz96", [](py::handle x, py::handle out, double dt, index_t steps, double forcing,
                         const Place& place) {
        return with_type_of(x, [&](auto zero) {
            using T = decltype(zero);
            Lorenz96Problem<T> p;
            p.rows = length(x, 0), p.dim = length(x, 1), p.steps = steps;
            p.dt = dt, p.forcing = forcing;
            p.x = at<const T>(x), p.out = at<T>(out);
            return with_scratch(place, [&](Run run) { Kernels<T>::lorenz96(p, run); });
        });
    });
    m.def("copy_where", [](py::handle flags, py::handle x, py::handle out, const Place& place) {
        return with_type_of(x, [&](auto zero) {
            using T = decltype(zero);
            const bool* const set = at<const bool>(flags);
            const T* const from = at<const T>(x);
            T* const to = at<T>(out);
            const index_t ensembles = length(x, 0), count = length(x, 1) * length(x, 2);
            return with_scratch(place, [&](Run run) {
                Kernels<T>::copy_where(set, from, to, ensembles, count, run);
            });
        });
    });
}

}  // namespace enfilt::cuda::bindings
