// LETKF and LEnFF.
#include "arguments.hpp"

namespace enfilt::cuda::bindings {

namespace {

template <class T>
LetkfEnsemble<T> ensemble_of(py::handle x, py::handle rotation, py::handle out) {
    return {length(x, 0), length(x, 1), at<const T>(x), at<T>(out), at<const double>(rotation)};
}

// LocalLists, with arrays on the device.
template <class Lists>
void read_lists(Lists& p, const Fields& lists) {
    p.count = lists.length("starts", 0) - 1;
    p.starts = lists.at<const std::int64_t>("starts");
    p.indices = lists.at<const std::int64_t>("indices");
    p.rho = lists.at<const double>("weights");
}

}  // namespace

void register_localized(py::module_& m) {
    m.attr("letkf_members") = Kernels<float>::letkf_members();
    m.def("letkf_window", [](py::handle x, py::handle window, py::handle observed,
                             py::handle rotation, py::handle out, const Place& place) {
        return with_type_of(x, [&](auto zero) {
            using T = decltype(zero);
            const Fields w(window);
            const ObservedArrays<T> seen(observed);
            LetkfWindow<T> p{ensemble_of<T>(x, rotation, out)};
            read_window(p, w);
            p.offsets = w.at<const std::int64_t>("offsets");
            p.observed = &seen.first;
            return with_scratch(place, [&](Run run) { Kernels<T>::letkf_window(p, run); });
        });
    });
    m.def("letkf_lists", [](py::handle x, py::handle lists, py::handle rows, py::handle rotation,
                            py::handle out, const Place& place) {
        return with_type_of(x, [&](auto zero) {
            using T = decltype(zero);
            const Fields l(lists);
            LetkfLists<T> p{ensemble_of<T>(x, rotation, out), {}};
            read_lists(p, l);
            p.first = l.number<index_t>("first");
            p.rows = at<const T>(rows);
            return with_scratch(place, [&](Run run) { Kernels<T>::letkf_lists(p, run); });
        });
    });
    m.attr("lenff_group") = Kernels<float>::lenff_group();
    // `window` as groups of components see it, `reach` rows and columns of one component's
    m.def("lenff_window", [](py::handle x, py::handle window, const std::pair<index_t, index_t>& reach,
                             py::handle observed, const table& pseudo_times, py::handle out,
                             const Place& place) {
        return with_type_of(x, [&](auto zero) {
            using T = decltype(zero);
            const Fields w(window);
            LenffGroups<T> p;
            p.members = length(x, 0), p.dim = length(x, 1), p.steps = pseudo_times.shape(0);
            p.x = at<const T>(x), p.out = at<T>(out);
            p.pseudo_times = pseudo_times.data();
            read_window(p, w);
            p.places = w.at<const std::int64_t>("offsets");
            p.reach_rows = reach.first, p.reach_columns = reach.second;
            p.observed = ObservedArrays<T>(observed).first;
            return with_scratch(place, [&](Run run) { Kernels<T>::lenff_window(p, run); });
        });
    });
    m.def("lenff_lists", [](py::handle rows, py::handle lists, py::handle anomalies,
                            py::handle gains, py::handle moves, py::handle bounds,
                            const Place& place) {
        return with_type_of(rows, [&](auto zero) {
            using T = decltype(zero);
            LenffSums<T> p;
            read_lists(p, Fields(lists));
            p.count = length(rows, 0), p.members = length(rows, 1);
            p.rows = at<const T>(rows);
            p.anomalies = at<const T>(anomalies), p.gains = at<const T>(gains);
            p.moves = at<T>(moves), p.bounds = at<double>(bounds);
            return with_scratch(place, [&](Run run) { Kernels<T>::lenff_lists(p, run); });
        });
    });
}

}  // namespace enfilt::cuda::bindings
