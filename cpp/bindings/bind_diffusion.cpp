#include "arrays.hpp"
#include "call.hpp"

namespace enfilt::bindings {

namespace {

template <class T>
void add_diffusion(py::module_& m) {
    m.def(
        "diffusion_analysis",
        [](const array<T>& x1, array<T>& out, const optional_array<T>& noise, std::uint64_t key,
           std::uint32_t batch, const array<double>& schedule, double score_limit, bool paired,
           bool standardize, const py::tuple& observed) {
            const ObservedArrays<T> obs(observed);
            DiffusionProblem<T> p;
            p.members = x1.shape(1);
            p.dim = x1.shape(2);
            p.steps = schedule.shape(0);
            p.x1 = x1.data();
            p.x = out.mutable_data();
            p.noise = data_or_null(noise);
            p.key = key;
            p.schedule = reinterpret_cast<const DiffusionStep*>(schedule.data());
            p.score_limit = score_limit;
            p.paired = paired;
            p.standardize = standardize;
            const index_t count = x1.shape(0), size = p.members * p.dim;
            const index_t noise_size = noise ? noise->size() / count : 0;
            released([&] {
                for_each_ensemble(count, p.dim, [&](index_t b) {
                    DiffusionProblem<T> one = p;
                    const Observed<T> seen = obs.of(b);
                    one.batch = batch + static_cast<std::uint32_t>(b);
                    one.x1 += b * size;
                    one.x += b * size;
                    if (one.noise) one.noise += b * noise_size;
                    one.observed = &seen;
                    kernels<T>().diffusion_analysis(one);
                });
            });
        },
        py::arg("x1").noconvert(), py::arg("out").noconvert(), py::arg("noise").noconvert(),
        py::arg("key"), py::arg("batch"), py::arg("schedule").noconvert(), py::arg("score_limit"),
        py::arg("paired"), py::arg("standardize"), py::arg("observed"));
}

}  // namespace

void register_diffusion(py::module_& m) {
    static_assert(sizeof(DiffusionStep) == 8 * sizeof(double), "a step is a row of eight numbers");
    add_diffusion<float>(m);
    add_diffusion<double>(m);
}

}  // namespace enfilt::bindings
