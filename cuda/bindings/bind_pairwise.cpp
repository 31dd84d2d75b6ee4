// The pairwise estimator, and the scores of an ensemble.
#include "arguments.hpp"

namespace enfilt::cuda::bindings {

namespace {

template <class T>
PairwiseProblem<T> pairwise_of(py::handle x, py::handle x1, py::handle x0, py::handle stage) {
    const Fields f(stage);
    PairwiseProblem<T> p;
    p.points = length(x, 0), p.members = length(x1, 0), p.dim = length(x1, 1);
    p.x = at<const T>(x), p.x1 = at<const T>(x1), p.x0 = at<const T>(x0);
    p.stage = {f.number<double>("a1"),        f.number<double>("a0"),
               f.number<double>("half_precision"), f.number<double>("ratio"),
               f.number<double>("b1"),        f.number<double>("b0"),
               f.number<double>("remaining"), f.number<double>("strength")};
    return p;
}

}  // namespace

void register_pairwise(py::module_& m) {
    m.def("squared_distances", [](py::handle x, py::handle x1, py::handle x0, py::handle stage,
                                  py::handle out, const Place& place) {
        return with_type_of(x1, [&](auto zero) {
            using T = decltype(zero);
            auto p = pairwise_of<T>(x, x1, x0, stage);
            p.squared_distances = at<double>(out);
            return with_scratch(place, [&](Run run) { Kernels<T>::squared_distances(p, run); });
        });
    });
    m.def("pairwise_field", [](py::handle x, py::handle x1, py::handle x0, py::handle stage,
                               py::handle log_weights, py::handle out, const Place& place) {
        return with_type_of(out, [&](auto zero) {
            using T = decltype(zero);
            auto p = pairwise_of<T>(x, x1, x0, stage);
            p.log_weights = at<const double>(log_weights);
            p.out = at<T>(out);
            return with_scratch(place, [&](Run run) { Kernels<T>::pairwise_field(p, run); });
        });
    });
    m.def("ensemble_scores", [](py::handle x, py::handle truth, py::handle sums,
                                py::handle to_members, py::handle to_truth, py::handle ranks,
                                const Place& place) {
        return with_type_of(x, [&](auto zero) {
            using T = decltype(zero);
            ScoreProblem<T> p;
            p.members = length(x, 0), p.dim = length(x, 1);
            p.x = at<const T>(x), p.truth = at<const T>(truth);
            p.to_members = at<double>(to_members), p.to_truth = at<double>(to_truth);
            p.ranks = at<std::int64_t>(ranks);
            double* const of_components = at<double>(sums);
            return with_scratch(place, [&](Run run) {
                Kernels<T>::ensemble_scores(p, of_components, run);
            });
        });
    });
}

}  // namespace enfilt::cuda::bindings
