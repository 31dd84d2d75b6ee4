#include "arrays.hpp"
#include "call.hpp"

namespace enfilt::bindings {

namespace {

template <class T>
void add_lenff(py::module_& m) {
    m.def(
        "lenff_window",
        [](const array<T>& x, py::handle window, py::handle observed,
           const array<double>& pseudo_times, array<T>& out) {
            const ObservedArrays<T> obs(observed);
            LenffWindow<T> p;
            p.members = x.shape(0);
            p.dim = x.shape(1);
            p.steps = pseudo_times.size();
            p.x = x.data();
            p.out = out.mutable_data();
            p.pseudo_times = pseudo_times.data();
            read_window(p, Fields(window));
            p.observed = &obs.view;
            released([&] { kernels<T>().lenff_window(p); });
        },
        py::arg("x").noconvert(), py::arg("window"), py::arg("observed"),
        py::arg("pseudo_times").noconvert(), py::arg("out").noconvert());
    // The steps `pseudo_times` of a problem: of `values`, where h is Python's, or of h(x) that moves
    // along, `moved`; or else the kernel evaluates h.
    m.def(
        "lenff_lists",
        [](py::handle problem, const array<double>& pseudo_times, const optional_array<T>& values,
           std::optional<array<T>>& moved, array<T>& x) {
            const Fields f(problem);
            LenffLists<T> p;
            p.members = x.shape(0);
            p.dim = x.shape(1);
            p.steps = pseudo_times.size();
            p.x = x.mutable_data();
            p.pseudo_times = pseudo_times.data();
            const array<T> y = f.of<T>("y");
            p.observations = y.size();
            p.y = y.data();
            p.precision = f.data<double>("precision");
            p.values = data_or_null(values);
            if (moved) p.moved = moved->mutable_data();
            const auto observed = observed_or_none<T>(f["observed"]);
            if (observed) p.operation = &observed->view;
            p.columns = f.data<std::int64_t>("components");
            const auto state = views_of(f["of_state"]), observations = views_of(f["of_observations"]);
            const auto along = moved ? views_of(f["of_values"]) : std::vector<PlaceLists>();
            p.of_state = state.data();
            p.of_moved = along.data();
            p.of_observations = observations.data();
            p.state_parts = static_cast<index_t>(state.size());
            p.moved_parts = static_cast<index_t>(along.size());
            p.observation_parts = static_cast<index_t>(observations.size());
            released([&] { kernels<T>().lenff_lists(p); });
        },
        py::arg("problem"), py::arg("pseudo_times").noconvert(), py::arg("values").noconvert(),
        py::arg("moved").noconvert(), py::arg("x").noconvert());
}

}  // namespace

void register_lenff(py::module_& m) {
    add_lenff<float>(m);
    add_lenff<double>(m);
}

}  // namespace enfilt::bindings
