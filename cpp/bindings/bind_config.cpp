#include <string>

#include "arrays.hpp"
#include "call.hpp"

namespace enfilt::bindings {

namespace {

template <class T>
void add_config(py::module_& m) {
    m.def(
        "triad",
        [](const array<T>& a, const array<T>& b, double k, array<T>& c) {
            const T* from_a = a.data();
            const T* from_b = b.data();
            T* to = c.mutable_data();
            const index_t n = c.size();
            released([&] { kernels<T>().triad(from_a, from_b, static_cast<T>(k), n, to); });
        },
        py::arg("a").noconvert(), py::arg("b").noconvert(), py::arg("k"), py::arg("c").noconvert());
    m.def(
        "elementary",
        [](const std::string& name, const array<T>& x, array<T>& out) {
            if (!kernels<T>().elementary(name.c_str(), x.data(), x.size(), out.mutable_data()))
                throw py::value_error("no elementary function " + name);
        },
        py::arg("name"), py::arg("x").noconvert(), py::arg("out").noconvert());
}

}  // namespace

void register_config(py::module_& m) {
    choose_level();
    remember_main_thread();
    m.def("level", [] { return level().name; });
    m.def("vector_bytes", [] { return level().vector_bytes; });
    m.def("usable_levels", &usable_levels);
    m.def("needs_of_level", &needs_of_level);
    m.def("use_level", &use_level);
    m.def("threads", [] { return level().threads(); });
    py::list operators = pointwise_kinds();
    operators.append("function");
    m.attr("operators") = operators;
    m.attr("compiler") = ENFILT_COMPILER;
    m.attr("version") = ENFILT_VERSION;
    add_config<float>(m);
    add_config<double>(m);
}

}  // namespace enfilt::bindings
