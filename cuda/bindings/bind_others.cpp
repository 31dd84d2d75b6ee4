// Misfits, Lorenz-96, and copies that a flag on the device asks for.
#include "arguments.hpp"

namespace enfilt::cuda::bindings {

void register_others(py::module_& m) {
    m.def("misfit", [](bool is_double, address x, index_t members, index_t dim,
                       const py::tuple& observed, address out, const Place& place) {
        return with_type(is_double, [&](auto zero) {
            using T = decltype(zero);
            const Observed<T> seen = observed_of<T>(observed);
            return with_scratch(place, [&](Run run) {
                Kernels<T>::misfit(at<T>(x), members, dim, seen, at<double>(out), run);
            });
        });
    });
    m.def("lorenz96", [](bool is_double, address x, index_t rows, index_t dim, address out,
                         double dt, index_t steps, double forcing, const Place& place) {
        return with_type(is_double, [&](auto zero) {
            using T = decltype(zero);
            Lorenz96Problem<T> p;
            p.rows = rows, p.dim = dim, p.steps = steps;
            p.dt = dt, p.forcing = forcing;
            p.x = at<T>(x), p.out = at<T>(out);
            return with_scratch(place, [&](Run run) { Kernels<T>::lorenz96(p, run); });
        });
    });
    m.def("copy_where", [](bool is_double, address flag, address x, address out, index_t count,
                           const Place& place) {
        return with_type(is_double, [&](auto zero) {
            using T = decltype(zero);
            return with_scratch(place, [&](Run run) {
                Kernels<T>::copy_where(at<bool>(flag), at<T>(x), at<T>(out), count, run);
            });
        });
    });
}

}  // namespace enfilt::cuda::bindings
