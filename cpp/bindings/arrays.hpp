// Between Python's structures and the kernels'. Arrays arrive checked and contiguous
// (python/enfilt/_checks.py): nothing is converted or copied here.
#pragma once

#include <enfilt/problem.hpp>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <vector>

#include "fields.hpp"

namespace enfilt::bindings {

template <class T>
using array = py::array_t<T, py::array::c_style>;
template <class T>
using optional_array = std::optional<array<T>>;

template <class T>
const T* data_or_null(const optional_array<T>& a) {
    return a ? a->data() : nullptr;
}

// A structure and its arrays, which it keeps alive as long as a call lasts.
class Fields : public FieldsByName {
public:
    using FieldsByName::FieldsByName;

    // An array of T; nothing is converted.
    template <class T>
    array<T> of(const char* name) const {
        return checked<T>(name, (*this)[name]);
    }

    // Where such an array begins, null for None.
    template <class T>
    const T* data(const char* name) const {
        py::object value = (*this)[name];
        return value.is_none() ? nullptr : checked<T>(name, std::move(value)).data();
    }

private:
    template <class T>
    static array<T> checked(const char* name, py::object value) {
        if (!array<T>::check_(value))
            throw py::type_error(std::string(name) + " is no contiguous array of the kernel's type");
        return py::reinterpret_steal<array<T>>(value.release());
    }
};

// ObservedComponents of problems.py.
template <class T>
struct ObservedArrays {
    Observed<T> view;
    bool y_varies;  // over the batch

    explicit ObservedArrays(py::handle observed) {
        const Fields o(observed);
        view.kind = pointwise_of(py::cast<std::string_view>(o["kind"]));
        view.parameter = o.number<double>("parameter");
        view.offset = o.number<index_t>("offset");
        view.stride = o.number<index_t>("stride");
        view.size = o.number<index_t>("size");
        view.indices = o.data<std::int64_t>("indices");
        const array<T> y = o.of<T>("y"), precision = o.of<T>("precision");
        view.y = y.data();
        y_varies = y.ndim() > 1;
        view.precision = precision.data();
        view.precision_varies = precision.size() > 1;
        if (view.kind != Pointwise::function) return;
        const auto addresses = o["function"].attr("addresses")(y.dtype());
        const auto [values, linearize] = addresses.template cast<std::pair<std::uintptr_t, std::uintptr_t>>();
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

template <class T>
std::optional<ObservedArrays<T>> observed_or_none(py::handle observed) {
    if (observed.is_none()) return std::nullopt;
    return ObservedArrays<T>(observed);
}

// LocalLists of problems.py.
inline PlaceLists view_of(py::handle lists) {
    const Fields l(lists);
    PlaceLists p;
    p.first = l.number<index_t>("first");
    const array<std::int64_t> starts = l.of<std::int64_t>("starts");
    p.count = starts.size() - 1;
    p.starts = starts.data();
    p.indices = l.data<std::int64_t>("indices");
    p.rho = l.data<double>("weights");
    p.owners = l.data<std::int64_t>("owners");
    p.components = l.data<std::int64_t>("components");
    return p;
}

inline std::vector<PlaceLists> views_of(py::handle parts) {
    std::vector<PlaceLists> all;
    for (const py::handle part : parts) all.push_back(view_of(part));
    return all;
}

// LocalWindow of problems.py.
template <class Window>
void read_window(Window& p, const Fields& window) {
    p.rows = window.number<index_t>("rows");
    p.columns = window.number<index_t>("columns");
    p.periodic = window.number<bool>("periodic");
    p.offsets = window.data<std::int64_t>("offsets");
    const array<double> rho = window.of<double>("weights");
    p.count = rho.size();
    p.rho = rho.data();
}

// What a sampler's problems have in common.
template <class Problem, class T>
void read_sampler(Problem& p, const Fields& problem, const array<T>& x1, array<T>& out) {
    p.members = x1.shape(1);
    p.dim = x1.shape(2);
    p.x1 = x1.data();
    p.x0 = problem.data<T>("x0");
    p.z = out.mutable_data();
    p.start = problem.data<std::int64_t>("start");
    p.noise = problem.data<T>("noise");
    p.key = problem.number<std::uint64_t>("key");
    p.heun = problem.number<bool>("heun");
    p.log_weights = problem.data<double>("log_weights");
    p.gains = problem.data<double>("gains");
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
void register_share(py::module_&);

}  // namespace enfilt::bindings
