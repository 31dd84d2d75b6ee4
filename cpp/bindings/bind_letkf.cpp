#include "arrays.hpp"
#include "call.hpp"

namespace enfilt::bindings {

namespace {

// One ensemble (N, D) a call.
template <class T>
void set_ensemble(LetkfEnsemble<T>& p, const array<T>& x, array<T>& out,
                  const optional_array<double>& rotation) {
    p.members = x.shape(0);
    p.dim = x.shape(1);
    p.x = x.data();
    p.out = out.mutable_data();
    p.rotation = data_or_null(rotation);
}

template <class T>
void add_letkf(py::module_& m) {
    m.def(
        "letkf_window",
        [](const array<T>& x, array<T>& out, const optional_array<double>& rotation, index_t rows,
           index_t columns, bool periodic, const array<std::int64_t>& offsets,
           const array<double>& rho, const py::tuple& observed) {
            const ObservedArrays<T> obs(observed);
            LetkfWindow<T> p;
            set_ensemble<T>(p, x, out, rotation);
            p.rows = rows;
            p.columns = columns;
            p.periodic = periodic;
            p.count = rho.size();
            p.offsets = offsets.data();
            p.rho = rho.data();
            p.observed = &obs.view;
            for (index_t s = 0; s < p.count; ++s) {
                for (index_t axis = 0; axis < 2; ++axis) {
                    const index_t away = p.offsets[2 * s + axis];
                    if (away > p.behind[axis]) p.behind[axis] = away;
                    if (-away > p.before[axis]) p.before[axis] = -away;
                }
            }
            released([&] { kernels<T>().letkf_window(p); });
        },
        py::arg("x").noconvert(), py::arg("out").noconvert(), py::arg("rotation").noconvert(),
        py::arg("rows"), py::arg("columns"), py::arg("periodic"), py::arg("offsets").noconvert(),
        py::arg("rho").noconvert(), py::arg("observed"));
    m.def(
        "letkf_lists",
        [](const array<T>& x, array<T>& out, const optional_array<double>& rotation,
           const ListArrays& lists, const array<T>& rows, const array<double>& power) {
            LetkfLists<T> p;
            set_ensemble<T>(p, x, out, rotation);
            static_cast<PlaceLists&>(p) = view(lists);
            p.observations = rows.shape(0);
            p.rows = rows.data();
            p.power = power.data();
            released([&] { kernels<T>().letkf_lists(p); });
        },
        py::arg("x").noconvert(), py::arg("out").noconvert(), py::arg("rotation").noconvert(),
        py::arg("lists"), py::arg("rows").noconvert(), py::arg("power").noconvert());
}

}  // namespace

void register_letkf(py::module_& m) {
    add_letkf<float>(m);
    add_letkf<double>(m);
}

}  // namespace enfilt::bindings
