// Structures of python/enfilt/backends/problems.py, by the names of their fields: for the modules of
// the CPU and of a GPU.
#pragma once

#include <enfilt/problem.hpp>
#include <pybind11/pybind11.h>

#include <string>
#include <string_view>

namespace enfilt::bindings {

namespace py = pybind11;

class FieldsByName {
public:
    explicit FieldsByName(py::handle structure) : structure_(structure) {}

    py::object operator[](const char* name) const { return structure_.attr(name); }

    template <class N>
    N number(const char* name) const {
        return (*this)[name].template cast<N>();
    }

private:
    py::handle structure_;
};

inline Pointwise pointwise_of(std::string_view kind) {
#define ENFILT_NAMED(name, body) \
    if (kind == #name) return Pointwise::name;
    ENFILT_POINTWISE(ENFILT_NAMED)
#undef ENFILT_NAMED
    if (kind == "function") return Pointwise::function;
    throw py::value_error("no operator " + std::string(kind) + " in the kernels");
}

// The kinds of component-wise operators that kernels have, without functions of the caller's.
inline py::list pointwise_kinds() {
    py::list kinds;
#define ENFILT_LISTED(name, body) kinds.append(#name);
    ENFILT_POINTWISE(ENFILT_LISTED)
#undef ENFILT_LISTED
    return kinds;
}

}  // namespace enfilt::bindings
