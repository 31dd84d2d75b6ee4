#include "arrays.hpp"
#include "call.hpp"

namespace enfilt::bindings {

namespace {

template <class T>
void add_scores(py::module_& m) {
    m.def(
        "ensemble_scores",
        [](const array<T>& x, const array<T>& truth, array<double>& to_members,
           array<double>& to_truth, array<std::int64_t>& ranks) {
            EnsembleSums sums;
            ScoreProblem<T> p;
            p.members = x.shape(0);
            p.dim = x.shape(1);
            p.x = x.data();
            p.truth = truth.data();
            p.sums = &sums;
            p.to_members = to_members.mutable_data();
            p.to_truth = to_truth.mutable_data();
            p.ranks = ranks.mutable_data();
            released([&] { kernels<T>().ensemble_scores(p); });
            return py::make_tuple(sums.squared_error, sums.variance, sums.crps, sums.absolute);
        },
        py::arg("x").noconvert(), py::arg("truth").noconvert(), py::arg("to_members").noconvert(),
        py::arg("to_truth").noconvert(), py::arg("ranks").noconvert());
    m.def(
        "all_finite",
        [](const array<T>& x) {
            const T* from = x.data();
            const index_t n = x.size();
            bool finite = false;
            released([&] { finite = kernels<T>().all_finite(from, n); });
            return finite;
        },
        py::arg("x").noconvert());
}

}  // namespace

void register_scores(py::module_& m) {
    add_scores<float>(m);
    add_scores<double>(m);
}

}  // namespace enfilt::bindings
