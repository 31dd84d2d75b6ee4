#include "arrays.hpp"
#include "call.hpp"

namespace enfilt::bindings {

namespace {

template <class T>
void add_lenff(py::module_& m) {
    m.def(
        "lenff_window",
        [](const array<T>& x, array<T>& out, const array<double>& pseudo_times, index_t rows,
           index_t columns, bool periodic, const array<std::int64_t>& offsets,
           const array<double>& rho, const py::tuple& observed) {
            const ObservedArrays<T> obs(observed);
            LenffWindow<T> p;
            p.members = x.shape(0);
            p.dim = x.shape(1);
            p.steps = pseudo_times.size();
            p.x = x.data();
            p.out = out.mutable_data();
            p.pseudo_times = pseudo_times.data();
            p.rows = rows;
            p.columns = columns;
            p.periodic = periodic;
            p.count = rho.size();
            p.offsets = offsets.data();
            p.rho = rho.data();
            p.observed = &obs.view;
            released([&] { kernels<T>().lenff_window(p); });
        },
        py::arg("x").noconvert(), py::arg("out").noconvert(), py::arg("pseudo_times").noconvert(),
        py::arg("rows"), py::arg("columns"), py::arg("periodic"), py::arg("offsets").noconvert(),
        py::arg("rho").noconvert(), py::arg("observed"));
    m.def(
        "lenff_lists",
        [](array<T>& x, const array<double>& pseudo_times, const array<T>& y,
           const array<double>& precision, const optional_array<T>& values,
           std::optional<array<T>>& moved, const std::optional<py::tuple>& operation,
           const optional_array<std::int64_t>& columns, const std::vector<ListArrays>& of_state,
           const std::vector<ListArrays>& of_moved,
           const std::vector<ListArrays>& of_observations) {
            LenffLists<T> p;
            p.members = x.shape(0);
            p.dim = x.shape(1);
            p.observations = y.size();
            p.steps = pseudo_times.size();
            p.x = x.mutable_data();
            p.pseudo_times = pseudo_times.data();
            p.y = y.data();
            p.precision = precision.data();
            p.values = data_or_null(values);
            if (moved) p.moved = moved->mutable_data();
            std::optional<ObservedArrays<T>> observed;
            if (operation) p.operation = &observed.emplace(*operation).view;
            p.columns = data_or_null(columns);
            const auto state = views(of_state), along = views(of_moved),
                       observations = views(of_observations);
            p.of_state = state.data();
            p.of_moved = along.data();
            p.of_observations = observations.data();
            p.state_parts = static_cast<index_t>(state.size());
            p.moved_parts = static_cast<index_t>(along.size());
            p.observation_parts = static_cast<index_t>(observations.size());
            released([&] { kernels<T>().lenff_lists(p); });
        },
        py::arg("x").noconvert(), py::arg("pseudo_times").noconvert(), py::arg("y").noconvert(),
        py::arg("precision").noconvert(), py::arg("values").noconvert(),
        py::arg("moved").noconvert(), py::arg("operation"), py::arg("columns").noconvert(),
        py::arg("of_state"), py::arg("of_moved"), py::arg("of_observations"));
}

}  // namespace

void register_lenff(py::module_& m) {
    add_lenff<float>(m);
    add_lenff<double>(m);
}

}  // namespace enfilt::bindings
