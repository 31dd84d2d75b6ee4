// LETKF and LEnFF.
#include "arguments.hpp"

namespace enfilt::cuda::bindings {

namespace {

template <class T>
LetkfEnsemble<T> ensemble_of(address x, index_t members, index_t dim, address out,
                             address rotation) {
    return {members, dim, at<T>(x), at<T>(out), at<double>(rotation)};
}

}  // namespace

void register_localized(py::module_& m) {
    m.attr("letkf_members") = Kernels<float>::letkf_members();
    m.def("letkf_window",
          [](bool is_double, address x, index_t members, index_t dim, address out,
             address rotation, index_t grid_rows, index_t grid_columns, bool periodic,
             index_t count, address offsets, address rho, const py::tuple& observed,
             const Place& place) {
              return with_type(is_double, [&](auto zero) {
                  using T = decltype(zero);
                  LetkfWindow<T> p{ensemble_of<T>(x, members, dim, out, rotation)};
                  p.rows = grid_rows, p.columns = grid_columns, p.periodic = periodic;
                  p.count = count;
                  p.offsets = at<std::int64_t>(offsets), p.rho = at<double>(rho);
                  const Observed<T> seen = observed_of<T>(observed);
                  p.observed = &seen;
                  return with_scratch(place,
                                      [&](Run run) { Kernels<T>::letkf_window(p, run); });
              });
          });
    m.def("letkf_lists", [](bool is_double, address x, index_t members, index_t dim, address out,
                            address rotation, index_t first, index_t count, address starts,
                            address indices, address rho, address rows, const Place& place) {
        return with_type(is_double, [&](auto zero) {
            using T = decltype(zero);
            LetkfLists<T> p{ensemble_of<T>(x, members, dim, out, rotation), {}};
            p.first = first, p.count = count;
            p.starts = at<std::int64_t>(starts), p.indices = at<std::int64_t>(indices);
            p.rho = at<double>(rho), p.rows = at<T>(rows);
            return with_scratch(place, [&](Run run) { Kernels<T>::letkf_lists(p, run); });
        });
    });
    m.attr("lenff_group") = Kernels<float>::lenff_group();
    m.def("lenff_window",
          [](bool is_double, address x, index_t members, index_t dim, address out,
             const table& pseudo_times, index_t grid_rows, index_t grid_columns, bool periodic,
             index_t reach_rows, index_t reach_columns, index_t count, address places, address rho,
             const py::tuple& observed, const Place& place) {
              return with_type(is_double, [&](auto zero) {
                  using T = decltype(zero);
                  LenffGroups<T> p;
                  p.members = members, p.dim = dim, p.steps = pseudo_times.shape(0);
                  p.x = at<T>(x), p.out = at<T>(out);
                  p.pseudo_times = pseudo_times.data();
                  p.rows = grid_rows, p.columns = grid_columns, p.periodic = periodic;
                  p.reach_rows = reach_rows, p.reach_columns = reach_columns;
                  p.count = count;
                  p.places = at<std::int64_t>(places), p.rho = at<double>(rho);
                  p.observed = observed_of<T>(observed);
                  return with_scratch(place,
                                      [&](Run run) { Kernels<T>::lenff_window(p, run); });
              });
          });
    m.def("lenff_lists",
          [](bool is_double, address rows, index_t count, index_t members, address starts,
             address indices, address rho, address anomalies, address gains, address moves,
             address bounds, const Place& place) {
              return with_type(is_double, [&](auto zero) {
                  using T = decltype(zero);
                  LenffSums<T> p;
                  p.count = count, p.members = members;
                  p.rows = at<T>(rows);
                  p.starts = at<std::int64_t>(starts), p.indices = at<std::int64_t>(indices);
                  p.rho = at<double>(rho);
                  p.anomalies = at<T>(anomalies), p.gains = at<T>(gains);
                  p.moves = at<T>(moves), p.bounds = at<double>(bounds);
                  return with_scratch(place,
                                      [&](Run run) { Kernels<T>::lenff_lists(p, run); });
              });
          });
}

}  // namespace enfilt::cuda::bindings
