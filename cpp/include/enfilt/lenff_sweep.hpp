// The localized ensemble flow filter: steps of pseudo-time in which every component moves by the
// localized covariance of its anomalies with the observations about it (flow.md, last part).
//
// With G_il = (y_l - (h_il + mean_l)/2) / (b_l + r_l^2/w) = (d_l - Y_il/2) q_l a step is
//
//     p_dl = rho_dl/(N-1) sum_j A_jd Y_jl q_l,    dx_id = sum_l p_dl d_l - 1/2 sum_l p_dl Y_il:
//
// two banded matrix products, and half of a third, symmetric one for b. They are taken over a
// *panel* of rows: vectors lie across its columns, the band runs over its rows, and register tiles
// hold products of some rows with others. A grid of two axes is such a panel. A line is made one
// by cutting it into as many pieces as a vector has lanes: row k holds the k-th of each piece, and
// what lies beyond a piece's end is its neighbour's beginning, a turn of the lanes away.
#pragma once

#include <new>
#include <type_traits>

#include "blocks.hpp"
#include "lenff_taps.hpp"
#include "math/lenff.hpp"
#include "operators.hpp"

ENFILT_OPEN

namespace lenff_detail {

// Rows, and members, that they are multiplied with at a time.
constexpr index_t tile_places = ENFILT_REGISTERS == 32 ? 8 : 4;
constexpr index_t tile_members = ENFILT_REGISTERS == 32 ? 10 : 4;

// Calls body with `size` (1 .. Most) as a constant.
template <index_t Most, class Body>
ENFILT_INLINE void with_size(index_t size, Body&& body) {
    if constexpr (Most > 1) {
        if (size < Most) return with_size<Most - 1>(size, body);
    }
    body(std::integral_constant<index_t, Most>{});
}

// One step over rows of a panel. `Source` gives rows of the state with their observations, as far
// as the halo reaches, and takes the moved ones; a row is taken after all rows within twice the
// reach have been given, so that it may be overwritten.
template <class T, bool Line>
class Sweep {
  public:
    static constexpr index_t lanes = Blocks<T>::lanes;
    // Rows of a line whose bounds are made, and which are then moved, in one go: what one of both
    // looks at fits into the first-level cache, what both do would not.
    static constexpr index_t batch = Line ? 16 : group;

    // Rows that are asked for before the first and behind the last.
    static index_t head(const Taps<T>& taps) { return 2 * round_up(taps.reach[0], group); }
    static index_t tail(const Taps<T>& taps) { return head(taps) + 4 * group; }
    // Columns of a row in memory, the first of them at origin().
    static index_t width(const Taps<T>& taps, index_t columns) {
        if constexpr (Line) return lanes;
        const index_t halo = taps.reach[1];
        return round_up(columns + 6 * halo + (halo ? lanes : 0), lanes);
    }
    static index_t origin(const Taps<T>& taps) { return Line ? 0 : 3 * taps.reach[1]; }
    // Rows in use at one time, rounded up so that a mask finds a row's place: a division for each
    // row that a tile looks at would take longer than the tile.
    static index_t capacity(const Taps<T>& taps) {
        const index_t used = 3 * round_up(taps.reach[0], group) + 6 * group + batch;
        index_t size = 1;
        while (size < used) size *= 2;
        return size;
    }
    static index_t scratch(const Taps<T>& taps, index_t members, index_t columns) {
        const index_t places = (2 * taps.reach[1] + 1) * (2 * taps.reach[0] + group);
        return rows_size(taps) + near_size(taps) + at_size(taps) +
               capacity(taps) * (members + 3) * width(taps, columns) +
               group * (members + places) * lanes;
    }

    Sweep(const LenffWindow<T>& p, const Taps<T>& taps, index_t columns, T* memory)
        : p_(p), taps_(taps), n_(p.members), columns_(columns), width_(width(taps, columns)),
          capacity_(capacity(taps)) {
        rows_ = new (take(memory, rows_size(taps))) Row[static_cast<std::size_t>(capacity_)];
        near_ = new (take(memory, near_size(taps))) index_t[static_cast<std::size_t>(near(taps))];
        at_ = new (take(memory, at_size(taps))) const T*[static_cast<std::size_t>(at(taps))];
        for (index_t k = 0; k < capacity_; ++k) {
            Row& row = rows_[k];
            row.anomalies = memory + k * (n_ + 3) * width_;
            row.misses = row.anomalies + n_ * width_;
            row.gain = row.misses + width_, row.bound = row.gain + width_;
        }
        state_ = memory + capacity_ * (n_ + 3) * width_;
        products_ = state_ + group * n_ * lanes;
    }

    // Moves the rows [first, last) by a step of pseudo-time w.
    template <class Source>
    void run(Source& source, index_t first, index_t last, T w) const {
        const index_t reach = taps_.reach[0];
        index_t given = first - head(taps_), bounded = given;
        for (index_t from = first; from < last; from += batch) {
            const index_t until = last - from < batch ? round_up(last - from, group) : batch;
            check_interrupt();
            for (; bounded < from + until + reach; bounded += group) {
                for (; given < bounded + group + reach; ++given) observe(source, given);
                add_bounds(bounded, w);
            }
            for (index_t r = from; r < from + until; r += group) move(source, r, last);
        }
    }

  private:
    struct Row {
        const T *state, *y, *weight;           // as given
        T *anomalies, *misses, *gain, *bound;  // Y, d, q, b, one behind the other
        bool seen;
    };

    // Lists of the sweep stand before its rows of numbers, each on a cache line of its own.
    static index_t near(const Taps<T>& taps) { return 2 * taps.reach[0] + group; }
    static index_t at(const Taps<T>& taps) { return (2 * taps.reach[1] + 1) * near(taps); }
    template <class Entry>
    static index_t lines(index_t count) {
        return round_up(count * static_cast<index_t>(sizeof(Entry)), 64) /
               static_cast<index_t>(sizeof(T));
    }
    static index_t rows_size(const Taps<T>& taps) { return lines<Row>(capacity(taps)); }
    static index_t near_size(const Taps<T>& taps) { return lines<index_t>(near(taps)); }
    static index_t at_size(const Taps<T>& taps) { return lines<const T*>(at(taps)); }
    static void* take(T*& memory, index_t size) {
        void* const here = memory;
        memory += size;
        return here;
    }

    Row& row(index_t r) const { return rows_[r & (capacity_ - 1)]; }
    index_t stride() const {
        if constexpr (Line) return lanes;
        return width_;
    }

    template <class Source>
    void observe(Source& source, index_t r) const {
        Row& to = row(r);
        source.give(r, to.state, to.y, to.weight);
        to.seen = false;
        for (index_t c = 0; c < stride(); ++c) to.seen = to.seen || to.weight[c] > T(0);
        if (!to.seen) return;
        std::memset(to.bound, 0, static_cast<std::size_t>(stride()) * sizeof(T));
        with_pointwise<T>(*p_.observed, [&](auto h) {
            if constexpr (takes_blocks<decltype(h)>) {
                h.function.values(to.state, n_ * stride(), to.anomalies);
                anomalies(IdentityOperator<T>(0), to.anomalies, to);
            } else {
                anomalies(h, to.state, to);
            }
        });
    }

    // Y and d from the members' states at `x`; from h(x), where it stands there, in place.
    template <class Operator>
    void anomalies(Operator h, const T* x, Row& to) const {
        const T share = T(1) / static_cast<T>(n_);
        for (index_t c = 0; c < stride(); c += lanes) {
            const ivec_t<T> seen = load(to.weight + c) > T(0);
            const vec_t<T> start = h.value(load(x + c));
            vec_t<T> mean = {};
            for (index_t j = 1; j < n_; ++j) {
                const vec_t<T> apart = h.value(load(x + j * stride() + c)) - start;
                store(to.anomalies + j * stride() + c, apart);
                mean += apart;
            }
            mean *= share;
            store(to.anomalies + c, select<T>(seen, -mean, vec_t<T>{}));
            for (index_t j = 1; j < n_; ++j) {
                T* at = to.anomalies + j * stride() + c;
                store(at, select<T>(seen, load(at) - mean, vec_t<T>{}));
            }
            store(to.misses + c, select<T>(seen, load(to.y + c) - (start + mean), vec_t<T>{}));
        }
    }

    // The observed rows of [first, last).
    index_t find(index_t first, index_t last) const {
        index_t count = 0;
        for (index_t r = first; r < last; ++r)
            if (row(r).seen) near_[count++] = r;
        return count;
    }

    // sum_j a_qj b_mj for the rows a of a group and Places rows b.
    template <index_t Places>
    ENFILT_INLINE void multiply(const T* const* a, index_t a_stride, const T* const* b,
                                vec_t<T> (&sums)[group][Places]) const {
        for (index_t q = 0; q < group; ++q)
            for (index_t m = 0; m < Places; ++m) sums[q][m] = vec_t<T>{};
        for (index_t j = 0; j < n_; ++j) {
            vec_t<T> left[group];
            for (index_t q = 0; q < group; ++q)
                left[q] = in_register<T>(load(a[q] + j * a_stride));
            for (index_t m = 0; m < Places; ++m) {
                const vec_t<T> right = in_register<T>(load(b[m] + j * stride()));
                for (index_t q = 0; q < group; ++q) sums[q][m] += left[q] * right;
            }
        }
    }

    // Adds to b what the rows of a group have to do with each other and with those behind them;
    // then b is complete for the group, and so its q.
    void add_bounds(index_t first, T w) const {
        bool any = false;
        for (index_t q = 0; q < group; ++q) any = any || row(first + q).seen;
        if (!any) return;
        const index_t halo = taps_.reach[1], from = Line ? 0 : halo;
        const index_t until = Line ? lanes : 5 * halo + columns_;
        const index_t count = find(first, first + group + taps_.reach[0]);
        for (index_t c = from; c < until; c += lanes) {
            const T* left[group];
            for (index_t q = 0; q < group; ++q) {
                const index_t k = row(first + q).seen ? first + q : near_[0];
                left[q] = row(k).anomalies + c;
            }
            for (index_t dc = -halo; dc <= halo; ++dc) {
                for (index_t k = 0; k < count; k += tile_places) {
                    const index_t places = count - k < tile_places ? count - k : tile_places;
                    with_size<tile_places>(places, [&](auto size) {
                        add_tile<decltype(size)::value>(first, left, c, dc,
                                                        near_ + k);
                    });
                }
            }
        }
        for (index_t q = 0; q < group; ++q)
            if (row(first + q).seen) set_gain(row(first + q), w);
    }

    // What is known of a place stands at fixed distances from its anomalies: here and in weigh()
    // there is one address a place to keep while the registers are full of sums.
    template <index_t Places>
    void add_tile(index_t first, const T* const* left, index_t c, index_t dc,
                  const index_t* places) const {
        T* right[Places];
        for (index_t m = 0; m < Places; ++m) right[m] = row(places[m]).anomalies + c + dc;
        vec_t<T> sums[group][Places];
        multiply<Places>(left, stride(), right, sums);
        const T *own = taps_.own.get(), *other = taps_.other.get();
        const index_t to_bound = (n_ + 2) * stride(), tap = taps_.position(-first, dc);
        for (index_t q = 0; q < group; ++q) {
            if (!row(first + q).seen) continue;
            T* bound = row(first + q).bound + c;
            vec_t<T> total = load(bound);
            for (index_t m = 0; m < Places; ++m) {
                sums[q][m] = detail::absolute<T>(sums[q][m]);
                total += own[tap + places[m] - q] * sums[q][m];
            }
            store(bound, total);
            for (index_t m = 0; m < Places; ++m) {
                T* at = right[m] + to_bound;
                store(at, load(at) + other[tap + places[m] - q] * sums[q][m]);
            }
        }
    }

    void set_gain(Row& to, T w) const {
        using Numbers = math::Vectors<T>;
        for (index_t c = 0; c < stride(); c += lanes) {
            const vec_t<T> variance = math::lenff_variance(w, load(to.weight + c));
            store(to.gain + c, math::lenff_gain<Numbers>(load(to.bound + c), variance));
        }
    }

    template <class Source>
    void move(Source& source, index_t first, index_t last) const {
        const index_t halo = taps_.reach[1], reach = taps_.reach[0];
        const index_t count = find(first - reach, first + group + reach);
        const index_t rows = last - first < group ? last - first : group;
        for (index_t c = 0; c < columns_; c += lanes) {
            const index_t at = c + origin(taps_);
            vec_t<T> shift[group] = {};
            index_t entries = 0;
            if (count > 0) center(first, at);
            for (index_t dc = -halo; dc <= halo; ++dc) {
                for (index_t k = 0; k < count; k += tile_places) {
                    const index_t places = count - k < tile_places ? count - k : tile_places;
                    with_size<tile_places>(places, [&](auto size) {
                        weigh<decltype(size)::value>(first, at, dc, near_ + k, entries,
                                                     shift);
                    });
                    entries += places;
                }
            }
            for (index_t i = 0; i < n_; i += tile_members) {
                const index_t members = n_ - i < tile_members ? n_ - i : tile_members;
                with_size<tile_members>(members, [&](auto size) {
                    constexpr index_t size_ = decltype(size)::value;
                    vec_t<T> sums[group][size_];
                    combine<size_>(entries, i, sums);
                    for (index_t q = 0; q < rows; ++q) {
                        const T* state = row(first + q).state + i * stride() + at;
                        for (index_t m = 0; m < size_; ++m) {
                            const vec_t<T> dx = shift[q] - T(0.5) * sums[q][m];
                            source.take(first + q, i + m, c, load(state + m * stride()) + dx);
                        }
                    }
                });
            }
        }
    }

    // The anomalies A of the rows of a group.
    void center(index_t first, index_t at) const {
        const T share = T(1) / static_cast<T>(n_);
        for (index_t q = 0; q < group; ++q) {
            const T* state = row(first + q).state + at;
            T* to = state_ + q * n_ * lanes;
            const vec_t<T> start = load(state);
            vec_t<T> mean = {};
            for (index_t j = 1; j < n_; ++j) mean += load(state + j * stride()) - start;
            mean *= share;
            for (index_t j = 0; j < n_; ++j)
                store(to + j * lanes, (load(state + j * stride()) - start) - mean);
        }
    }

    // p of a group with some rows, and what their innovations do.
    template <index_t Places>
    void weigh(index_t first, index_t at, index_t dc, const index_t* places, index_t entry,
               vec_t<T> (&shift)[group]) const {
        const T* left[group];
        for (index_t q = 0; q < group; ++q) left[q] = state_ + q * n_ * lanes;
        const T* right[Places];
        for (index_t m = 0; m < Places; ++m) {
            right[m] = row(places[m]).anomalies + at + dc;
            at_[entry + m] = right[m];
        }
        vec_t<T> sums[group][Places];
        multiply<Places>(left, lanes, right, sums);
        const T* rho = taps_.all.get() + taps_.position(-first, dc);
        const index_t to_miss = n_ * stride(), to_gain = (n_ + 1) * stride();
        T* products = products_ + entry * group * lanes;
        for (index_t m = 0; m < Places; ++m) {
            const vec_t<T> gain = load(right[m] + to_gain), miss = load(right[m] + to_miss);
            for (index_t q = 0; q < group; ++q) {
                const vec_t<T> p = rho[places[m] - q] * sums[q][m] * gain;
                store(products + (m * group + q) * lanes, p);
                shift[q] += p * miss;
            }
        }
    }

    // sum_l p_l Y_il for members from i on.
    template <index_t Members>
    ENFILT_INLINE void combine(index_t entries, index_t i,
                               vec_t<T> (&sums)[group][Members]) const {
        for (index_t q = 0; q < group; ++q)
            for (index_t m = 0; m < Members; ++m) sums[q][m] = vec_t<T>{};
        const T* p = products_;
        for (index_t e = 0; e < entries; ++e, p += group * lanes) {
            const T* y = at_[e] + i * stride();
            vec_t<T> left[group];
            for (index_t q = 0; q < group; ++q)
                left[q] = in_register<T>(load(p + q * lanes));
            for (index_t m = 0; m < Members; ++m) {
                const vec_t<T> right = in_register<T>(load(y + m * stride()));
                for (index_t q = 0; q < group; ++q) sums[q][m] += left[q] * right;
            }
        }
    }

    const LenffWindow<T>& p_;
    const Taps<T>& taps_;
    const index_t n_, columns_, width_, capacity_;
    Row* rows_;
    index_t* near_;
    const T** at_;
    T *state_, *products_;
};

}  // namespace lenff_detail

ENFILT_CLOSE
