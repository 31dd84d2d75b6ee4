#include <array>

#include "arrays.hpp"
#include "call.hpp"

namespace enfilt::bindings {

namespace {

template <class T>
void add_reduced(py::module_& m) {
    m.def(
        "reduced_analysis",
        [](const array<T>& x1, const optional_array<T>& x0, array<T>& out,
           const std::array<double, 3>& start_from, const optional_array<std::int64_t>& start,
           const optional_array<T>& noise, std::uint64_t key, std::uint32_t batch, bool standardize,
           const array<double>& stages, const array<double>& maps, bool heun, bool paired,
           const optional_array<double>& log_weights, const optional_array<double>& gains,
           const array<double>& precisions, const std::optional<py::tuple>& observed) {
            std::optional<ObservedArrays<T>> obs;
            if (observed) obs.emplace(*observed);
            ReducedProblem<T> p;
            p.members = x1.shape(1);
            p.dim = x1.shape(2);
            p.steps = stages.shape(0) - (heun ? 1 : 0);
            p.x1 = x1.data();
            p.x0 = data_or_null(x0);
            p.z = out.mutable_data();
            p.start_x1 = start_from[0];
            p.start_x0 = start_from[1];
            p.start_width = start_from[2];
            p.start = data_or_null(start);
            p.noise = data_or_null(noise);
            p.key = key;
            p.standardize = standardize;
            p.stages = reinterpret_cast<const ReducedStage*>(stages.data());
            p.maps = reinterpret_cast<const ReducedMap*>(maps.data());
            p.heun = heun;
            p.paired = paired;
            p.log_weights = data_or_null(log_weights);
            p.gains = data_or_null(gains);
            p.groups = precisions.size();
            p.precisions = precisions.data();
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
        py::arg("x1").noconvert(), py::arg("x0").noconvert(), py::arg("out").noconvert(),
        py::arg("start_from"), py::arg("start").noconvert(), py::arg("noise").noconvert(),
        py::arg("key"), py::arg("batch"), py::arg("standardize"), py::arg("stages").noconvert(),
        py::arg("maps").noconvert(), py::arg("heun"), py::arg("paired"),
        py::arg("log_weights").noconvert(), py::arg("gains").noconvert(),
        py::arg("precisions").noconvert(), py::arg("observed"));
}

}  // namespace

void register_reduced(py::module_& m) {
    add_reduced<float>(m);
    add_reduced<double>(m);
}

}  // namespace enfilt::bindings
