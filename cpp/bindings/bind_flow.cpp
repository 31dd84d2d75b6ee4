#include "arrays.hpp"
#include "call.hpp"

namespace enfilt::bindings {

namespace {

template <class T>
void add_flow(py::module_& m) {
    m.def(
        "flow_analysis",
        [](py::handle problem, array<T>& out) {
            const Fields f(problem);
            const auto obs = observed_or_none<T>(f["observed"]);
            const array<T> x1 = f.of<T>("x1");
            const array<double> stages = f.of<double>("stages");
            FlowProblem<T> p;
            read_sampler(p, f, x1, out);
            p.steps = stages.shape(0) - (p.heun ? 1 : 0);
            p.start_width = f.number<double>("start_width");
            p.stages = reinterpret_cast<const Stage*>(stages.data());
            const index_t count = x1.shape(0);
            const index_t gain_size = stages.shape(0) * p.members * p.members;
            released([&] {
                for_each_ensemble(count, p.dim, [&](index_t b) {
                    FlowProblem<T> one = p;
                    Observed<T> seen;
                    one.batch = static_cast<std::uint32_t>(b);
                    take_ensemble(one, b, gain_size);
                    if (obs) {
                        seen = obs->of(b);
                        one.observed = &seen;
                    }
                    kernels<T>().flow_analysis(one);
                });
            });
        },
        py::arg("problem"), py::arg("out").noconvert());
    m.def(
        "misfit",
        [](const array<T>& x, py::handle observed, array<double>& out) {
            const ObservedArrays<T> obs(observed);
            const T* from = x.data();
            double* to = out.mutable_data();
            const index_t members = x.shape(0), dim = x.shape(1);
            released([&] { kernels<T>().misfit(from, members, dim, obs.view, to); });
        },
        py::arg("x").noconvert(), py::arg("observed"), py::arg("out").noconvert());
    m.def(
        "anomaly_grams",
        [](const array<T>& x, py::handle observed, array<double>& states,
           array<double>& observed_gram) {
            const ObservedArrays<T> obs(observed);
            const T* from = x.data();
            double* to_states = states.mutable_data();
            double* to_observed = observed_gram.mutable_data();
            const index_t members = x.shape(0), dim = x.shape(1);
            released([&] {
                kernels<T>().anomaly_grams(from, members, dim, obs.view, to_states, to_observed);
            });
        },
        py::arg("x").noconvert(), py::arg("observed"), py::arg("states").noconvert(),
        py::arg("observed_gram").noconvert());
    m.def(
        "normals",
        [](std::uint64_t key, std::uint32_t batch, std::uint32_t step, array<T>& out) {
            T* to = out.mutable_data();
            const index_t members = out.shape(0), dim = out.shape(1);
            released([&] { kernels<T>().normals(key, batch, step, members, dim, to); });
        },
        py::arg("key"), py::arg("batch"), py::arg("step"), py::arg("out").noconvert());
}

}  // namespace

void register_flow(py::module_& m) {
    static_assert(sizeof(Stage) == 8 * sizeof(double), "a stage is a row of eight numbers");
    add_flow<float>(m);
    add_flow<double>(m);
}

}  // namespace enfilt::bindings
