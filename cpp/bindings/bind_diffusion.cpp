#include "arrays.hpp"
#include "call.hpp"

namespace enfilt::bindings {

namespace {

template <class T>
void add_diffusion(py::module_& m) {
    m.def(
        "diffusion_analysis",
        [](py::handle problem, array<T>& out) {
            const Fields f(problem);
            const ObservedArrays<T> obs(f["observed"]);
            const array<T> x1 = f.of<T>("x1");
            const array<double> schedule = f.of<double>("schedule");
            DiffusionProblem<T> p;
            p.members = x1.shape(1);
            p.dim = x1.shape(2);
            p.steps = schedule.shape(0);
            p.x1 = x1.data();
            p.x = out.mutable_data();
            p.noise = f.data<T>("noise");
            p.key = f.number<std::uint64_t>("key");
            p.schedule = reinterpret_cast<const DiffusionStep*>(schedule.data());
            p.score_limit = f.number<double>("score_limit");
            p.paired = f.number<bool>("paired");
            p.standardize = f.number<bool>("standardize");
            const auto batch = f.number<std::uint32_t>("batch");
            const index_t count = x1.shape(0), size = p.members * p.dim;
            const index_t noise_size = p.noise ? f.of<T>("noise").size() / count : 0;
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
        py::arg("problem"), py::arg("out").noconvert());
}

}  // namespace

void register_diffusion(py::module_& m) {
    static_assert(sizeof(DiffusionStep) == 8 * sizeof(double), "a step is a row of eight numbers");
    add_diffusion<float>(m);
    add_diffusion<double>(m);
}

}  // namespace enfilt::bindings
