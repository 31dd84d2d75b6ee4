// EnFF and EnSF, step by step and in the reduced form, and normals.
#include "arguments.hpp"

namespace enfilt::cuda::bindings {

void register_samplers(py::module_& m) {
    m.def("flow_analysis",
          [](bool is_double, address x1, address x0, index_t members, index_t dim, address out,
             double start_width, address start, address noise, std::uint64_t key,
             std::uint32_t batch, const table& stages, bool heun, address log_weights,
             const std::optional<py::tuple>& observed, const Place& place) {
              return with_type(is_double, [&](auto zero) {
                  using T = decltype(zero);
                  FlowProblem<T> p;
                  p.members = members, p.dim = dim;
                  p.steps = stages.shape(0) - (heun ? 1 : 0);
                  p.x1 = at<T>(x1), p.x0 = at<T>(x0), p.z = at<T>(out);
                  p.start_width = start_width;
                  p.start = at<std::int64_t>(start);
                  p.noise = at<T>(noise);
                  p.key = key, p.batch = batch;
                  p.stages = reinterpret_cast<const Stage*>(stages.data());
                  p.heun = heun;
                  p.log_weights = at<double>(log_weights);
                  std::optional<Observed<T>> seen;
                  if (observed) seen = observed_of<T>(*observed);
                  p.observed = seen ? &*seen : nullptr;
                  return with_scratch(place,
                                      [&](Run run) { Kernels<T>::flow_analysis(p, run); });
              });
          });
    m.def("diffusion_analysis", [](bool is_double, address x1, index_t members, index_t dim,
                                   address out, address noise, std::uint64_t key,
                                   std::uint32_t batch, const table& schedule, double score_limit,
                                   bool paired, bool standardize, const py::tuple& observed,
                                   const Place& place) {
        return with_type(is_double, [&](auto zero) {
            using T = decltype(zero);
            DiffusionProblem<T> p;
            p.members = members, p.dim = dim, p.steps = schedule.shape(0);
            p.x1 = at<T>(x1), p.x = at<T>(out);
            p.noise = at<T>(noise);
            p.key = key, p.batch = batch;
            p.schedule = reinterpret_cast<const DiffusionStep*>(schedule.data());
            p.score_limit = score_limit;
            p.paired = paired, p.standardize = standardize;
            const Observed<T> seen = observed_of<T>(observed);
            p.observed = &seen;
            return with_scratch(place,
                                [&](Run run) { Kernels<T>::diffusion_analysis(p, run); });
        });
    });
    // `tables` on the device: precisions (groups,), stages (count, 5), maps (count, groups, 3)
    m.def("reduced_analysis",
          [](bool is_double, address x1, address x0, index_t members, index_t dim, address out,
             const std::array<double, 3>& start_from, address start, address noise,
             std::uint64_t key, std::uint32_t batch, bool standardize, address tables,
             index_t groups, index_t stages, bool heun, bool paired, address log_weights,
             address gains, const std::optional<py::tuple>& observed, const Place& place) {
              return with_type(is_double, [&](auto zero) {
                  using T = decltype(zero);
                  ReducedProblem<T> p;
                  p.members = members, p.dim = dim;
                  p.steps = stages - (heun ? 1 : 0);
                  p.x1 = at<T>(x1), p.x0 = at<T>(x0), p.z = at<T>(out);
                  p.start_x1 = start_from[0], p.start_x0 = start_from[1];
                  p.start_width = start_from[2];
                  p.start = at<std::int64_t>(start);
                  p.noise = at<T>(noise);
                  p.key = key, p.batch = batch;
                  p.standardize = standardize;
                  p.groups = groups;
                  p.precisions = at<double>(tables);
                  p.stages = reinterpret_cast<const ReducedStage*>(p.precisions + groups);
                  p.maps = reinterpret_cast<const ReducedMap*>(p.stages + stages);
                  p.heun = heun, p.paired = paired;
                  p.log_weights = at<double>(log_weights);
                  p.gains = at<double>(gains);
                  std::optional<Observed<T>> seen;
                  if (observed) seen = observed_of<T>(*observed);
                  p.observed = seen ? &*seen : nullptr;
                  return with_scratch(place,
                                      [&](Run run) { Kernels<T>::reduced_analysis(p, run); });
              });
          });
    m.def("normals", [](bool is_double, std::uint64_t key, std::uint32_t batch, std::uint32_t step,
                        index_t members, index_t dim, address out, const Place& place) {
        return with_type(is_double, [&](auto zero) {
            using T = decltype(zero);
            return with_scratch(place, [&](Run run) {
                Kernels<T>::normals(key, batch, step, members, dim, at<T>(out), run);
            });
        });
    });
}

}  // namespace enfilt::cuda::bindings
