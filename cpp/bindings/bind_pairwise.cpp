#include "arrays.hpp"
#include "call.hpp"

namespace enfilt::bindings {

namespace {

template <class T>
PairwiseProblem<T> problem_of(const array<T>& x, const array<T>& x1, const optional_array<T>& x0,
                              py::handle stage) {
    PairwiseProblem<T> p;
    p.points = x.shape(0);
    p.members = x1.shape(0);
    p.dim = x.shape(1);
    p.x = x.data();
    p.x1 = x1.data();
    p.x0 = data_or_null(x0);
    const Fields s(stage);
    p.stage = {s.number<double>("a1"),        s.number<double>("a0"), s.number<double>("half_precision"),
               s.number<double>("ratio"),     s.number<double>("b1"), s.number<double>("b0"),
               s.number<double>("remaining"), s.number<double>("strength")};
    return p;
}

template <class T>
void add_pairwise(py::module_& m) {
    m.def(
        "squared_distances",
        [](const array<T>& x, const array<T>& x1, const optional_array<T>& x0, py::handle stage,
           array<double>& out) {
            PairwiseProblem<T> p = problem_of<T>(x, x1, x0, stage);
            p.squared_distances = out.mutable_data();
            released([&] { kernels<T>().squared_distances(p); });
        },
        py::arg("x").noconvert(), py::arg("x1").noconvert(), py::arg("x0").noconvert(),
        py::arg("stage"), py::arg("out").noconvert());
    m.def(
        "pairwise_field",
        [](const array<T>& x, const array<T>& x1, const optional_array<T>& x0, py::handle stage,
           const optional_array<double>& log_weights, array<T>& out) {
            PairwiseProblem<T> p = problem_of<T>(x, x1, x0, stage);
            p.log_weights = data_or_null(log_weights);
            p.out = out.mutable_data();
            released([&] { kernels<T>().pairwise_field(p); });
        },
        py::arg("x").noconvert(), py::arg("x1").noconvert(), py::arg("x0").noconvert(),
        py::arg("stage"), py::arg("log_weights").noconvert(), py::arg("out").noconvert());
}

}  // namespace

void register_pairwise(py::module_& m) {
    add_pairwise<float>(m);
    add_pairwise<double>(m);
}

}  // namespace enfilt::bindings
