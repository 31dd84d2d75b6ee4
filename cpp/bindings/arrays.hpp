// Between NumPy arrays and the kernels' pointers. Arrays arrive checked and contiguous
// (python/enfilt/_checks.py): nothing is converted or copied here.
#pragma once

#include <enfilt/problem.hpp>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <tuple>
#include <vector>

namespace enfilt::bindings {

namespace py = pybind11;

template <class T>
using array = py::array_t<T, py::array::c_style>;
template <class T>
using optional_array = std::optional<array<T>>;

template <class T>
const T* data_or_null(const optional_array<T>& a) {
    return a ? a->data() : nullptr;
}

// (kind, parameter, offset, stride, size, indices or None, y, precision, addresses of the C
// functions of Pointwise::function or 0 twice)
template <class T>
struct ObservedArrays {
    array<T> y, precision;
    optional_array<std::int64_t> indices;
    Observed<T> view;
    bool y_varies;  // over the batch

    explicit ObservedArrays(const py::tuple& parts)
        : y(parts[6].cast<array<T>>()), precision(parts[7].cast<array<T>>()),
          indices(parts[5].cast<optional_array<std::int64_t>>()), y_varies(y.ndim() > 1) {
        view.kind = static_cast<Pointwise>(parts[0].cast<int>());
        view.parameter = parts[1].cast<double>();
        view.offset = parts[2].cast<index_t>();
        view.stride = parts[3].cast<index_t>();
        view.size = parts[4].cast<index_t>();
        view.indices = data_or_null(indices);
        view.y = y.data();
        view.precision = precision.data();
        view.precision_varies = precision.size() > 1;
        const auto values = parts[8].cast<std::uintptr_t>();
        const auto linearize = parts[9].cast<std::uintptr_t>();
        view.function.values = reinterpret_cast<decltype(view.function.values)>(values);
        view.function.linearize = reinterpret_cast<decltype(view.function.linearize)>(linearize);
    }

    // The observations of ensemble b of the batch.
    Observed<T> of(index_t b) const {
        Observed<T> one = view;
        if (y_varies) one.y += b * view.size;
        return one;
    }
};

// (first, starts, indices, weights, owners or None, components or None), as LocalLists in
// python/enfilt/backends/letkf.py
using ListArrays =
    std::tuple<index_t, array<std::int64_t>, array<std::int64_t>, array<double>,
               optional_array<std::int64_t>, optional_array<std::int64_t>>;

inline PlaceLists view(const ListArrays& lists) {
    const auto& [first, starts, indices, rho, owners, components] = lists;
    PlaceLists p;
    p.first = first;
    p.count = starts.size() - 1;
    p.starts = starts.data();
    p.indices = indices.data();
    p.rho = rho.data();
    p.owners = data_or_null(owners);
    p.components = data_or_null(components);
    return p;
}

inline std::vector<PlaceLists> views(const std::vector<ListArrays>& parts) {
    std::vector<PlaceLists> all;
    for (const ListArrays& part : parts) all.push_back(view(part));
    return all;
}

// Points a sampler's problem, made for a batch, to the arrays of ensemble b.
template <class Problem>
void take_ensemble(Problem& p, index_t b, index_t gain_size) {
    const index_t size = p.members * p.dim;
    p.x1 += b * size;
    p.z += b * size;
    if (p.x0) p.x0 += b * size;
    if (p.start) p.start += b * p.members;
    if (p.noise) p.noise += b * size;
    if (p.log_weights) p.log_weights += b * p.members;
    if (p.gains) p.gains += b * gain_size;
}

void register_config(py::module_&);
void register_pairwise(py::module_&);
void register_flow(py::module_&);
void register_diffusion(py::module_&);
void register_reduced(py::module_&);
void register_inflation(py::module_&);
void register_scores(py::module_&);
void register_models(py::module_&);
void register_letkf(py::module_&);
void register_lenff(py::module_&);
void register_neighbours(py::module_&);

}  // namespace enfilt::bindings
