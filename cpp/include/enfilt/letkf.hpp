// The local ensemble transform Kalman filter: for every component of the state the transform of
// the ensemble from the observations nearby, with the error precisions tapered by distance
// (Hunt, Kostelich, Szunyogh 2007).
//
// On a regular grid neighbouring components see the same products of anomalies, read a component
// further: one unaligned load brings what all lanes see at one offset. A tile of the grid with its
// halo stands in cache; nothing of the size of an ensemble is made.
#pragma once

#include "local_analysis.hpp"
#include "observed.hpp"
#include "operators.hpp"

ENFILT_OPEN

// How a regular grid is cut into tiles, and how a tile with its halo lies in scratch.
template <class T>
struct TileLayout {
    static constexpr index_t lanes = Blocks<T>::lanes;

    index_t rows, columns;          // of a tile
    index_t halo_rows, halo_columns;  // with its halo
    index_t width;                  // from row to row; a vector may reach past the last column
    index_t area;                   // of one ensemble member
    Buffer<std::int64_t> shift;     // the window's places from its centre

    TileLayout(const LetkfWindow<T>& p, index_t threads)
        : rows(p.rows < 16 ? p.rows : 16), columns(p.columns),
          shift(static_cast<std::size_t>(p.count)) {
        // about as large as the second-level cache with a halo of ten or twenty
        const index_t longest = p.rows > 1 ? 64 : 512;
        if (columns > longest) columns = longest;
        // some for each thread; whole vectors of a row stay together
        while (tiles(p) < 8 * threads && columns > 2 * lanes)
            columns = round_up(columns / 2, lanes);
        while (tiles(p) < 8 * threads && rows > 4) rows /= 2;
        halo_rows = p.before[0] + rows + p.behind[0];
        halo_columns = p.before[1] + columns + p.behind[1];
        width = halo_columns + lanes;
        area = round_up(halo_rows * width, lanes) + lanes;
        for (index_t s = 0; s < p.count; ++s)
            shift[static_cast<std::size_t>(s)] = p.offsets[2 * s] * width + p.offsets[2 * s + 1];
    }

    index_t across(const LetkfWindow<T>& p) const { return (p.columns + columns - 1) / columns; }
    index_t tiles(const LetkfWindow<T>& p) const {
        return (p.rows + rows - 1) / rows * across(p);
    }
};

// A tile of a regular grid with the halo that its windows reach into, made ready for the views:
// scaled anomalies and innovations, the sum of their squares over members, and what is seen.
template <class T>
class WindowTile {
  public:
    static constexpr index_t lanes = Blocks<T>::lanes;

    static index_t scratch(const LetkfWindow<T>& p, const TileLayout<T>& layout) {
        return (p.members + 4) * layout.area;
    }

    WindowTile(const LetkfWindow<T>& p, const TileLayout<T>& layout, T* memory)
        : p_(p), layout_(layout), area_(layout.area), rows_(memory),
          power_(rows_ + (p.members + 1) * area_), weight_(power_ + area_), y_(weight_ + area_) {}

    // Fills in the tile that starts at (row, column) of the grid, and its halo.
    void fetch_tile(index_t row, index_t column) const {
        // rows outside the grid hold what the tile before left there, which weighs nothing
        std::memset(weight_, 0, static_cast<std::size_t>(2 * area_) * sizeof(T));
        for (index_t r = 0; r < layout_.halo_rows; ++r) {
            const index_t from = wrap(row - p_.before[0] + r, p_.rows);
            if (from < 0) continue;
            // pieces that do not cross the end of the row
            const index_t length = layout_.halo_columns;
            for (index_t c = 0; c < length;) {
                const index_t at = wrap(column - p_.before[1] + c, p_.columns);
                if (at < 0) {
                    ++c;
                    continue;
                }
                const index_t n = p_.columns - at < length - c ? p_.columns - at : length - c;
                fetch_piece(from * p_.columns + at, n, r * layout_.width + c);
                c += n;
            }
        }
        with_pointwise<T>(*p_.observed, [&](auto h) {
            if constexpr (takes_blocks<decltype(h)>) {
                apply_in_place(h, p_.members * area_, rows_);
                observe(IdentityOperator<T>(0));
            } else {
                observe(h);
            }
        });
    }

    // The group whose first component stands at (row, column) of the tile.
    LocalView<T> view(index_t row, index_t column) const {
        return {rows_ + position(row, column), area_, p_.count, layout_.shift.get(), p_.rho};
    }

    // Which lanes see an observation; returns the largest trace of S.
    double survey(index_t row, index_t column, bool* seen) const {
        const index_t at = position(row, column);
        vec_t<T> trace = {}, visible = {};
        for (index_t s = 0; s < p_.count; ++s) {
            const T rho = static_cast<T>(p_.rho[s]);
            trace += rho * load(power_ + at + layout_.shift[static_cast<std::size_t>(s)]);
            visible += rho * load(weight_ + at + layout_.shift[static_cast<std::size_t>(s)]);
        }
        double largest = 0;
        for (index_t l = 0; l < lanes; ++l) {
            const double size = static_cast<double>(trace[static_cast<std::size_t>(l)]);
            seen[l] = visible[static_cast<std::size_t>(l)] > 0;
            if (!(size <= largest)) largest = size;
        }
        return largest;
    }

  private:
    const LetkfWindow<T>& p_;
    const TileLayout<T>& layout_;
    index_t area_;
    T *rows_, *power_, *weight_, *y_;

    index_t position(index_t row, index_t column) const {
        return (row + p_.before[0]) * layout_.width + column + p_.before[1];
    }

    // The place k of an axis of n points, or -1 outside it.
    index_t wrap(index_t k, index_t n) const {
        if (p_.periodic) return (k % n + n) % n;
        return k < 0 || k >= n ? -1 : k;
    }

    void fetch_piece(index_t first, index_t n, index_t to) const {
        // whole vectors are written: what lies behind is overwritten later or is not seen
        spread_observations(*p_.observed, first, n, y_ + to, weight_ + to);
        for (index_t j = 0; j < p_.members; ++j)
            std::memcpy(rows_ + j * area_ + to, p_.x + j * p_.dim + first,
                        static_cast<std::size_t>(n) * sizeof(T));
    }

    // States to scaled anomalies of h and innovations.
    template <class Operator>
    void observe(Operator h) const {
        const index_t n = p_.members;
        const T share = T(1) / static_cast<T>(n), spare = T(1) / static_cast<T>(n - 1);
        for (index_t d = 0; d + lanes <= area_; d += lanes) {
            const vec_t<T> w = load(weight_ + d);
            const ivec_t<T> seen = w > T(0);
            const vec_t<T> factor = select<T>(seen, sqrt<T>(w * spare), vec_t<T>{});
            const vec_t<T> start = h.value(load(rows_ + d));
            vec_t<T> mean = {}, power = {};
            for (index_t j = 0; j < n; ++j) {
                const vec_t<T> apart = h.value(load(rows_ + j * area_ + d)) - start;
                store(rows_ + j * area_ + d, apart);
                mean += apart;
            }
            mean *= share;
            for (index_t j = 0; j < n; ++j) {
                const vec_t<T> anomaly = load(rows_ + j * area_ + d) - mean;
                const vec_t<T> scaled = select<T>(seen, factor * anomaly, vec_t<T>{});
                store(rows_ + j * area_ + d, scaled);
                power += scaled * scaled;
            }
            const vec_t<T> innovation = load(y_ + d) - (start + mean);
            store(rows_ + n * area_ + d, select<T>(seen, factor * innovation, vec_t<T>{}));
            store(power_ + d, power);
            store(weight_ + d, select<T>(seen, broadcast(T(1)), vec_t<T>{}));
        }
    }
};

// The LETKF on a regular grid with pointwise observations: every component sees the same window.
template <class T>
void letkf_window(const LetkfWindow<T>& p) {
    constexpr index_t lanes = Blocks<T>::lanes;
    const TileLayout<T> layout(p, available_threads());
    const index_t across = layout.across(p), tiles = layout.tiles(p);
    const index_t group_size = round_up(LocalGroup<T>::scratch(p.members), 64);
    const Team team(tiles);
    const Scratch<T> scratch(group_size + round_up(WindowTile<T>::scratch(p, layout), 64), 1, team);
    team.for_each_uneven(tiles, [&](int thread, index_t t) {
        T* memory = scratch.of(thread);
        const LocalGroup<T> group(p, memory);
        const WindowTile<T> tile(p, layout, memory + group_size);
        const index_t row = t / across * layout.rows, column = t % across * layout.columns;
        const index_t end = p.columns - column < layout.columns ? p.columns - column
                                                                : layout.columns;
        tile.fetch_tile(row, column);
        for (index_t r = 0; r < layout.rows && row + r < p.rows; ++r) {
            check_interrupt();
            for (index_t c = 0; c < end; c += lanes) {
                bool seen[lanes];
                const double trace = tile.survey(r, c, seen);
                const index_t n = end - c < lanes ? end - c : lanes;
                const auto columns =
                    LaneColumns::from((row + r) * p.columns + column + c, n);
                group.run(n, seen, LocalGroup<T>::needs_wide(trace),
                          [&](auto&& add) { add(tile.view(r, c)); },
                          [&](auto&& finish) { finish(columns); });
            }
        }
    });
}

// Rows of `n` numbers one behind the other, of which whole vectors may be read: the last ones, behind
// which there may be no memory, are copied.
template <class T>
class LastRows {
  public:
    LastRows(const T* rows, index_t count, index_t n)
        : rows_(rows), n_(n), stride_(round_up(n, Blocks<T>::lanes)),
          first_(count < (stride_ + n - 1) / n ? 0 : count - (stride_ + n - 1) / n),
          last_(static_cast<std::size_t>((count - first_) * stride_)) {
        for (index_t k = first_; k < count; ++k)
            fetch(rows + k * n, n, last_.get() + (k - first_) * stride_);
    }
    const T* operator[](index_t k) const {
        return k < first_ ? rows_ + k * n_ : last_.get() + (k - first_) * stride_;
    }

  private:
    const T* rows_;
    index_t n_, stride_, first_;
    Buffer<T> last_;
};

// The LETKF from lists of what is seen at each place: any geometry and any operator. All components
// at a place share its local problem.
template <class T>
void letkf_lists(const LetkfLists<T>& p) {
    constexpr index_t lanes = Blocks<T>::lanes, batch = 16;
    const index_t n = p.members, stride = round_up(n + 1, lanes), slot = stride * lanes;
    const index_t group_size = round_up(LocalGroup<T>::scratch(n), 64);
    const index_t groups = (p.count + lanes - 1) / lanes;
    const LastRows<T> rows(p.rows, p.observations, n + 1);
    const Team team(groups);
    const Scratch<T> scratch(group_size + batch * slot, 1, team);
    std::int64_t shift[batch];
    double ones[batch];
    for (index_t s = 0; s < batch; ++s) {
        shift[s] = s * slot;
        ones[s] = 1;
    }
    team.for_each_uneven(groups, [&](int thread, index_t g) {
        const index_t first = g * lanes;
        T* memory = scratch.of(thread);
        const LocalGroup<T> group(p, memory);
        T* local = memory + group_size;  // [slot][row][lane]
        const index_t count = p.count - first < lanes ? p.count - first : lanes;
        bool seen[lanes] = {};
        index_t longest = 0;
        double largest = 0;
        for (index_t l = 0; l < count; ++l) {
            double trace = 0;
            const std::int64_t begin = p.starts[first + l], end = p.starts[first + l + 1];
            for (std::int64_t k = begin; k < end; ++k) trace += p.rho[k] * p.power[p.indices[k]];
            seen[l] = end > begin;
            if (end - begin > longest) longest = static_cast<index_t>(end - begin);
            if (!(trace <= largest)) largest = trace;
        }
        const auto fill = [&](index_t from, index_t slots) {
            for (index_t s = 0; s < slots; ++s) {
                const T* row[lanes];
                T rho[lanes];
                for (index_t l = 0; l < lanes; ++l) {
                    const std::int64_t k = l < count ? p.starts[first + l] + from + s : 0;
                    const bool sees = l < count && k < p.starts[first + l + 1];
                    row[l] = rows[sees ? p.indices[k] : 0];
                    rho[l] = sees ? static_cast<T>(p.rho[k]) : T(0);
                }
                T* const to = local + s * slot;
                as_columns(row, stride, to);
                const vec_t<T> root = sqrt<T>(load(rho));
                for (index_t j = 0; j <= n; ++j)
                    store(to + j * lanes, root * load(to + j * lanes));
            }
        };
        group.run(
            count, seen, LocalGroup<T>::needs_wide(largest),
            [&](auto&& add) {
                for (index_t from = 0; from < longest; from += batch) {
                    const index_t slots = longest - from < batch ? longest - from : batch;
                    fill(from, slots);
                    add(LocalView<T>{local, lanes, slots, shift, ones});
                }
            },
            [&](auto&& finish) {
                const index_t most = most_components(p, first, count);
                for (index_t k = 0; k < most; ++k) {
                    check_interrupt();
                    finish(LaneColumns::at(p, first, count, k));
                }
            });
    });
}

ENFILT_CLOSE
