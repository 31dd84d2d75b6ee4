#include "plans.hpp"

#include <cmath>
#include <limits>
#include <mutex>
#include <unordered_map>

#include "arguments.hpp"

namespace enfilt::c {

// Places of observations, and a taper.
struct Nearness {
    std::int64_t axes, size;
    std::vector<double> observations, period;
    enfilt_taper taper;

    Lists about(const double* places, std::int64_t count) const;
};

namespace {

// Plans live until they are destroyed, also while the program ends.
struct Registry {
    std::mutex mutex;
    std::unordered_map<std::int64_t, std::shared_ptr<Plan>> plans;
    std::int64_t next = 1;  // no number comes twice
};

Registry& registry() {
    static Registry* const all = new Registry;
    return *all;
}

void add(std::shared_ptr<Plan> plan, enfilt_plan* to) {
    Registry& all = registry();
    const std::lock_guard<std::mutex> lock(all.mutex);
    all.plans.emplace(all.next, std::move(plan));
    to->id = all.next++;
}

void check_taper(const enfilt_taper* taper) {
    if (!taper) fail(ENFILT_ERROR_ARGUMENT, "taper is null");
    if (!(taper->cutoff > 0))
        fail(ENFILT_ERROR_ARGUMENT, "taper->cutoff=%g: expected a number above zero", taper->cutoff);
    check_choice("taper->shape", taper->shape, ENFILT_STEP);
}

std::int64_t sized(std::size_t n) { return static_cast<std::int64_t>(n); }
std::size_t sized(std::int64_t n) { return static_cast<std::size_t>(n); }

void sum_up(std::vector<std::int64_t>& starts) {
    starts[0] = 0;
    for (std::size_t i = 1; i < starts.size(); ++i) starts[i] += starts[i - 1];
}

// Pairs at distances, as lists of those that weigh something.
Lists tapered(const enfilt_taper& taper, const std::vector<std::int64_t>& begins,
              const std::vector<std::int32_t>& indices, const std::vector<double>& distances,
              std::int64_t observations) {
    std::vector<std::int64_t> numbers(sized(observations));
    for (std::size_t k = 0; k < numbers.size(); ++k) numbers[k] = sized(k);
    const double one = 1;
    TaperPairs p;
    p.places = sized(begins.size()) - 1;
    p.begins = begins.data();
    p.observations = indices.data();
    p.distances = distances.data();
    p.numbers = numbers.data();
    p.step = taper.shape == ENFILT_STEP || std::isinf(taper.cutoff);
    p.cutoffs = &taper.cutoff;
    p.amplitudes = &one;
    Lists found;
    found.starts.resize(begins.size());
    p.starts = found.starts.data();
    level().taper_pairs(p);
    sum_up(found.starts);
    found.indices.resize(sized(found.starts.back()));
    found.rho.resize(found.indices.size());
    p.indices = found.indices.data();
    p.rho = found.rho.data();
    level().taper_pairs(p);
    return found;
}

// Components that share places, given the place of each.
void share(Lists& lists, const std::int64_t* place, std::int64_t dim) {
    const std::int64_t places = sized(lists.starts.size()) - 1;
    lists.owners.assign(sized(places + 1), 0);
    for (std::int64_t d = 0; d < dim; ++d) ++lists.owners[sized(place[d] + 1)];
    sum_up(lists.owners);
    lists.components.resize(sized(dim));
    std::vector<std::int64_t> at(lists.owners.begin(), lists.owners.end() - 1);
    for (std::int64_t d = 0; d < dim; ++d) lists.components[sized(at[sized(place[d])]++)] = d;
}

void check_place(const std::int64_t* place, std::int64_t dim, std::int64_t count) {
    if (!place) {
        if (count != dim)
            fail(ENFILT_ERROR_ARGUMENT, "place is null, with %lld places for %lld components",
                 shown(count), shown(dim));
        return;
    }
    check_pointer("place", place);
    for (std::int64_t d = 0; d < dim; ++d)
        if (place[d] < 0 || place[d] >= count)
            fail(ENFILT_ERROR_ARGUMENT, "place[%lld] is %lld: expected from 0 to %lld", shown(d),
                 shown(place[d]), shown(count - 1));
}

Lists everywhere(std::int64_t size) {
    Lists all;
    all.starts = {0, size};
    all.indices.resize(sized(size));
    for (std::size_t k = 0; k < all.indices.size(); ++k) all.indices[k] = sized(k);
    all.rho.assign(sized(size), 1.0);
    return all;
}

// Coordinates (count, axes), with those of joined axes within their period.
std::vector<double> inside(const char* name, const double* from, std::int64_t count,
                           std::int64_t axes, const std::vector<double>& period) {
    checked_bytes(name, count, axes, sizeof(double));
    check_pointer(name, from);
    check_finite(name, from, count, axes);
    std::vector<double> to(from, from + count * axes);
    for (std::size_t k = 0; k < to.size(); ++k) {
        const double length = period.empty() ? 0 : period[k % sized(axes)];
        if (std::fabs(to[k]) > 1e100)
            fail(ENFILT_ERROR_ARGUMENT, "%s holds %g: expected coordinates up to 1e100", name, to[k]);
        if (!(length > 0)) continue;
        to[k] = std::fmod(to[k], length);
        if (to[k] < 0) to[k] += length;
        if (to[k] >= length) to[k] = 0;
    }
    return to;
}

Lists copied(const char* name, const enfilt_lists& given, std::int64_t size) {
    if (given.count < 1) fail(ENFILT_ERROR_ARGUMENT, "%s->count is %lld", name, shown(given.count));
    checked_bytes(name, given.count, 1, sizeof(std::int64_t));
    check_pointer(name, given.starts);
    if (given.starts[0] != 0) fail(ENFILT_ERROR_ARGUMENT, "%s->starts begins with no 0", name);
    for (std::int64_t i = 0; i < given.count; ++i)
        if (given.starts[i + 1] < given.starts[i])
            fail(ENFILT_ERROR_ARGUMENT, "%s->starts falls behind %lld", name, shown(i));
    const std::int64_t pairs = given.starts[given.count];
    checked_bytes(name, pairs, 1, sizeof(std::int64_t));
    Lists found;
    found.starts.assign(given.starts, given.starts + given.count + 1);
    if (pairs == 0) return found;
    check_pointer(name, given.indices);
    check_pointer(name, given.rho);
    for (std::int64_t i = 0; i < given.count; ++i)
        for (std::int64_t k = given.starts[i]; k < given.starts[i + 1]; ++k) {
            const std::int64_t before = k > given.starts[i] ? given.indices[k - 1] : -1;
            if (given.indices[k] <= before || given.indices[k] >= size)
                fail(ENFILT_ERROR_ARGUMENT,
                     "%s->indices[%lld] is %lld: expected numbers from 0 to %lld that increase in a "
                     "list",
                     name, shown(k), shown(given.indices[k]), shown(size - 1));
            if (!(given.rho[k] > 0 && given.rho[k] <= 1))
                fail(ENFILT_ERROR_ARGUMENT, "%s->rho[%lld] is %g: expected above 0 and at most 1", name,
                     shown(k), given.rho[k]);
        }
    found.indices.assign(given.indices, given.indices + pairs);
    found.rho.assign(given.rho, given.rho + pairs);
    return found;
}

// Lists of some of the observations, by their numbers among these; `rows` of them alone, too.
Lists among(const Lists& all, const std::vector<std::int64_t>& seen, std::int64_t size, bool rows) {
    std::vector<std::int64_t> number(sized(size), -1);
    for (std::size_t k = 0; k < seen.size(); ++k) number[sized(seen[k])] = sized(k);
    Lists found;
    found.starts.push_back(0);
    const bool shared = rows && sized(all.starts.size()) - 1 != size;  // by all observations
    const std::size_t count = rows && !shared ? seen.size() : all.starts.size() - 1;
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t row = rows && !shared ? sized(seen[i]) : i;
        for (std::int64_t k = all.starts[row]; k < all.starts[row + 1]; ++k) {
            const std::int64_t s = number[sized(all.indices[sized(k)])];
            if (s < 0) continue;
            found.indices.push_back(s);
            found.rho.push_back(all.rho[sized(k)]);
        }
        found.starts.push_back(sized(found.indices.size()));
    }
    if (!rows) {
        found.owners = all.owners;
        found.components = all.components;
    } else if (shared) {
        const std::vector<std::int64_t> one(seen.size(), 0);
        share(found, one.data(), sized(seen.size()));
    }
    return found;
}

}  // namespace

Lists Nearness::about(const double* places, std::int64_t count) const {
    NearPairs p;
    p.places = count;
    p.observations = size;
    p.axes = axes;
    p.where = places;
    p.seen = observations.data();
    p.period = period.empty() ? nullptr : period.data();
    p.reach = taper.cutoff;
    std::vector<std::int64_t> starts(sized(count + 1));
    p.starts = starts.data();
    level().near_pairs(p);
    sum_up(starts);
    std::vector<std::int32_t> indices(sized(starts.back()));
    std::vector<double> distances(indices.size());
    p.indices = indices.data();
    p.distances = distances.data();
    // without any pair there is nothing to fill in, and null would count again
    if (!indices.empty()) level().near_pairs(p);
    return tapered(taper, starts, indices, distances, size);
}

const Lists& Plan::state_seen(const std::vector<std::int64_t>& seen) {
    if (sized(seen.size()) == size) return of_state;
    if (!state_.made || state_.seen != seen) {
        state_.made = false;
        state_.lists = among(of_state, seen, size, false);
        state_.seen = seen;
        state_.made = true;
    }
    return state_.lists;
}

const Lists& Plan::between_seen(const std::vector<std::int64_t>& seen) {
    if (between.starts.empty() && nearness)
        between = nearness->about(nearness->observations.data(), size);
    if (between.starts.empty())
        fail(ENFILT_ERROR_ARGUMENT,
             "plan has no lists between observations, which the LEnFF needs: give enfilt_plan_lists "
             "`between`");
    if (sized(seen.size()) == size) return between;
    if (!between_.made || between_.seen != seen) {
        between_.made = false;
        between_.lists = among(between, seen, size, true);
        between_.seen = seen;
        between_.made = true;
    }
    return between_.lists;
}

InUse::InUse(enfilt_plan plan) {
    Registry& all = registry();
    const std::lock_guard<std::mutex> lock(all.mutex);
    const auto found = all.plans.find(plan.id);
    if (found == all.plans.end())
        fail(ENFILT_ERROR_PLAN, "there is no plan %lld: it was never made, or is destroyed",
             shown(plan.id));
    if (found->second->used)
        fail(ENFILT_ERROR_BUSY, "plan %lld is in use by another thread: expected a plan for each",
             shown(plan.id));
    plan_ = found->second;
    plan_->used = true;
}

InUse::~InUse() {
    const std::lock_guard<std::mutex> lock(registry().mutex);
    plan_->used = false;
}

}  // namespace enfilt::c

using namespace enfilt;
using namespace enfilt::c;

int enfilt_plan_grid(int64_t rows, int64_t columns, int periodic, double spacing,
                     const enfilt_taper* taper, enfilt_plan* plan) {
    return guarded([&] {
        check_pointer("plan", plan);
        check_taper(taper);
        if (rows < 1 || columns < 1)
            fail(ENFILT_ERROR_ARGUMENT, "rows=%lld, columns=%lld: expected at least 1 of both",
                 shown(rows), shown(columns));
        checked_bytes("rows x columns", rows, columns, sizeof(double));
        check_number("spacing", spacing, spacing >= 1e-100 && spacing <= 1e100,
                     "a number from 1e-100 to 1e100");
        auto made = std::make_shared<Plan>();
        made->is_grid = true;
        made->periodic = periodic != 0;
        made->rows = rows;
        made->columns = columns;
        made->dim = rows * columns;
        // the same as Python's filters/neighbours.py
        const auto reach = [&](std::int64_t n, std::int64_t* before, std::int64_t* behind) {
            const double wide = taper->cutoff / spacing;
            const double most = static_cast<double>(n);
            const std::int64_t steps = static_cast<std::int64_t>(wide < most ? wide : most) + 1;
            const std::int64_t back = made->periodic ? (n - 1) / 2 : n - 1;
            const std::int64_t ahead = made->periodic ? n / 2 : n - 1;
            *before = steps < back ? steps : back;
            *behind = steps < ahead ? steps : ahead;
        };
        std::int64_t up = 0, down = 0, left, right;
        if (rows > 1) reach(rows, &up, &down);
        reach(columns, &left, &right);
        constexpr double most = 1 << 28;
        if (static_cast<double>(up + down + 1) * static_cast<double>(left + right + 1) > most)
            fail(ENFILT_ERROR_ARGUMENT, "taper->cutoff=%g: the places within it are more than 2^28",
                 taper->cutoff);
        const auto along = [&](std::int64_t steps, std::int64_t n) {
            double gap = spacing * static_cast<double>(steps);
            const double period = spacing * static_cast<double>(n);
            if (made->periodic) gap -= period * std::rint(gap / period);
            return gap * gap;
        };
        std::vector<std::int64_t> offsets;
        std::vector<std::int32_t> indices;
        std::vector<double> distances;
        for (std::int64_t r = -up; r <= down; ++r)
            for (std::int64_t c = -left; c <= right; ++c) {
                offsets.push_back(r);
                offsets.push_back(c);
                indices.push_back(static_cast<std::int32_t>(indices.size()));
                distances.push_back(
                    std::sqrt((rows > 1 ? along(r, rows) : 0.0) + along(c, columns)));
            }
        const Lists kept =
            tapered(*taper, {0, sized(indices.size())}, indices, distances, sized(indices.size()));
        for (const std::int64_t k : kept.indices) {
            made->offsets.push_back(offsets[sized(2 * k)]);
            made->offsets.push_back(offsets[sized(2 * k + 1)]);
        }
        made->rho = kept.rho;
        add(std::move(made), plan);
    });
}

int enfilt_plan_places(const enfilt_places* places, const enfilt_taper* taper, enfilt_plan* plan) {
    return guarded([&] {
        check_pointer("plan", plan);
        check_pointer("places", places);
        check_taper(taper);
        const enfilt_places& p = *places;
        if (p.axes < 1 || p.axes > 8)
            fail(ENFILT_ERROR_ARGUMENT, "places->axes is %lld: expected from 1 to 8", shown(p.axes));
        if (p.dim < 1 || p.count < 1 || p.size < 1 || p.size > INT32_MAX)
            fail(ENFILT_ERROR_ARGUMENT,
                 "places: dim=%lld, count=%lld, size=%lld: expected at least 1 of each, and "
                 "less than 2^31 observations",
                 shown(p.dim), shown(p.count), shown(p.size));
        checked_bytes("places->dim", p.dim, 1, sizeof(double));
        check_place(p.place, p.dim, p.count);
        auto made = std::make_shared<Plan>();
        made->dim = p.dim;
        made->size = p.size;
        auto near = std::make_unique<Nearness>();
        near->axes = p.axes;
        near->size = p.size;
        near->taper = *taper;
        if (p.period) {
            check_pointer("places->period", p.period);
            check_finite("places->period", p.period, 1, p.axes);
            near->period.assign(p.period, p.period + p.axes);
        }
        const std::vector<double> where =
            inside("places->places", p.places, p.count, p.axes, near->period);
        near->observations =
            inside("places->observations", p.observations, p.size, p.axes, near->period);
        if (std::isinf(taper->cutoff)) {  // all are at one place
            const std::vector<std::int64_t> one(sized(p.dim > p.size ? p.dim : p.size), 0);
            made->of_state = everywhere(p.size);
            made->between = made->of_state;
            share(made->of_state, one.data(), p.dim);
            share(made->between, one.data(), p.size);
        } else {
            made->of_state = near->about(where.data(), p.count);
            if (p.place) share(made->of_state, p.place, p.dim);
            made->nearness = std::move(near);
        }
        add(std::move(made), plan);
    });
}

int enfilt_plan_lists(const enfilt_lists* lists, int64_t dim, const int64_t* place, int64_t size,
                      const enfilt_lists* between, enfilt_plan* plan) {
    return guarded([&] {
        check_pointer("plan", plan);
        check_pointer("lists", lists);
        if (dim < 1 || size < 1)
            fail(ENFILT_ERROR_ARGUMENT, "dim=%lld, size=%lld: expected at least 1 of both", shown(dim),
                 shown(size));
        checked_bytes("dim", dim, 1, sizeof(double));
        checked_bytes("size", size, 1, sizeof(double));
        auto made = std::make_shared<Plan>();
        made->dim = dim;
        made->size = size;
        made->of_state = copied("lists", *lists, size);
        check_place(place, dim, lists->count);
        if (place) share(made->of_state, place, dim);
        if (between) {
            if (between->count != size)
                fail(ENFILT_ERROR_ARGUMENT, "between->count is %lld: expected %lld, an observation each",
                     shown(between->count), shown(size));
            made->between = copied("between", *between, size);
        }
        add(std::move(made), plan);
    });
}

int enfilt_plan_destroy(enfilt_plan plan) {
    return guarded([&] {
        Registry& all = registry();
        const std::lock_guard<std::mutex> lock(all.mutex);
        const auto found = all.plans.find(plan.id);
        if (found == all.plans.end())
            fail(ENFILT_ERROR_PLAN, "there is no plan %lld: it was never made, or is destroyed",
                 shown(plan.id));
        if (found->second->used)
            fail(ENFILT_ERROR_BUSY, "plan %lld is in use by another thread", shown(plan.id));
        all.plans.erase(found);
    });
}
