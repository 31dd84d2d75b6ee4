#include "arrays.hpp"
#include "call.hpp"

namespace enfilt::bindings {

namespace {

template <class T>
PairwiseProblem<T> problem_of(const array<T>& x, const array<T>& x1, const optional_array<T>& x0,
                              const array<double>& stage, const optional_array<double>& log_weights) {
    PairwiseProblem<T> p;
    p.points = x.shape(0);
    p.members = x1.shape(0);
    p.dim = x.shape(1);
    p.x = x.data();
    p.x1 = x1.data();
    p.x0 = data_or_null(x0);
    p.log_weights = data_or_null(log_weights);
    p.stage = *reinterpret_cast<const Stage*>(stage.data());
    return p;
}

template <class T>
void add_pairwise(py::module_& m) {
    m.def(
        "squared_distances",
        [](const array<T>& x, const array<T>& x1, const optional_array<T>& x0,
           const array<double>& stage, array<double>& out) {
            PairwiseProblem<T> p = problem_of<T>(x, x1, x0, stage, std::nullopt);
            p.squared_distances = out.mutable_data();
            released([&] { kernels<T>().squared_distances(p); });
        },
        py::arg("x").noconvert(), py::arg("x1").noconvert(), py::arg("x0").noconvert(),
        py::arg("stage").noconvert(), py::arg("out").noconvert());
    m.def(
        "pairwise_field",
        [](const array<T>& x, const array<T>& x1, const optional_array<T>& x0,
           const array<double>& stage, const optional_array<double>& log_weights, array<T>& out) {
            PairwiseProblem<T> p = problem_of<T>(x, x1, x0, stage, log_weights);
            p.out = out.mutable_data();
            released([&] { kernels<T>().pairwise_field(p); });
        },
        py::arg("x").noconvert(), py::arg("x1").noconvert(), py::arg("x0").noconvert(),
        py::arg("stage").noconvert(), py::arg("log_weights").noconvert(),
        py::arg("out").noconvert());
}

}  // namespace

void register_pairwise(py::module_& m) {
    static_assert(sizeof(Stage) == 8 * sizeof(double), "a stage is a row of eight numbers");
    add_pairwise<float>(m);
    add_pairwise<double>(m);
}

}  // namespace enfilt::bindings
