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

#include <limits>
#include <type_traits>

#include "observed.hpp"
#include "operators.hpp"

ENFILT_OPEN

namespace lenff_detail {

constexpr index_t group = 2;  // rows that stand in registers together
// Rows, and members, that they are multiplied with at a time.
constexpr index_t tile_places = ENFILT_VECTOR_BYTES == 64 ? 8 : 4;
constexpr index_t tile_members = ENFILT_VECTOR_BYTES == 64 ? 10 : 4;

// Calls body with `size` (1 .. Most) as a constant.
template <index_t Most, class Body>
ENFILT_INLINE void with_size(index_t size, Body&& body) {
    if constexpr (Most > 1) {
        if (size < Most) return with_size<Most - 1>(size, body);
    }
    body(std::integral_constant<index_t, Most>{});
}

// The taper over N - 1, by rows and columns away, zeros about it.
template <class T>
struct Taps {
    index_t reach[2] = {0, 0};  // rows, columns
    index_t span;
    Buffer<T> all, own, other;

    // `line`: the axis of columns becomes that of the panel's rows.
    Taps(const LenffWindow<T>& p, bool line)
        : span(measure(p, line)), all(size()), own(size()), other(size()) {
        for (std::size_t k = 0; k < size(); ++k) all[k] = own[k] = other[k] = T(0);
        const index_t length[2] = {p.rows, p.columns};
        for (index_t s = 0; s < p.count; ++s) {
            double weight = p.rho[s] / static_cast<double>(p.members - 1);
            // opposite on a ring stands in the window once: half of it on either side
            bool twice[2];
            for (index_t axis = 0; axis < 2; ++axis) {
                const index_t away = p.offsets[2 * s + axis];
                twice[axis] = p.periodic && away != 0 && 2 * away == length[axis];
                if (twice[axis]) weight /= 2;
            }
            for (int side = 0; side < 4; ++side) {
                if ((side & 1 && !twice[0]) || (side & 2 && !twice[1])) continue;
                index_t r = p.offsets[2 * s] * (side & 1 ? -1 : 1);
                index_t c = p.offsets[2 * s + 1] * (side & 2 ? -1 : 1);
                if (line) r += c, c = 0;  // one of them is zero
                const std::size_t at = position(r, c);
                all[at] += static_cast<T>(weight);
                // each pair of places once: seen from the one that comes first
                if (r > 0 || (r == 0 && c >= 0)) own[at] = all[at];
                if (r > 0 || (r == 0 && c > 0)) other[at] = all[at];
            }
        }
    }

    std::size_t position(index_t row, index_t column) const {
        return static_cast<std::size_t>((column + reach[1]) * span + row + reach[0] + group);
    }

  private:
    std::size_t size() const { return static_cast<std::size_t>((2 * reach[1] + 1) * span); }

    index_t measure(const LenffWindow<T>& p, bool line) {
        for (index_t s = 0; s < 2 * p.count; ++s) {
            const index_t away = p.offsets[s] < 0 ? -p.offsets[s] : p.offsets[s];
            index_t& most = reach[line ? 0 : s % 2];
            if (away > most) most = away;
        }
        return 2 * (reach[0] + group) + 1;
    }
};

// One step over rows of a panel. `Source` gives rows of the state with their observations, as far
// as the halo reaches, and takes the moved ones; a row is taken after all rows within twice the
// reach have been given, so that it may be overwritten.
template <class T, bool Line>
class Sweep {
  public:
    static constexpr index_t lanes = Blocks<T>::lanes;

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
    // Rows in use at one time.
    static index_t capacity(const Taps<T>& taps) {
        return 3 * round_up(taps.reach[0], group) + 6 * group;
    }
    static index_t scratch(const Taps<T>& taps, index_t members, index_t columns) {
        const index_t places = (2 * taps.reach[1] + 1) * (2 * taps.reach[0] + group);
        return capacity(taps) * (members + 3) * width(taps, columns) +
               group * (members + places) * lanes;
    }

    Sweep(const LenffWindow<T>& p, const Taps<T>& taps, index_t columns, T* memory)
        : p_(p), taps_(taps), n_(p.members), columns_(columns), width_(width(taps, columns)),
          capacity_(capacity(taps)), rows_(static_cast<std::size_t>(capacity_)),
          near_(static_cast<std::size_t>(2 * taps.reach[0] + group)),
          at_(static_cast<std::size_t>((2 * taps.reach[1] + 1) * (2 * taps.reach[0] + group))) {
        for (index_t k = 0; k < capacity_; ++k) {
            Row& row = rows_[static_cast<std::size_t>(k)];
            row.anomalies = memory + k * n_ * width_;
            T* single = memory + capacity_ * n_ * width_ + 3 * k * width_;
            row.misses = single, row.gain = single + width_, row.bound = single + 2 * width_;
        }
        state_ = memory + capacity_ * (n_ + 3) * width_;
        products_ = state_ + group * n_ * lanes;
    }

    // Moves the rows [first, last) by a step of pseudo-time w.
    template <class Source>
    void run(Source& source, index_t first, index_t last, T w) const {
        const index_t reach = taps_.reach[0];
        index_t given = first - head(taps_), bounded = given;
        for (index_t r = first; r < last; r += group) {
            for (; bounded < r + group + reach; bounded += group) {
                for (; given < bounded + group + reach; ++given) observe(source, given);
                add_bounds(bounded, w);
            }
            move(source, r, last);
        }
    }

  private:
    struct Row {
        const T *state, *y, *weight;            // as given
        T *anomalies, *misses, *gain, *bound;   // Y, d, q, b
        bool seen;
    };

    Row& row(index_t r) const {
        return rows_[static_cast<std::size_t>((r + 64 * capacity_) % capacity_)];
    }
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
        with_pointwise<T>(p_.observed->kind, p_.observed->parameter,
                          [&](auto h) { anomalies(h, to); });
    }

    template <class Operator>
    void anomalies(Operator h, Row& to) const {
        const T share = T(1) / static_cast<T>(n_);
        for (index_t c = 0; c < stride(); c += lanes) {
            const ivec_t<T> seen = load(to.weight + c) > T(0);
            const vec_t<T> start = h.value(load(to.state + c));
            vec_t<T> mean = {};
            for (index_t j = 1; j < n_; ++j) {
                const vec_t<T> apart = h.value(load(to.state + j * stride() + c)) - start;
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
            if (row(r).seen) near_[static_cast<std::size_t>(count++)] = r;
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
            for (index_t q = 0; q < group; ++q) left[q] = load(a[q] + j * a_stride);
            for (index_t m = 0; m < Places; ++m) {
                const vec_t<T> right = load(b[m] + j * stride());
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
                                                        near_.get() + k);
                    });
                }
            }
        }
        for (index_t q = 0; q < group; ++q)
            if (row(first + q).seen) set_gain(row(first + q), w);
    }

    template <index_t Places>
    void add_tile(index_t first, const T* const* left, index_t c, index_t dc,
                  const index_t* places) const {
        const T* right[Places];
        for (index_t m = 0; m < Places; ++m) right[m] = row(places[m]).anomalies + c + dc;
        vec_t<T> sums[group][Places];
        multiply<Places>(left, stride(), right, sums);
        for (index_t q = 0; q < group; ++q) {
            if (!row(first + q).seen) continue;
            T* own = row(first + q).bound + c;
            vec_t<T> total = load(own);
            for (index_t m = 0; m < Places; ++m) {
                const std::size_t at = taps_.position(places[m] - first - q, dc);
                total += taps_.own[at] * detail::absolute<T>(sums[q][m]);
            }
            store(own, total);
            for (index_t m = 0; m < Places; ++m) {
                const std::size_t at = taps_.position(places[m] - first - q, dc);
                T* other = row(places[m]).bound + c + dc;
                store(other, load(other) + taps_.other[at] * detail::absolute<T>(sums[q][m]));
            }
        }
    }

    void set_gain(Row& to, T w) const {
        // where b is no normal number, Y is zero to rounding, and nothing moves
        constexpr T least = 4 * std::numeric_limits<T>::min();
        for (index_t c = 0; c < stride(); c += lanes) {
            const vec_t<T> b = load(to.bound + c);
            const vec_t<T> q = T(1) / (b + T(1) / (w * load(to.weight + c)));
            store(to.gain + c, select<T>(b > least, q, vec_t<T>{}));
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
                        weigh<decltype(size)::value>(first, at, dc, near_.get() + k, entries,
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
            at_[static_cast<std::size_t>(entry + m)] = right[m];
        }
        vec_t<T> sums[group][Places];
        multiply<Places>(left, lanes, right, sums);
        for (index_t m = 0; m < Places; ++m) {
            const Row& place = row(places[m]);
            const vec_t<T> gain = load(place.gain + at + dc), miss = load(place.misses + at + dc);
            for (index_t q = 0; q < group; ++q) {
                const T rho = taps_.all[taps_.position(places[m] - first - q, dc)];
                const vec_t<T> p = rho * sums[q][m] * gain;
                store(products_ + ((entry + m) * group + q) * lanes, p);
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
            const T* y = at_[static_cast<std::size_t>(e)] + i * stride();
            vec_t<T> left[group];
            for (index_t q = 0; q < group; ++q) left[q] = load(p + q * lanes);
            for (index_t m = 0; m < Members; ++m) {
                const vec_t<T> right = load(y + m * stride());
                for (index_t q = 0; q < group; ++q) sums[q][m] += left[q] * right;
            }
        }
    }

    const LenffWindow<T>& p_;
    const Taps<T>& taps_;
    const index_t n_, columns_, width_, capacity_;
    const Buffer<Row> rows_;
    const Buffer<index_t> near_;
    const Buffer<const T*> at_;
    T *state_, *products_;
};

// How a line is cut into blocks, which take all steps in cache: what a step can't know near the
// ends of a block grows by twice the reach a step, and is not written.
template <class T>
struct LineCut {
    static constexpr index_t lanes = Blocks<T>::lanes;
    index_t halo = 0;  // before and behind a block
    index_t length;    // of what a block writes
    index_t pieces;    // components of a lane

    LineCut(const LenffWindow<T>& p, index_t reach) : length(p.dim) {
        const index_t far = 2 * reach * p.steps;
        const bool small = p.dim <= 2048 || p.dim <= 4 * far;
        if (small && p.periodic && p.dim % lanes == 0) {
            pieces = p.dim / lanes;  // the ring closes where the last lane meets the first
            return;
        }
        if (small && !p.periodic) {
            pieces = (p.dim + reach + lanes - 1) / lanes;  // between them nothing is observed
            return;
        }
        halo = far;
        // a block as large as the second-level cache holds, and of it at least four fifths to
        // write; but some blocks for every thread
        index_t most = (index_t{1} << 20) / (p.members * static_cast<index_t>(sizeof(T)));
        most = most < 8 * halo ? 8 * halo : most;
        const index_t least = 4 * halo < 1024 ? 1024 : 4 * halo;
        index_t target = p.dim / 8;
        target = target < least ? least : target;
        target = target > most ? most : target;
        const index_t blocks = (p.dim + target - 1) / target;
        length = (p.dim + blocks - 1) / blocks;
        pieces = (length + 2 * halo + lanes - 1) / lanes;
        // every k-th component then stands in the same rows for all lanes
        const index_t stride = p.observed->indices ? 1 : p.observed->stride;
        if (stride < 16) pieces = round_up(pieces, stride);
    }

    // The component at a place of the block that starts at `first`, or -1 outside the line.
    static index_t component(const LenffWindow<T>& p, index_t place) {
        if (p.periodic) return (place % p.dim + p.dim) % p.dim;
        return place < 0 || place >= p.dim ? -1 : place;
    }
};

// A block of a line as a panel.
template <class T>
class LineBlock {
  public:
    static constexpr index_t lanes = Blocks<T>::lanes;

    static index_t scratch(const LenffWindow<T>& p, const Taps<T>& taps, const LineCut<T>& cut) {
        return rows(taps, cut) * (p.members + 2) * lanes + 2 * lanes * cut.pieces;
    }

    LineBlock(const LenffWindow<T>& p, const Taps<T>& taps, const LineCut<T>& cut, T* memory)
        : p_(p), cut_(cut), head_(Sweep<T, true>::head(taps)), rows_(rows(taps, cut)),
          size_(p.members * lanes), x_(memory), y_(x_ + rows_ * size_),
          weight_(y_ + rows_ * lanes), spread_(weight_ + rows_ * lanes) {}

    void fetch(index_t first) const {
        const index_t from = first - cut_.halo, n = cut_.pieces * lanes;
        for (index_t j = 0; j < p_.members; ++j)
            for_each_run(from, n, [&](index_t place, index_t component, index_t count) {
                const T zero = 0;
                const T* x = component < 0 ? &zero : p_.x + j * p_.dim + component;
                spread_out(x, place, count, x_ + j * lanes, size_);
            });
        T* weight = spread_ + n;
        std::memset(spread_, 0, static_cast<std::size_t>(2 * n) * sizeof(T));
        for (index_t k = 0; k < n; k += cut_.pieces)
            for_each_run(from + k, cut_.pieces,
                         [&](index_t place, index_t component, index_t count) {
                             if (component < 0) return;
                             observe(component, count, spread_ + k + place, weight + k + place);
                         });
        spread_out(spread_, 0, n, y_, lanes);
        spread_out(weight, 0, n, weight_, lanes);
        turn(y_, lanes);
        turn(weight_, lanes);
    }

    // What lies beyond the pieces: their neighbours' rows as they are now.
    void turn() const { turn(x_, size_); }

    void write(index_t first) const {
        const index_t end = p_.dim - first < cut_.length ? p_.dim - first : cut_.length;
        for (index_t j = 0; j < p_.members; ++j) {
            T* to = p_.out + j * p_.dim + first - cut_.halo;
            const T* x = x_ + head_ * size_ + j * lanes;
            for (index_t l = 0; l < lanes; ++l) {
                const index_t begin = l * cut_.pieces;
                index_t low = cut_.halo - begin, high = cut_.halo + end - begin;
                low = low < 0 ? 0 : low, high = high > cut_.pieces ? cut_.pieces : high;
                for (index_t k = low; k < high; ++k) to[begin + k] = x[k * size_ + l];
            }
        }
    }

    void give(index_t r, const T*& state, const T*& y, const T*& weight) const {
        state = x_ + (head_ + r) * size_;
        y = y_ + (head_ + r) * lanes;
        weight = weight_ + (head_ + r) * lanes;
    }
    ENFILT_INLINE void take(index_t r, index_t member, index_t, vec_t<T> value) const {
        store(x_ + (head_ + r) * size_ + member * lanes, value);
    }

  private:
    static index_t rows(const Taps<T>& taps, const LineCut<T>& cut) {
        return Sweep<T, true>::head(taps) + cut.pieces + Sweep<T, true>::tail(taps);
    }

    // Calls body(place from `from` on, component or -1, count) for runs within the line.
    template <class Body>
    void for_each_run(index_t from, index_t n, Body&& body) const {
        for (index_t place = 0; place < n;) {
            const index_t component = LineCut<T>::component(p_, from + place);
            index_t count = component < 0 ? 1 : p_.dim - component;
            if (count > n - place) count = n - place;
            body(place, component, count);
            place += count;
        }
    }

    // In parts of its own memory: whole vectors are written, and what lies behind is another run.
    void observe(index_t component, index_t count, T* y, T* weight) const {
        constexpr index_t part = 64;
        T buffer[2 * part];
        for (index_t d = 0; d < count; d += part) {
            const index_t n = count - d < part ? count - d : part;
            spread_observations(*p_.observed, component + d, n, buffer, buffer + part);
            std::memcpy(y + d, buffer, static_cast<std::size_t>(n) * sizeof(T));
            std::memcpy(weight + d, buffer + part, static_cast<std::size_t>(n) * sizeof(T));
        }
    }

    // Puts places [place, place + count) of a block where they stand in a panel.
    void spread_out(const T* from, index_t place, index_t count, T* to, index_t size) const {
        to += head_ * size;
        for (index_t done = 0; done < count;) {
            const index_t lane = (place + done) / cut_.pieces, k = (place + done) % cut_.pieces;
            const index_t left = cut_.pieces - k;
            const index_t n = count - done < left ? count - done : left;
            for (index_t d = 0; d < n; ++d) to[(k + d) * size + lane] = from[done + d];
            done += n;
        }
    }

    void turn(T* x, index_t size) const {
        const index_t pieces = cut_.pieces;
        const auto turn_row = [&](index_t r) {
            const index_t from = (r % pieces + pieces) % pieces;
            const index_t lane = ((r - from) / pieces % lanes + lanes) % lanes;
            T twice[2 * lanes];
            for (index_t d = 0; d < size; d += lanes) {
                const vec_t<T> v = load(x + (head_ + from) * size + d);
                store(twice, v);
                store(twice + lanes, v);
                store(x + (head_ + r) * size + d, load(twice + lane));
            }
        };
        for (index_t r = -head_; r < 0; ++r) turn_row(r);
        for (index_t r = pieces; r < rows_ - head_; ++r) turn_row(r);
    }

    const LenffWindow<T>& p_;
    const LineCut<T>& cut_;
    const index_t head_, rows_, size_;
    T *x_, *y_, *weight_, *spread_;
};

template <class T>
void lenff_line(const LenffWindow<T>& p) {
    using S = Sweep<T, true>;
    const Taps<T> taps(p, true);
    const LineCut<T> cut(p, taps.reach[0]);
    const index_t blocks = (p.dim + cut.length - 1) / cut.length;
    const index_t sweep_size = round_up(S::scratch(taps, p.members, S::lanes), 64);
    const Scratch<T> scratch(sweep_size + round_up(LineBlock<T>::scratch(p, taps, cut), 64), 1);
#pragma omp parallel for schedule(dynamic) if (blocks > 1)
    for (index_t b = 0; b < blocks; ++b) {
        T* memory = scratch.of(omp_get_thread_num());
        LineBlock<T> block(p, taps, cut, memory + sweep_size);
        const S sweep(p, taps, S::lanes, memory);
        block.fetch(b * cut.length);
        for (index_t k = 0; k < p.steps; ++k) {
            block.turn();
            sweep.run(block, 0, cut.pieces, static_cast<T>(p.pseudo_times[k]));
        }
        block.write(b * cut.length);
    }
}

// Rows [first, last) of a grid of two axes as a panel that is overwritten as it is read. Rows
// beyond them are another task's, and are read as they stood before the step: from `halo`.
template <class T>
class GridRows {
  public:
    static constexpr index_t lanes = Blocks<T>::lanes;
    using S = Sweep<T, false>;

    static index_t scratch(const LenffWindow<T>& p, const Taps<T>& taps) {
        return S::capacity(taps) * (p.members + 2) * S::width(taps, p.columns) +
               2 * (p.columns + 2 * lanes);
    }

    GridRows(const LenffWindow<T>& p, const Taps<T>& taps, const T* from, index_t first,
             index_t last, const T* halo, T* memory)
        : p_(p), from_(from), halo_(halo), first_(first), last_(last), head_(S::head(taps)),
          capacity_(S::capacity(taps)), width_(S::width(taps, p.columns)),
          origin_(S::origin(taps)), x_(memory), y_(x_ + capacity_ * p.members * width_),
          weight_(y_ + capacity_ * width_), spread_(weight_ + capacity_ * width_) {}

    // The row of the grid that row r of its endless continuation is, or -1.
    static index_t wrap(const LenffWindow<T>& p, index_t r) {
        if (p.periodic) return (r % p.rows + p.rows) % p.rows;
        return r < 0 || r >= p.rows ? -1 : r;
    }

    void give(index_t r, const T*& state, const T*& y, const T*& weight) const {
        const index_t slot = (r + 64 * capacity_) % capacity_;
        T* x = x_ + slot * p_.members * width_;
        for (index_t j = 0; j < p_.members; ++j) {
            const T* row = from_ + j * p_.dim + r * p_.columns;
            if (r < first_ || r >= last_) {
                const index_t k = r < first_ ? r - first_ + head_ : r - last_ + head_;
                row = halo_ + (k * p_.members + j) * p_.columns;
            }
            place(row, x + j * width_);
        }
        T *to_y = y_ + slot * width_, *to_weight = weight_ + slot * width_;
        const index_t inside = wrap(p_, r);
        if (inside < 0) {
            std::memset(to_weight, 0, static_cast<std::size_t>(width_) * sizeof(T));
        } else {
            T *y_row = spread_, *weight_row = spread_ + p_.columns + 2 * lanes;
            spread_observations(*p_.observed, inside * p_.columns, p_.columns, y_row, weight_row);
            place(y_row, to_y);
            place(weight_row, to_weight);
        }
        state = x, y = to_y, weight = to_weight;
    }

    ENFILT_INLINE void take(index_t r, index_t member, index_t c, vec_t<T> value) const {
        T* to = p_.out + member * p_.dim + r * p_.columns + c;
        if (p_.columns - c >= lanes) return store(to, value);
        std::memcpy(to, &value, static_cast<std::size_t>(p_.columns - c) * sizeof(T));
    }

  private:
    // A row with what lies beyond its ends: its other end, or zeros.
    void place(const T* from, T* to) const {
        const index_t n = p_.columns;
        std::memcpy(to + origin_, from, static_cast<std::size_t>(n) * sizeof(T));
        for (index_t c = origin_ + n; c < width_; ++c)
            to[c] = p_.periodic && c < n + 2 * origin_ ? to[c - n] : T(0);
        for (index_t c = origin_ - 1; c >= 0; --c) to[c] = p_.periodic ? to[c + n] : T(0);
    }

    const LenffWindow<T>& p_;
    const T *from_, *halo_;
    const index_t first_, last_, head_, capacity_, width_, origin_;
    T *x_, *y_, *weight_, *spread_;
};

template <class T>
void lenff_grid(const LenffWindow<T>& p) {
    using S = Sweep<T, false>;
    const Taps<T> taps(p, false);
    const index_t head = S::head(taps), halo = head + S::tail(taps);
    // what tasks save of their neighbours' rows stays small beside the ensemble, or in itself
    index_t tasks = p.rows / (12 * halo);
    if (p.members * p.dim * static_cast<index_t>(sizeof(T)) < (index_t{1} << 23))
        tasks = p.rows / (4 + head);
    if (tasks > available_threads()) tasks = available_threads();
    if (tasks < 1) tasks = 1;
    const auto start = [&](index_t t) {
        return t == tasks ? p.rows : t * p.rows / tasks / 4 * 4;
    };
    const index_t halo_size = halo * p.members * p.columns;
    const index_t sweep_size = round_up(S::scratch(taps, p.members, p.columns), 64);
    const index_t size = sweep_size + round_up(GridRows<T>::scratch(p, taps), 64);
    const Scratch<T> scratch(size, 1);
    const Buffer<T> saved(static_cast<std::size_t>(tasks * halo_size));
    const T* from = p.x;
    for (index_t k = 0; k < p.steps; ++k) {
#pragma omp parallel for schedule(static) if (tasks > 1)
        for (index_t row = 0; row < tasks * halo; ++row) {
            const index_t t = row / halo, s = row % halo;
            const index_t at = s < head ? start(t) - head + s : start(t + 1) + s - head;
            const index_t inside = GridRows<T>::wrap(p, at);
            for (index_t j = 0; j < p.members; ++j) {
                T* to = saved.get() + (row * p.members + j) * p.columns;
                const std::size_t bytes = static_cast<std::size_t>(p.columns) * sizeof(T);
                if (inside < 0)
                    std::memset(to, 0, bytes);
                else
                    std::memcpy(to, from + j * p.dim + inside * p.columns, bytes);
            }
        }
#pragma omp parallel for schedule(static) if (tasks > 1)
        for (index_t t = 0; t < tasks; ++t) {
            T* memory = scratch.of(omp_get_thread_num());
            const GridRows<T> rows(p, taps, from, start(t), start(t + 1),
                                   saved.get() + t * halo_size, memory + sweep_size);
            const S sweep(p, taps, p.columns, memory);
            sweep.run(rows, start(t), start(t + 1), static_cast<T>(p.pseudo_times[k]));
        }
        from = p.out;
    }
}

}  // namespace lenff_detail

// The LEnFF on a regular grid with pointwise observations.
template <class T>
void lenff_window(const LenffWindow<T>& p) {
    if (p.rows == 1 || p.columns == 1)
        lenff_detail::lenff_line(p);
    else
        lenff_detail::lenff_grid(p);
}

ENFILT_CLOSE
