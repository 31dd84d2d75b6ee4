#include "arrays.hpp"
#include "call.hpp"

namespace enfilt::bindings {

namespace {

template <class T>
void add_reduced(py::module_& m) {
    m.def(
        "reduced_analysis",
        [](py::handle problem, array<T>& out) {
            const Fields f(problem);
            const auto obs = observed_or_none<T>(f["observed"]);
            const array<T> x1 = f.of<T>("x1");
            const array<double> stages = f.of<double>("stages"), precisions = f.of<double>("precisions");
            ReducedProblem<T> p;
            read_sampler(p, f, x1, out);
            p.steps = stages.shape(0) - (p.heun ? 1 : 0);
            const Fields from(f["start_from"]);
            p.start_x1 = from.number<double>("x1");
            p.start_x0 = from.number<double>("x0");
            p.start_width = from.number<double>("width");
            p.standardize = f.number<bool>("standardize");
            p.stages = reinterpret_cast<const ReducedStage*>(stages.data());
            p.maps = reinterpret_cast<const ReducedMap*>(f.data<double>("maps"));
            p.paired = f.number<bool>("paired");
            p.groups = precisions.size();
            p.precisions = precisions.data();
            const auto batch = f.number<std::uint32_t>("batch");
            const index_t count = x1.shape(0);
            const index_t gain_size = stages.shape(0) * p.members * p.members;
            released([&] {
                for_each_ensemble(count, p.dim, [&](index_t b) {
                    ReducedProblem<T> one = p;
                    Observed<T> seen;
                    one.batch = batch + static_cast<std::uint32_t>(b);
                    take_ensemble(one, b, gain_size);
                    if (obs) {
                        seen = obs->of(b);
                        one.observed = &seen;
                    }
                    kernels<T>().reduced_analysis(one);
                });
            });
        },
        py::arg("problem"), py::arg("out").noconvert());
}

}  // namespace

void register_reduced(py::module_& m) {
    add_reduced<float>(m);
    add_reduced<double>(m);
}

}  // namespace enfilt::bindings
