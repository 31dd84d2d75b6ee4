// The localized ensemble flow filter where every place has a list of observations of its own: any
// geometry and any operator (flow.md, last part). In a step of pseudo-time w, with anomalies A and
// Y, innovations d_l = y_l - mean_l, and c_dl = rho_dl/(N-1) sum_j A_dj Y_lj,
//
//     q_l = 1 / (sum_l' |c_ll'| + r_l^2/w),    dx_id = sum_l c_dl q_l (d_l - Y_li/2).
//
// A place's observations are looked at a vector of them at a time, for some of the components that
// are there together: as columns their rows Y give the products, as rows the move.
#pragma once

#include "lane_columns.hpp"
#include "lenff_sweep.hpp"
#include "tiles.hpp"

ENFILT_OPEN

namespace lenff_detail {

template <class T>
class ListedFlow {
  public:
    explicit ListedFlow(const LenffLists<T>& p)
        : p_(p), n_(p.members), stride_(round_up(n_, lanes)),
          share_(1.0 / static_cast<double>(n_ - 1)), rows_(p.observations, stride_),
          misses_(static_cast<std::size_t>(p.observations)),
          gain_(static_cast<std::size_t>(p.observations)),
          bound_(static_cast<std::size_t>(p.observations)) {}

    void run() const {
        for (index_t k = 0; k < p_.steps; ++k) {
            observe();
            for (index_t part = 0; part < p_.observation_parts; ++part)
                visit_all(p_.of_observations[part], [&](Places& at) { bound(at); });
            for (index_t l = 0; l < p_.observations; ++l) gain_[at(l)] = gain(l, p_.pseudo_times[k]);
            for (index_t part = 0; part < p_.state_parts; ++part)
                visit_all(p_.of_state[part], [&](Places& at) { move(at, p_.x, p_.dim); });
            for (index_t part = 0; part < p_.moved_parts; ++part)
                visit_all(p_.of_moved[part],
                          [&](Places& at) { move(at, p_.moved, p_.observations); });
        }
    }

  private:
    static constexpr index_t lanes = Blocks<T>::lanes;
    static constexpr index_t most = 8;  // components of a place at a time

    const LenffLists<T>& p_;
    index_t n_, stride_;
    double share_;
    ZeroedRows<T> rows_;       // Y, an observation a row
    Buffer<T> misses_, gain_;  // d, q
    Buffer<double> bound_;

    static std::size_t at(index_t k) { return static_cast<std::size_t>(k); }

    // Some components of each of up to `lanes` places, and the memory of the thread they are for.
    struct Places {
        const PlaceLists& lists;
        index_t first, count, skip;  // places; components before these
        T *columns, *products;       // Y as columns; c of a vector of observations, component by component
        T *rows, *moves;             // of each place and component: anomalies, and dx

        index_t components(index_t l) const {
            const index_t left = components_at(lists, first + l) - skip;
            return left < 0 || lists.starts[first + l] == lists.starts[first + l + 1] ? 0
                   : left < most                                                      ? left
                                                                                      : most;
        }
        index_t component(index_t l, index_t k) const {
            return lists.owners ? lists.components[lists.owners[first + l] + skip + k]
                                : lists.first + first + l;
        }
    };

    template <class Body>
    void visit_all(const PlaceLists& lists, Body&& body) const {
        const index_t groups = (lists.count + lanes - 1) / lanes;
        const auto places = [&](index_t g) {
            return lists.count - g * lanes < lanes ? lists.count - g * lanes : lanes;
        };
        Buffer<index_t> begins(at(groups + 1));  // of the tasks of a group
        begins[0] = 0;
        for (index_t g = 0; g < groups; ++g)
            begins[at(g + 1)] =
                begins[at(g)] + (most_components(lists, g * lanes, places(g)) + most - 1) / most;
        const index_t tasks = begins[at(groups)];
        const Team team(tasks, lists.starts[lists.count] - lists.starts[0] > 512);
        const index_t each = lanes * most * stride_;
        const Scratch<T> scratch(2 * each + (stride_ + most) * lanes, 1, team);
        team.for_each_uneven(tasks, [&](int thread, index_t t) {
            index_t low = 0, high = groups;  // the last group that begins at t or before
            while (high - low > 1) {
                const index_t middle = low + (high - low) / 2;
                (begins[at(middle)] <= t ? low : high) = middle;
            }
            T* const memory = scratch.of(thread);
            Places some{lists,
                        low * lanes,
                        places(low),
                        (t - begins[at(low)]) * most,
                        memory + 2 * each,
                        memory + 2 * each + stride_ * lanes,
                        memory,
                        memory + each};
            body(some);
        });
    }

    // Y and d from h(x).
    void observe() const {
        const bool own = p_.values || p_.moved;
        const T* x = p_.values ? p_.values : p_.moved ? p_.moved : p_.x;
        const index_t width = own ? p_.observations : p_.dim;
        const index_t runs = (p_.observations + lanes - 1) / lanes;
        const Team team(runs, p_.observations * n_ > 65536);
        const Scratch<T> scratch(n_ * lanes, 1, team);
        team.for_each(runs, [&](int thread, index_t r) {
            T* const local = scratch.of(thread);  // [member][lane]
            const index_t first = r * lanes;
            const index_t n = p_.observations - first < lanes ? p_.observations - first : lanes;
            for (index_t j = 0; j < n_; ++j)
                for (index_t l = 0; l < lanes; ++l) {
                    const index_t k = first + (l < n ? l : 0);  // what is not there repeats one
                    local[j * lanes + l] = x[j * width + (own ? k : p_.columns[k])];
                }
            if (!own) {
                with_pointwise<T>(*p_.operation, [&](auto h) {
                    if constexpr (takes_blocks<decltype(h)>) {
                        apply_in_place(h, n_ * lanes, local);
                    } else {
                        for (index_t j = 0; j < n_; ++j)
                            store(local + j * lanes, h.value(load(local + j * lanes)));
                    }
                });
            }
            const vec_t<T> middle = take_mean(local);
            for (index_t l = 0; l < n; ++l) {
                misses_[at(first + l)] = p_.y[first + l] - middle[at(l)];
                for (index_t j = 0; j < n_; ++j) rows_.row(first + l)[j] = local[j * lanes + l];
            }
        });
    }

    // Takes its mean from each lane of [member][lane]; returns it.
    vec_t<T> take_mean(T* local) const {
        const vec_t<T> start = load(local);
        vec_t<T> mean = {};
        for (index_t j = 1; j < n_; ++j) mean += load(local + j * lanes) - start;
        mean = start + mean / static_cast<T>(n_);  // from a member: exact where the spread is small
        for (index_t j = 0; j < n_; ++j) store(local + j * lanes, load(local + j * lanes) - mean);
        return mean;
    }

    T gain(index_t l, double w) const {
        // where b is no normal number, Y is zero to rounding, and nothing moves
        if (!(bound_[at(l)] > static_cast<double>(math::lenff_least<T>))) return T(0);
        return static_cast<T>(1 / (bound_[at(l)] + 1 / (p_.precision[l] * w)));
    }

    void bound(Places& some) const {
        for (index_t l = 0; l < some.count; ++l) {
            const index_t size = some.components(l);
            if (size == 0) {
                if (some.skip > 0) continue;  // it has no more, or they were seen to
                for (index_t k = 0; k < components_at(some.lists, some.first + l); ++k)
                    bound_[at(some.component(l, k))] = 0;
                continue;
            }
            for (index_t k = 0; k < size; ++k)
                std::memcpy(some.rows + k * stride_, rows_.row(some.component(l, k)),
                            at(stride_) * sizeof(T));
            with_size<most>(size, [&](auto components) {
                visit<components, false>(some, l, some.rows, some.moves);
            });
            for (index_t k = 0; k < size; ++k)
                bound_[at(some.component(l, k))] = static_cast<double>(some.moves[k * stride_]);
        }
    }

    // Moves some components of x (N, width).
    void move(Places& some, T* x, index_t width) const {
        index_t size = 0;
        for (index_t l = 0; l < some.count; ++l)
            if (some.components(l) > size) size = some.components(l);
        T* const local = some.moves;  // free until the rows are there
        for (index_t k = 0; k < size; ++k) {
            const auto columns =
                LaneColumns::at(some.lists, some.first, some.count, some.skip + k);
            for (index_t j = 0; j < n_; ++j) columns.fetch(x + j * width, local + j * lanes);
            take_mean(local);
            for (index_t l = 0; l < some.count; ++l) {
                T* const to = some.rows + (l * most + k) * stride_;
                for (index_t j = 0; j < n_; ++j) to[j] = local[j * lanes + l];
            }
        }
        for (index_t l = 0; l < some.count; ++l)
            with_size<most>(some.components(l), [&](auto components) {
                if (some.components(l) > 0)
                    visit<components, true>(some, l, some.rows + l * most * stride_,
                                            some.moves + l * most * stride_);
            });
        for (index_t k = 0; k < size; ++k) {
            for (index_t j = 0; j < n_; ++j) {
                for (index_t l = 0; l < some.count; ++l)
                    if (k < some.components(l))
                        x[j * width + some.component(l, k)] +=
                            some.moves[(l * most + k) * stride_ + j];
            }
        }
    }

    // The sums over the list of place l for some components with anomalies a: dx, a row each, or
    // the bound in its first number.
    template <index_t Components, bool Moves>
    void visit(const Places& some, index_t l, const T* a, T* to) const {
        const std::int64_t end = some.lists.starts[some.first + l + 1];
        vec_t<T> total[Components] = {};
        if (Moves) std::memset(to, 0, at(Components * stride_) * sizeof(T));
        index_t looked = 0;
        for (std::int64_t k = some.lists.starts[some.first + l]; k < end; k += lanes) {
            if (++looked % 1024 == 0) check_interrupt();
            const index_t n = end - k < lanes ? static_cast<index_t>(end - k) : lanes;
            const T* row[lanes];
            T weight[lanes], miss[lanes];
            for (index_t s = 0; s < lanes; ++s) {
                const std::int64_t pair = k + (s < n ? s : 0);  // what is not there weighs nothing
                const index_t observation = some.lists.indices[pair];
                row[s] = rows_.row(observation);
                weight[s] = s < n ? static_cast<T>(some.lists.rho[pair] * share_) : T(0);
                if (Moves) weight[s] *= gain_[at(observation)], miss[s] = misses_[at(observation)];
            }
            as_columns(row, stride_, some.columns);
            vec_t<T> sum[Components] = {};
            for (index_t j = 0; j < n_; ++j) {
                const vec_t<T> y = load(some.columns + j * lanes);
                for (index_t c = 0; c < Components; ++c) sum[c] += a[c * stride_ + j] * y;
            }
            for (index_t c = 0; c < Components; ++c) {
                sum[c] *= load(weight);
                if (Moves) {
                    total[c] += sum[c] * load(miss);
                    store(some.products + c * lanes, sum[c]);
                } else {
                    total[c] += select<T>(sum[c] < T(0), -sum[c], sum[c]);
                }
            }
            if (Moves)
                for (index_t j = 0; j < stride_; j += lanes) add_rows<Components>(some, row, n, j, to);
        }
        for (index_t c = 0; c < Components; ++c) {
            const T sum = static_cast<T>(add_lanes(total[c]));
            T* const row = to + c * stride_;
            if (!Moves) row[0] = sum;
            for (index_t j = 0; Moves && j < n_; ++j) row[j] = sum - T(0.5) * row[j];
        }
    }

    // Adds c_l Y_l of n observations, a vector of members from j on.
    template <index_t Components>
    ENFILT_INLINE void add_rows(const Places& some, const T* const* row, index_t n, index_t j,
                                T* to) const {
        vec_t<T> sum[Components];
        for (index_t c = 0; c < Components; ++c) sum[c] = load(to + c * stride_ + j);
        for (index_t s = 0; s < n; ++s) {
            const vec_t<T> y = load(row[s] + j);
            for (index_t c = 0; c < Components; ++c) sum[c] += some.products[c * lanes + s] * y;
        }
        for (index_t c = 0; c < Components; ++c) store(to + c * stride_ + j, sum[c]);
    }
};

}  // namespace lenff_detail

template <class T>
void lenff_lists(const LenffLists<T>& p) {
    lenff_detail::ListedFlow<T>(p).run();
}

ENFILT_CLOSE
