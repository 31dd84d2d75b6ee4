// The pairwise estimator, and the scores of an ensemble.
#include "arguments.hpp"

namespace enfilt::cuda::bindings {

namespace {

template <class T>
PairwiseProblem<T> pairwise_of(address x, index_t points, address x1, address x0, index_t members,
                               index_t dim, const table& stage) {
    PairwiseProblem<T> p;
    p.points = points, p.members = members, p.dim = dim;
    p.x = at<T>(x), p.x1 = at<T>(x1), p.x0 = at<T>(x0);
    p.stage = *reinterpret_cast<const Stage*>(stage.data());
    return p;
}

}  // namespace

void register_pairwise(py::module_& m) {
    m.def("squared_distances", [](bool is_double, address x, index_t points, address x1, address x0,
                                  index_t members, index_t dim, const table& stage, address out,
                                  const Place& place) {
        return with_type(is_double, [&](auto zero) {
            using T = decltype(zero);
            auto p = pairwise_of<T>(x, points, x1, x0, members, dim, stage);
            p.squared_distances = at<double>(out);
            return with_scratch(place,
                                [&](Run run) { Kernels<T>::squared_distances(p, run); });
        });
    });
    m.def("pairwise_field", [](bool is_double, address x, index_t points, address x1, address x0,
                               index_t members, index_t dim, const table& stage,
                               address log_weights, address out, const Place& place) {
        return with_type(is_double, [&](auto zero) {
            using T = decltype(zero);
            auto p = pairwise_of<T>(x, points, x1, x0, members, dim, stage);
            p.log_weights = at<double>(log_weights);
            p.out = at<T>(out);
            return with_scratch(place,
                                [&](Run run) { Kernels<T>::pairwise_field(p, run); });
        });
    });
    m.def("ensemble_scores", [](bool is_double, address x, address truth, index_t members,
                                index_t dim, address sums, address to_members, address to_truth,
                                address ranks, const Place& place) {
        return with_type(is_double, [&](auto zero) {
            using T = decltype(zero);
            ScoreProblem<T> p;
            p.members = members, p.dim = dim;
            p.x = at<T>(x), p.truth = at<T>(truth);
            p.to_members = at<double>(to_members), p.to_truth = at<double>(to_truth);
            p.ranks = at<std::int64_t>(ranks);
            return with_scratch(place, [&](Run run) {
                Kernels<T>::ensemble_scores(p, at<double>(sums), run);
            });
        });
    });
}

}  // namespace enfilt::cuda::bindings
