// The extension module of the kernels: enfilt._cuda on the device, enfilt._cuda_host where the same
// bodies run on the CPU for tests.
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
}

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

void register_rest(py::module_& m) {
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
    m.attr("letkf_members") = Kernels<float>::letkf_members();
    m.def("letkf_window",
          [](bool is_double, address x, index_t members, index_t dim, address out,
             address rotation, index_t grid_rows, index_t grid_columns, bool periodic,
             index_t count, address offsets, address rho, const py::tuple& observed,
             const Place& place) {
              return with_type(is_double, [&](auto zero) {
                  using T = decltype(zero);
                  LetkfWindow<T> p;
                  p.members = members, p.dim = dim;
                  p.x = at<T>(x), p.out = at<T>(out);
                  p.rotation = at<double>(rotation);
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
            LetkfLists<T> p;
            p.members = members, p.dim = dim;
            p.x = at<T>(x), p.out = at<T>(out);
            p.rotation = at<double>(rotation);
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
                  LenffLists<T> p;
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

void register_place(py::module_& m) {
    // local: a process may load this module and the one whose kernels run on the CPU
    py::class_<Graphs>(m, "Graphs", py::module_local())
        .def(py::init())
        .def("counts", [](const Graphs& graphs) {
            const Graphs::Counts counts = graphs.counts();
            return py::make_tuple(counts.built, counts.changed, counts.started);
        });
    py::class_<Place>(m, "Place", py::module_local())
        .def(py::init<address, address, Graphs*>(), py::keep_alive<1, 4>());
}

}  // namespace

}  // namespace enfilt::cuda::bindings

PYBIND11_MODULE(ENFILT_CUDA_MODULE, m, pybind11::mod_gil_not_used()) {
    using namespace enfilt::cuda::bindings;
    m.doc() = "enfilt's CUDA kernels. Internal: arguments are not checked here.";
    register_place(m);
    register_pairwise(m);
    register_samplers(m);
    register_rest(m);
    register_device(m);
}
