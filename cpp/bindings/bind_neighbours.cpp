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
        [](py::handle search) -> std::optional<py::tuple> {
            const Fields f(search);
            const array<double> where = f.of<double>("where"), seen = f.of<double>("seen");
            NearPairs p;
            p.places = where.shape(0);
            p.observations = seen.shape(0);
            p.axes = seen.shape(1);
            p.where = where.data();
            p.seen = seen.data();
            p.period = f.data<double>("period");
            p.radius = f.number<double>("radius");
            p.reach = f.number<double>("reach");
            array<std::int64_t> starts(p.places + 1);
            p.starts = starts.mutable_data();
            released([&] { level().near_pairs(p); });
            sum_up(starts);
            const std::int64_t count = p.starts[p.places];
            if (count > f.number<std::int64_t>("most")) return std::nullopt;
            array<std::int32_t> indices(count);
            array<double> distances(count);
            p.indices = indices.mutable_data();
            p.distances = distances.mutable_data();
            released([&] { level().near_pairs(p); });
            return py::make_tuple(starts, indices, distances);
        },
        py::arg("search"));
    m.def(
        "taper_pairs",
        [](py::handle pairs) {
            const Fields f(pairs);
            const py::object chosen = f["chosen"];
            const array<double> cutoffs = f.of<double>("cutoffs");
            TaperPairs p;
            p.places = (chosen.is_none() ? f.of<std::int64_t>("starts").size() - 1
                                         : f.of<std::int64_t>("chosen").size());
            p.chosen = f.data<std::int64_t>("chosen");
            p.begins = f.data<std::int64_t>("starts");
            p.observations = f.data<std::int32_t>("indices");
            p.distances = f.data<double>("distances");
            p.numbers = f.data<std::int64_t>("numbers");
            p.step = f.number<bool>("step");
            p.varies = cutoffs.size() > 1;
            p.cutoffs = cutoffs.data();
            p.amplitudes = f.data<double>("amplitudes");
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
        py::arg("pairs"));
}

}  // namespace enfilt::bindings
