// From what Python passes to the structures of the kernels. Arrays come as addresses with their
// sizes, checked in Python; nothing here looks at them.
#pragma once

#include <enfilt_cuda/graphs.hpp>
#include <enfilt_cuda/kernels.hpp>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <optional>

namespace enfilt::cuda::bindings {

namespace py = pybind11;

using address = std::uintptr_t;  // 0: none
using table = py::array_t<double, py::array::c_style>;

template <class U>
U* at(address a) {
    return reinterpret_cast<U*>(a);
}

// (kind, parameter, offset, stride, size, indices, y, precision, whether that varies)
template <class T>
Observed<T> observed_of(const py::tuple& parts) {
    Observed<T> o;
    o.kind = static_cast<Pointwise>(parts[0].cast<int>());
    o.parameter = parts[1].cast<double>();
    o.offset = parts[2].cast<index_t>();
    o.stride = parts[3].cast<index_t>();
    o.size = parts[4].cast<index_t>();
    o.indices = at<std::int64_t>(parts[5].cast<address>());
    o.y = at<T>(parts[6].cast<address>());
    o.precision = at<T>(parts[7].cast<address>());
    o.precision_varies = parts[8].cast<bool>();
    return o;
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

// Calls body with a value of the working type.
template <class Body>
std::size_t with_type(bool is_double, Body&& body) {
    return is_double ? body(double()) : body(float());
}

void register_pairwise(py::module_& m);
void register_samplers(py::module_& m);
void register_localized(py::module_& m);
void register_others(py::module_& m);
// Of device.cpp or host.cpp.
void register_device(py::module_& m);

}  // namespace enfilt::cuda::bindings
