// From what Python passes to the structures of the kernels: CuPy arrays, and structures of
// python/enfilt/backends/problems.py by the names of their fields, as for the CPU. Checked in
// Python; nothing here looks at what arrays hold.
#pragma once

#include <enfilt_cuda/graphs.hpp>
#include <enfilt_cuda/kernels.hpp>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>

#include "../../cpp/bindings/fields.hpp"

namespace enfilt::cuda::bindings {

namespace py = pybind11;
using enfilt::bindings::FieldsByName;

using address = std::uintptr_t;
using table = py::array_t<double, py::array::c_style>;

// Where an array on the device begins, null for None.
template <class U>
U* at(py::handle array) {
    if (array.is_none()) return nullptr;
    return reinterpret_cast<U*>(array.attr("data").attr("ptr").cast<address>());
}

inline index_t length(py::handle array, int axis) {
    return array.attr("shape")[py::int_(axis)].cast<index_t>();
}

class Fields : public FieldsByName {
  public:
    using FieldsByName::FieldsByName;

    template <class U>
    U* at(const char* name) const {
        return bindings::at<U>((*this)[name]);
    }
    index_t length(const char* name, int axis) const {
        return bindings::length((*this)[name], axis);
    }
    // An array on the host, which the caller keeps.
    table on_host(const char* name) const { return (*this)[name].cast<table>(); }
};

// ObservedComponents, with arrays on the device; of a batch where y has two axes.
template <class T>
struct ObservedArrays {
    Observed<T> first;
    index_t y_next = 0;  // from an ensemble's y to that of the next

    explicit ObservedArrays(py::handle observed) {
        const Fields o(observed);
        first.kind = enfilt::bindings::pointwise_of(py::cast<std::string_view>(o["kind"]));
        first.parameter = o.number<double>("parameter");
        first.offset = o.number<index_t>("offset");
        first.stride = o.number<index_t>("stride");
        first.size = o.number<index_t>("size");
        first.indices = o.at<const std::int64_t>("indices");
        first.y = o.at<const T>("y");
        if (py::len(o["y"].attr("shape")) > 1) y_next = first.size;
        first.precision = o.at<const T>("precision");
        first.precision_varies = o.length("precision", 0) > 1;
    }
};

template <class T>
std::optional<ObservedArrays<T>> observed_or_none(py::handle observed) {
    if (observed.is_none()) return std::nullopt;
    return ObservedArrays<T>(observed);
}

// LocalWindow, with arrays on the device.
template <class Window>
void read_window(Window& p, const Fields& window) {
    p.rows = window.number<index_t>("rows");
    p.columns = window.number<index_t>("columns");
    p.periodic = window.number<bool>("periodic");
    p.count = window.length("weights", 0);
    p.rho = window.at<const double>("weights");
}

// Where an operation works: scratch memory, a stream, and the graphs of the stream's device.
struct Place {
    address scratch, stream;
    Graphs* graphs;
};

// Calls run(Run) and starts the kernels that it writes down; returns how many bytes of scratch it
// takes. Without scratch it only counts.
template <class Body>
std::size_t with_scratch(const Place& place, Body&& run) {
    py::gil_scoped_release release;
    Workspace workspace(place.scratch);
    Launches launch;
    run(Run{workspace, launch});
    if (!workspace.counts_only()) place.graphs->start(std::move(launch.all), place.stream);
    return workspace.used();
}

// Calls body with a value of the working type, that of an array.
template <class Body>
std::size_t with_type_of(py::handle array, Body&& body) {
    const auto bytes = array.attr("dtype").attr("itemsize").cast<int>();
    return bytes == sizeof(double) ? body(double()) : body(float());
}

void register_pairwise(py::module_& m);
void register_samplers(py::module_& m);
void register_localized(py::module_& m);
void register_others(py::module_& m);
// Of device.cpp or host.cpp.
void register_device(py::module_& m);

}  // namespace enfilt::cuda::bindings
