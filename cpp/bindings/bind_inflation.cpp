#include <array>

#include "arrays.hpp"
#include "call.hpp"

namespace enfilt::bindings {

namespace {

Inflate inflation_of(std::string_view kind) {
    if (kind == "multiplicative") return Inflate::multiplicative;
    if (kind == "rtpp") return Inflate::rtpp;
    if (kind == "rtps") return Inflate::rtps;
    throw py::value_error("no inflation " + std::string(kind) + " in the kernels");
}

template <class T>
void add_inflation(py::module_& m) {
    m.def(
        "inflate",
        [](py::handle problem, array<T>& out) {
            const Fields f(problem);
            const array<T> x = f.of<T>("x"), amount = f.of<T>("amount");
            InflationProblem<T> all;
            all.kind = inflation_of(py::cast<std::string_view>(f["kind"]));
            all.members = x.shape(1);
            all.dim = x.shape(2);
            all.x = x.data();
            all.forecast = f.data<T>("forecast");
            all.amount = amount.data();
            all.amount_varies = amount.size() > 1;
            all.out = out.mutable_data();
            const index_t count = x.shape(0), size = all.members * all.dim;
            released([&] {
                for_each_ensemble(count, all.dim, [&](index_t b) {
                    InflationProblem<T> p = all;
                    p.x += b * size;
                    p.out += b * size;
                    if (p.forecast) p.forecast += b * size;
                    kernels<T>().inflate(p);
                });
            });
        },
        py::arg("problem"), py::arg("out").noconvert());
    m.def(
        "innovations",
        [](const array<T>& x, py::handle components, optional_array<T>& moments) {
            const ObservedArrays<T> arrays(components);
            const Observed<T> observed = arrays.of(0);
            InnovationProblem<T> p;
            p.members = x.shape(0);
            p.dim = x.shape(1);
            p.x = x.data();
            p.observed = &observed;
            std::array<double, 4> sums{};
            p.sums = sums.data();
            if (moments) {
                p.departures = moments->mutable_data();
                p.variances = p.departures + observed.size;
            }
            released([&] { kernels<T>().innovations(p); });
            return sums;
        },
        py::arg("x").noconvert(), py::arg("observed"), py::arg("moments").noconvert());
}

}  // namespace

void register_inflation(py::module_& m) {
    add_inflation<float>(m);
    add_inflation<double>(m);
}

}  // namespace enfilt::bindings
