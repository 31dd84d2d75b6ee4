// The extension module of the kernels: enfilt._cuda on the device, enfilt._cuda_host where the same
// bodies run on the CPU for tests.
#include "arguments.hpp"

namespace enfilt::cuda::bindings {

namespace {

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
    m.attr("operators") = enfilt::bindings::pointwise_kinds();
    register_place(m);
    register_pairwise(m);
    register_samplers(m);
    register_localized(m);
    register_others(m);
    register_device(m);
}
