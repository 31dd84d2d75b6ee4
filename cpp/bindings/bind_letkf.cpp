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
        [](const array<T>& x, py::handle window, py::handle observed,
           const optional_array<double>& rotation, array<T>& out) {
            const ObservedArrays<T> obs(observed);
            LetkfWindow<T> p;
            set_ensemble<T>(p, x, out, rotation);
            read_window(p, Fields(window));
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
        py::arg("x").noconvert(), py::arg("window"), py::arg("observed"),
        py::arg("rotation").noconvert(), py::arg("out").noconvert());
    m.def(
        "letkf_lists",
        [](const array<T>& x, py::handle lists, const array<T>& rows, const array<double>& power,
           const optional_array<double>& rotation, array<T>& out) {
            LetkfLists<T> p;
            set_ensemble<T>(p, x, out, rotation);
            static_cast<PlaceLists&>(p) = view_of(lists);
            p.observations = rows.shape(0);
            p.rows = rows.data();
            p.power = power.data();
            released([&] { kernels<T>().letkf_lists(p); });
        },
        py::arg("x").noconvert(), py::arg("lists"), py::arg("rows").noconvert(),
        py::arg("power").noconvert(), py::arg("rotation").noconvert(), py::arg("out").noconvert());
    m.def(
        "letkf_rows",
        [](const array<T>& values, const array<T>& y, const array<T>& precision, array<T>& rows,
           array<double>& power) {
            std::vector<std::int64_t> chosen(static_cast<std::size_t>(y.size()));
            for (std::size_t k = 0; k < chosen.size(); ++k) chosen[k] = static_cast<std::int64_t>(k);
            LetkfRows<T> p;
            p.members = values.shape(0);
            p.observations = p.count = values.shape(1);
            p.chosen = chosen.data();
            p.values = values.data();
            p.y = y.data();
            p.precision = precision.data();
            p.precision_varies = true;
            p.rows = rows.mutable_data();
            p.power = power.mutable_data();
            released([&] { kernels<T>().letkf_rows(p); });
        },
        py::arg("values").noconvert(), py::arg("y").noconvert(), py::arg("precision").noconvert(),
        py::arg("rows").noconvert(), py::arg("power").noconvert());
    m.def(
        "etkf",
        [](const array<T>& x, const array<T>& values, const array<T>& y,
           const array<double>& precision, array<T>& out) {
            EtkfProblem<T> p;
            p.members = x.shape(0);
            p.dim = x.shape(1);
            p.observations = values.shape(1);
            p.x = x.data();
            p.out = out.mutable_data();
            p.values = values.data();
            p.y = y.data();
            p.precision = precision.data();
            released([&] { kernels<T>().etkf(p); });
        },
        py::arg("x").noconvert(), py::arg("values").noconvert(), py::arg("y").noconvert(),
        py::arg("precision").noconvert(), py::arg("out").noconvert());
}

}  // namespace

void register_letkf(py::module_& m) {
    add_letkf<float>(m);
    add_letkf<double>(m);
}

}  // namespace enfilt::bindings
