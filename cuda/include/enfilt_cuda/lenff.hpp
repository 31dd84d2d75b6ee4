// The localized ensemble flow filter on a regular grid: steps of pseudo-time in which components
// move by the localized covariance of their anomalies with the observations about them.
//
// With q_l = 1/(b_l + r_l^2/w), d_l the innovation of the mean and Y_il the anomalies of h(x), a
// step is
//
//     p_dl = rho_dl/(N-1) sum_j A_jd Y_jl q_l,    dx_id = sum_l p_dl d_l - 1/2 sum_l p_dl Y_il.
//
// A thread has a *group* of components, one behind the other, whose windows overlap: what it reads
// of a place serves all of them. Components stand in a *panel* in which the same component of all
// groups is a row, so that a warp reads a run of memory, and in which the grid goes on beyond its
// edges as far as the window reaches: a place of the window is as many elements away for all.
#pragma once

#include <enfilt/math/lenff.hpp>

#include "observed.hpp"

namespace enfilt::cuda {

// Components of a group, and places of the window that it looks at together.
constexpr int lenff_group = 4, lenff_places = 8;

// Where the components of a grid stand in memory. Of a grid of two axes a group is of rows below
// each other, and the panel the grid as it is; a line, which has one row, is cut into groups, and
// dealt out to as many rows as a group has components.
struct LenffPanel {
    index_t rows, columns;  // of the grid
    bool periodic;
    index_t halo_rows, halo_columns, height, width, stride;

    LenffPanel(index_t grid_rows, index_t grid_columns, bool is_periodic, index_t reach_rows,
               index_t reach_columns)
        : rows(grid_rows), columns(grid_columns), periodic(is_periodic), halo_rows(reach_rows),
          halo_columns(line() ? whole(reach_columns) : reach_columns),
          height(line() ? 1 : whole(rows) + 2 * halo_rows),
          width((line() ? whole(columns) : columns) + 2 * halo_columns),
          stride(line() ? width / lenff_group : width) {}

    ENFILT_BOTH bool line() const { return rows == 1; }
    ENFILT_BOTH index_t places() const { return height * width; }
    ENFILT_BOTH index_t groups() const {
        return line() ? whole(columns) / lenff_group : whole(rows) / lenff_group * columns;
    }

    // Where place e of the grid and what is beyond its edges, row by row, stands.
    ENFILT_DEVICE index_t address(index_t e) const {
        return line() ? e % lenff_group * stride + e / lenff_group : e;
    }

    // The component at place e, or -1.
    ENFILT_DEVICE index_t component(index_t e) const {
        // places fit in 32 bits, of which a division is an instruction and not a function
        const auto at = static_cast<unsigned>(e), across = static_cast<unsigned>(width);
        index_t row = static_cast<index_t>(at / across) - halo_rows;
        index_t column = static_cast<index_t>(at % across) - halo_columns;
        if (periodic) {
            row = wrap(row, rows, halo_rows), column = wrap(column, columns, halo_columns);
        } else if (row < 0 || row >= rows || column < 0 || column >= columns) {
            return -1;
        }
        return row * columns + column;
    }

    // Writes to component d and to what stands for it beyond the edges.
    template <class T>
    ENFILT_DEVICE void put(T* panel, index_t d, T value) const {
        const auto at = static_cast<unsigned>(d), across = static_cast<unsigned>(columns);
        index_t row = at / across + halo_rows, column = at % across + halo_columns;
        const index_t down = periodic ? rows : height, right = periodic ? columns : width;
        for (; row >= down; row -= down) {}
        for (; column >= right; column -= right) {}
        for (index_t r = row; r < height; r += down)
            for (index_t c = column; c < width; c += right) panel[address(r * width + c)] = value;
    }

    // Of a group: where its first component stands, the others a stride behind each other; and
    // which it is, the others `next` behind each other, `count` of them.
    struct Group {
        index_t at, component, next;
        int count;
    };
    ENFILT_DEVICE Group group(index_t k) const {
        if (line()) {
            const index_t first = k * lenff_group;
            return {k + halo_columns / lenff_group, first, 1, below(columns - first)};
        }
        const auto u = static_cast<unsigned>(k), across = static_cast<unsigned>(columns);
        const index_t row = static_cast<index_t>(u / across) * lenff_group, column = u % across;
        return {(row + halo_rows) * width + column + halo_columns, row * columns + column, columns,
                below(rows - row)};
    }

    // How far a place of the window is from where a group stands.
    ENFILT_DEVICE index_t offset(index_t row, index_t column) const {
        if (!line()) return row * width + column;
        const index_t from = column + halo_columns;  // not below zero
        return from % lenff_group * stride + from / lenff_group - halo_columns / lenff_group;
    }

  private:
    ENFILT_BOTH static index_t whole(index_t n) { return divide_up(n, lenff_group) * lenff_group; }
    ENFILT_DEVICE static int below(index_t n) {
        return static_cast<int>(smaller(n, lenff_group));
    }
    ENFILT_DEVICE static index_t wrap(index_t at, index_t n, index_t halo) {
        const auto size = static_cast<unsigned>(n), before = static_cast<unsigned>(halo);
        const unsigned lift = (before + size - 1) / size * size;
        return (static_cast<unsigned>(at) + lift) % size;
    }
};

// Members of a component side by side, so that one instruction reads them.
template <class T>
struct alignas(16) Pack {
    static constexpr int size = 16 / sizeof(T);
    T of[size];
};

// What the passes of a step hand to each other: panels, and the window.
template <class T>
struct LenffScratch {
    index_t members, places, vectors, count;
    Pack<T> *state, *values;      // A and Y, (vectors, places): members beyond the last are zero
    T *miss, *variance, *gain;    // d, r^2/w and q, (places,); zero where nothing is observed
    std::int32_t* offsets;        // (count,), a multiple of lenff_places
    T* taper;                     // (count, lenff_group): rho/(N - 1), zero beyond the cutoff

    template <class Workspace>
    LenffScratch(const LenffPanel& panel, index_t n, index_t window, Workspace& workspace)
        : members(n), places(panel.places()), vectors(divide_up(n, Pack<T>::size)),
          count(divide_up(window, lenff_places) * lenff_places),
          state(workspace.template take<Pack<T>>(vectors * places)),
          values(workspace.template take<Pack<T>>(vectors * places)),
          miss(workspace.template take<T>(places)), variance(workspace.template take<T>(places)),
          gain(workspace.template take<T>(places)),
          offsets(workspace.template take<std::int32_t>(count)),
          taper(workspace.template take<T>(count * lenff_group)) {}

    // sum_j of the products of a group's components with some places, of which `values` are.
    ENFILT_DEVICE void multiply(const Pack<T>* of_group, index_t stride, index_t at,
                                const std::int32_t* window,
                                T (&sums)[lenff_places][lenff_group]) const {
        const Pack<T>* of_places = values + at;
        std::int32_t away[lenff_places];
        ENFILT_UNROLL(8)
        for (int m = 0; m < lenff_places; ++m) {
            away[m] = window[m];
            for (int q = 0; q < lenff_group; ++q) sums[m][q] = T(0);
        }
        ENFILT_UNROLL(1)
        for (index_t k = 0; k < vectors; ++k, of_group += places, of_places += places) {
            Pack<T> left[lenff_group];
            ENFILT_UNROLL(4)
            for (int q = 0; q < lenff_group; ++q) left[q] = of_group[q * stride];
            ENFILT_UNROLL(8)
            for (int m = 0; m < lenff_places; ++m) {
                const Pack<T> right = of_places[away[m]];
                ENFILT_UNROLL(4)
                for (int v = 0; v < Pack<T>::size; ++v)
                    for (int q = 0; q < lenff_group; ++q)
                        sums[m][q] += left[q].of[v] * right.of[v];
            }
        }
    }

    // Whether any of some places holds a number above zero.
    ENFILT_DEVICE bool any(const T* panel, index_t at, const std::int32_t* window) const {
        bool found = false;
        ENFILT_UNROLL(8)
        for (int m = 0; m < lenff_places; ++m) found = found || panel[at + window[m]] > T(0);
        return found;
    }
};

// The window as the other passes read it.
template <class T>
struct LenffWindowPass {
    static constexpr unsigned threads = 128;
    LenffPanel panel;
    LenffScratch<T> to;
    index_t count;
    const std::int64_t* places;  // (count, 2): rows and columns from the first of a group
    const double* rho;           // (count, lenff_group)

    Grid grid() const { return {count_of(divide_up(to.count, threads)), 1}; }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const index_t e = static_cast<index_t>(c.block()) * threads + c.thread();
        if (e >= to.count) return;
        const bool inside = e < count;
        to.offsets[e] = inside ? static_cast<std::int32_t>(
                                     panel.offset(places[2 * e], places[2 * e + 1]))
                               : 0;
        const double share = 1.0 / static_cast<double>(to.members - 1);
        for (int q = 0; q < lenff_group; ++q)
            to.taper[e * lenff_group + q] =
                inside ? static_cast<T>(rho[e * lenff_group + q] * share) : T(0);
    }
};

// Anomalies of x and h(x) and innovations of the mean, on the whole panel.
template <class T>
struct LenffRowsPass {
    static constexpr unsigned threads = 128;
    LenffPanel panel;
    LenffScratch<T> to;
    Observed<T> observed;
    const T* x;
    index_t dim;
    T pseudo_time;

    Grid grid() const { return {count_of(divide_up(to.places, threads)), 1}; }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const index_t e = static_cast<index_t>(c.block()) * threads + c.thread();
        if (e >= to.places) return;
        const index_t d = panel.component(e), at = panel.address(e);
        const bool inside = d >= 0;
        const Seen<T> seen = inside ? observation_of(observed, d) : Seen<T>{T(0), T(0)};
        const bool sees = seen.weight > 0;
        const AnyOperator<T> h(observed);
        double mean = 0, mean_value = 0;
        for (index_t i = 0; inside && i < to.members; ++i) {
            const T state = x[i * dim + d];
            mean += static_cast<double>(state);
            if (sees) mean_value += static_cast<double>(h.value(state));
        }
        mean /= static_cast<double>(to.members);
        mean_value /= static_cast<double>(to.members);
        for (index_t k = 0; k < to.vectors; ++k) {
            Pack<T> states, values;
            ENFILT_UNROLL(4)
            for (int v = 0; v < Pack<T>::size; ++v) {
                const index_t i = k * Pack<T>::size + v;
                const bool there = inside && i < to.members;
                const T state = there ? x[i * dim + d] : T(0);
                states.of[v] =
                    there ? static_cast<T>(static_cast<double>(state) - mean) : T(0);
                values.of[v] =
                    there && sees
                        ? static_cast<T>(
                              static_cast<double>(h.value(state)) - mean_value)
                        : T(0);
            }
            to.state[k * to.places + at] = states;
            to.values[k * to.places + at] = values;
        }
        to.miss[at] = sees ? static_cast<T>(static_cast<double>(seen.y) - mean_value) : T(0);
        to.variance[at] = sees ? math::lenff_variance(pseudo_time, seen.weight) : T(0);
        to.gain[at] = T(0);
    }
};

// b_l = sum_k |rho_lk (Y_l.Y_k)/(N - 1)| of each observed component, and its q.
template <class T>
struct LenffGainPass {
    static constexpr unsigned threads = 64;
    static constexpr unsigned resident = sizeof(T) == sizeof(float) ? 8 : 5;
    LenffPanel panel;
    LenffScratch<T> rows;

    Grid grid() const { return {count_of(divide_up(panel.groups(), threads)), 1}; }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const index_t k = static_cast<index_t>(c.block()) * threads + c.thread();
        if (k >= panel.groups()) return;
        const LenffPanel::Group group = panel.group(k);
        bool any = false;
        for (int q = 0; q < group.count; ++q)
            any = any || rows.variance[group.at + q * panel.stride] > T(0);
        if (!any) return;
        T bound[lenff_group] = {};
        for (index_t e = 0; e < rows.count; e += lenff_places) {
            if (!rows.any(rows.variance, group.at, rows.offsets + e)) continue;
            T sums[lenff_places][lenff_group];
            rows.multiply(rows.values + group.at, panel.stride, group.at, rows.offsets + e, sums);
            ENFILT_UNROLL(8)
            for (int m = 0; m < lenff_places; ++m)
                for (int q = 0; q < lenff_group; ++q)
                    bound[q] += rows.taper[(e + m) * lenff_group + q] * std::fabs(sums[m][q]);
        }
        ENFILT_UNROLL(4)
        for (int q = 0; q < lenff_group; ++q) {
            if (q >= group.count) continue;
            const T variance = rows.variance[group.at + q * panel.stride];
            if (variance > T(0))
                panel.put(rows.gain, group.component + q * group.next,
                          math::lenff_gain<Scalars<T>>(bound[q], variance));
        }
    }
};

// Moves the components, a slab of the window at a time. No thread looks at what another writes.
template <class T>
struct LenffMovePass {
    static constexpr unsigned threads = 64;
    static constexpr unsigned resident = sizeof(T) == sizeof(float) ? 8 : 5;
    static constexpr int slab = 2 * lenff_places;
    static constexpr std::size_t shared_bytes = slab * lenff_group * threads * sizeof(T);
    LenffPanel panel;
    LenffScratch<T> rows;
    const T* x;
    T* out;  // `x` itself is allowed
    index_t dim;

    Grid grid() const { return {count_of(divide_up(panel.groups(), threads)), 1}; }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const index_t k = static_cast<index_t>(c.block()) * threads + c.thread();
        if (k >= panel.groups()) return;
        const LenffPanel::Group group = panel.group(k);
        // p of the slab: a thread's own, but more than registers hold
        T* const weights = c.template shared<T>() + c.thread();
        const T* from = x;
        for (index_t e = 0; e < rows.count; e += slab, from = out) {
            const int count = static_cast<int>(smaller(rows.count - e, slab));
            T shift[lenff_group] = {};
            bool any = false;
            for (int s = 0; s < count; s += lenff_places)
                any = weigh(group.at, e + s, weights + s * lenff_group * threads, shift) || any;
            const int seen = any ? count : 0;
            index_t v = 0;
            for (; v + 2 <= rows.vectors; v += 2) move<2>(group, e, seen, weights, shift, v, from);
            if (v < rows.vectors) move<1>(group, e, seen, weights, shift, v, from);
        }
    }

  private:
    // p of a group with some places, and what their innovations do; whether there are any.
    ENFILT_DEVICE bool weigh(index_t at, index_t e, T* weights, T (&shift)[lenff_group]) const {
        T sums[lenff_places][lenff_group] = {};
        const bool any = rows.any(rows.gain, at, rows.offsets + e);
        if (any) rows.multiply(rows.state + at, panel.stride, at, rows.offsets + e, sums);
        ENFILT_UNROLL(8)
        for (int m = 0; m < lenff_places; ++m) {
            const index_t place = at + rows.offsets[e + m];
            const T gain = rows.gain[place], miss = rows.miss[place];
            for (int q = 0; q < lenff_group; ++q) {
                const T p = rows.taper[(e + m) * lenff_group + q] * sums[m][q] * gain;
                weights[(m * lenff_group + q) * static_cast<int>(threads)] = p;
                shift[q] += p * miss;
            }
        }
        return any;
    }

    // Some members, `Vectors` packs of them from v on.
    template <int Vectors>
    ENFILT_DEVICE void move(const LenffPanel::Group& group, index_t e, int count,
                            const T* weights, const T (&shift)[lenff_group], index_t v,
                            const T* from) const {
        constexpr int size = Pack<T>::size;
        T sums[Vectors][size][lenff_group] = {};
        const Pack<T>* const values = rows.values + v * rows.places + group.at;
        for (int s = 0; s < count; ++s, weights += lenff_group * threads) {
            const std::int32_t away = rows.offsets[e + s];
            T p[lenff_group];
            ENFILT_UNROLL(4)
            for (int q = 0; q < lenff_group; ++q) p[q] = weights[q * static_cast<int>(threads)];
            ENFILT_UNROLL(2)
            for (int m = 0; m < Vectors; ++m) {
                const Pack<T> right = values[m * rows.places + away];
                ENFILT_UNROLL(4)
                for (int j = 0; j < size; ++j)
                    for (int q = 0; q < lenff_group; ++q) sums[m][j][q] += p[q] * right.of[j];
            }
        }
        ENFILT_UNROLL(2)
        for (int m = 0; m < Vectors; ++m) {
            ENFILT_UNROLL(4)
            for (int j = 0; j < size; ++j) {
                const index_t i = (v + m) * size + j;
                if (i >= rows.members) continue;
                ENFILT_UNROLL(4)
                for (int q = 0; q < lenff_group; ++q) {
                    if (q >= group.count) continue;
                    const index_t at = i * dim + group.component + q * group.next;
                    out[at] = from[at] + (shift[q] - T(0.5) * sums[m][j][q]);
                }
            }
        }
    }
};

}  // namespace enfilt::cuda
