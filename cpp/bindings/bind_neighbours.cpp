#include "arrays.hpp"
#include "call.hpp"

namespace enfilt::bindings {

namespace {

// Counts of each place to where its pairs begin.
void sum_up(array<std::int64_t>& starts) {
    std::int64_t* const at = starts.mutable_data();
    at[0] = 0;
    for (index_t i = 1; i < starts.size(); ++i) at[i] += at[i - 1];
}

}  // namespace

void register_neighbours(py::module_& m) {
    m.def(
        "near_pairs",
        [](const array<double>& where, const array<double>& seen,
           const optional_array<double>& period, double radius, double reach,
           std::int64_t most) -> std::optional<py::tuple> {
            NearPairs p;
            p.places = where.shape(0);
            p.observations = seen.shape(0);
            p.axes = seen.shape(1);
            p.where = where.data();
            p.seen = seen.data();
            p.period = data_or_null(period);
            p.radius = radius;
            p.reach = reach;
            array<std::int64_t> starts(p.places + 1);
            p.starts = starts.mutable_data();
            released([&] { level().near_pairs(p); });
            sum_up(starts);
            const std::int64_t count = p.starts[p.places];
            if (count > most) return std::nullopt;
            array<std::int32_t> indices(count);
            array<double> distances(count);
            p.indices = indices.mutable_data();
            p.distances = distances.mutable_data();
            released([&] { level().near_pairs(p); });
            return py::make_tuple(starts, indices, distances);
        },
        py::arg("where").noconvert(), py::arg("seen").noconvert(), py::arg("period").noconvert(),
        py::arg("radius"), py::arg("reach"), py::arg("most"));
    m.def(
        "taper_pairs",
        [](const optional_array<std::int64_t>& chosen, const array<std::int64_t>& begins,
           const array<std::int32_t>& observations, const array<double>& distances,
           const array<std::int64_t>& numbers, bool step, const array<double>& cutoffs,
           const array<double>& amplitudes) {
            TaperPairs p;
            p.places = chosen ? chosen->size() : begins.size() - 1;
            p.chosen = data_or_null(chosen);
            p.begins = begins.data();
            p.observations = observations.data();
            p.distances = distances.data();
            p.numbers = numbers.data();
            p.step = step;
            p.varies = cutoffs.size() > 1;
            p.cutoffs = cutoffs.data();
            p.amplitudes = amplitudes.data();
            array<std::int64_t> starts(p.places + 1);
            p.starts = starts.mutable_data();
            released([&] { level().taper_pairs(p); });
            sum_up(starts);
            array<std::int64_t> indices(p.starts[p.places]);
            array<double> rho(p.starts[p.places]);
            p.indices = indices.mutable_data();
            p.rho = rho.mutable_data();
            released([&] { level().taper_pairs(p); });
            return py::make_tuple(starts, indices, rho);
        },
        py::arg("chosen").noconvert(), py::arg("begins").noconvert(),
        py::arg("observations").noconvert(), py::arg("distances").noconvert(),
        py::arg("numbers").noconvert(), py::arg("step"), py::arg("cutoffs").noconvert(),
        py::arg("amplitudes").noconvert());
}

}  // namespace enfilt::bindings
