#include "arrays.hpp"
#include "call.hpp"

namespace enfilt::bindings {

namespace {

template <class T>
void add_flow(py::module_& m) {
    m.def(
        "flow_analysis",
        [](const array<T>& x1, const optional_array<T>& x0, array<T>& out, double start_width,
           const optional_array<std::int64_t>& start, const optional_array<T>& noise,
           std::uint64_t key, const array<double>& stages, bool heun,
           const optional_array<double>& log_weights, const optional_array<double>& gains,
           const std::optional<py::tuple>& observed) {
            std::optional<ObservedArrays<T>> obs;
            if (observed) obs.emplace(*observed);
            FlowProblem<T> p;
            p.members = x1.shape(1);
            p.dim = x1.shape(2);
            p.steps = stages.shape(0) - (heun ? 1 : 0);
            p.start_width = start_width;
            p.key = key;
            p.stages = reinterpret_cast<const Stage*>(stages.data());
            p.heun = heun;
            p.x1 = x1.data();
            p.x0 = data_or_null(x0);
            p.z = out.mutable_data();
            p.start = data_or_null(start);
            p.noise = data_or_null(noise);
            p.log_weights = data_or_null(log_weights);
            p.gains = data_or_null(gains);
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
        py::arg("x1").noconvert(), py::arg("x0").noconvert(), py::arg("out").noconvert(),
        py::arg("start_width"), py::arg("start").noconvert(), py::arg("noise").noconvert(),
        py::arg("key"), py::arg("stages").noconvert(), py::arg("heun"),
        py::arg("log_weights").noconvert(), py::arg("gains").noconvert(), py::arg("observed"));
    m.def(
        "misfit",
        [](const array<T>& x, const py::tuple& observed, array<double>& out) {
            const ObservedArrays<T> obs(observed);
            const T* from = x.data();
            double* to = out.mutable_data();
            const index_t members = x.shape(0), dim = x.shape(1);
            released([&] { kernels<T>().misfit(from, members, dim, obs.view, to); });
        },
        py::arg("x").noconvert(), py::arg("observed"), py::arg("out").noconvert());
    m.def(
        "anomaly_grams",
        [](const array<T>& x, const py::tuple& observed, array<double>& states,
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
    add_flow<float>(m);
    add_flow<double>(m);
}

}  // namespace enfilt::bindings
