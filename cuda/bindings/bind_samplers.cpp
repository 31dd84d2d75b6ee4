// EnFF and EnSF, step by step and in the reduced form, and normals.
#include "arguments.hpp"

namespace enfilt::cuda::bindings {

namespace {

// What a sampler's problems have in common; of the first ensemble of a batch.
template <class Problem>
void read_ensembles(Problem& p, const Fields& f) {
    p.members = f.length("x1", 1), p.dim = f.length("x1", 2);
    p.x1 = f.at<std::remove_reference_t<decltype(*p.x1)>>("x1");
    p.noise = f.at<std::remove_reference_t<decltype(*p.noise)>>("noise");
    p.key = f.number<std::uint64_t>("key");
}

// And those of the flow's, whole or reduced.
template <class Problem>
void read_flow(Problem& p, const Fields& f, py::handle out) {
    read_ensembles(p, f);
    p.x0 = f.at<std::remove_reference_t<decltype(*p.x0)>>("x0");
    p.z = at<std::remove_reference_t<decltype(*p.z)>>(out);
    p.start = f.at<const std::int64_t>("start");
    p.log_weights = f.at<const double>("log_weights");
    p.heun = f.number<bool>("heun");
}

template <class Problem>
Batch batch_of(const Problem& p, const Fields& f, index_t y_next) {
    Batch batch;
    batch.count = f.length("x1", 0);
    batch.y = y_next;
    if (p.noise) {  // a draw of each ensemble, or several
        const auto draws = py::len(f["noise"].attr("shape")) == 4 ? f.length("noise", 1) : 1;
        batch.noise = draws * p.members * p.dim;
    }
    return batch;
}

}  // namespace

void register_samplers(py::module_& m) {
    m.attr("most_ensembles") = Batch::most;
    m.def("flow_analysis", [](py::handle problem, py::handle out, std::uint32_t first,
                              const Place& place) {
        return with_type_of(out, [&](auto zero) {
            using T = decltype(zero);
            const Fields f(problem);
            const table stages = f.on_host("stages");
            const auto seen = observed_or_none<T>(f["observed"]);
            FlowProblem<T> p;
            read_flow(p, f, out);
            p.batch = first;
            p.steps = stages.shape(0) - (p.heun ? 1 : 0);
            p.start_width = f.number<double>("start_width");
            p.stages = reinterpret_cast<const Stage*>(stages.data());
            p.observed = seen ? &seen->first : nullptr;
            const Batch batch = batch_of(p, f, seen ? seen->y_next : 0);
            return with_scratch(place,
                                [&](Run run) { Kernels<T>::flow_analysis(p, batch, run); });
        });
    });
    m.def("diffusion_analysis", [](py::handle problem, py::handle out, std::uint32_t first,
                                   const Place& place) {
        return with_type_of(out, [&](auto zero) {
            using T = decltype(zero);
            const Fields f(problem);
            const table schedule = f.on_host("schedule");
            const ObservedArrays<T> seen(f["observed"]);
            DiffusionProblem<T> p;
            read_ensembles(p, f);
            p.x = at<T>(out);
            p.batch = first;
            p.steps = schedule.shape(0);
            p.schedule = reinterpret_cast<const DiffusionStep*>(schedule.data());
            p.score_limit = f.number<double>("score_limit");
            p.paired = f.number<bool>("paired");
            p.standardize = f.number<bool>("standardize");
            p.observed = &seen.first;
            const Batch batch = batch_of(p, f, seen.y_next);
            return with_scratch(place,
                                [&](Run run) { Kernels<T>::diffusion_analysis(p, batch, run); });
        });
    });
    // Of one ensemble. `tables` on the device: precisions (groups,), stages (count, 5), maps
    // (count, groups, 3)
    m.def("reduced_analysis", [](py::handle problem, py::handle tables, py::handle out,
                                 std::uint32_t first, const Place& place) {
        return with_type_of(out, [&](auto zero) {
            using T = decltype(zero);
            const Fields f(problem), from(f["start_from"]);
            const auto seen = observed_or_none<T>(f["observed"]);
            const index_t stages = f.length("stages", 0);
            ReducedProblem<T> p;
            read_flow(p, f, out);
            p.batch = first;
            p.steps = stages - (p.heun ? 1 : 0);
            p.start_x1 = from.number<double>("x1"), p.start_x0 = from.number<double>("x0");
            p.start_width = from.number<double>("width");
            p.standardize = f.number<bool>("standardize");
            p.paired = f.number<bool>("paired");
            p.gains = f.at<const double>("gains");
            p.groups = f.length("precisions", 0);
            p.precisions = at<const double>(tables);
            p.stages = reinterpret_cast<const ReducedStage*>(p.precisions + p.groups);
            p.maps = reinterpret_cast<const ReducedMap*>(p.stages + stages);
            p.observed = seen ? &seen->first : nullptr;
            return with_scratch(place, [&](Run run) { Kernels<T>::reduced_analysis(p, run); });
        });
    });
    m.def("normals", [](std::uint64_t key, std::uint32_t batch, std::uint32_t step, py::handle out,
                        const Place& place) {
        return with_type_of(out, [&](auto zero) {
            using T = decltype(zero);
            const index_t members = length(out, 0), dim = length(out, 1);
            T* const to = at<T>(out);
            return with_scratch(place, [&](Run run) {
                Kernels<T>::normals(key, batch, step, members, dim, to, run);
            });
        });
    });
}

}  // namespace enfilt::cuda::bindings
