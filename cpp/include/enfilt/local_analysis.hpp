// Analyses in ensemble space for a group of neighbouring components, a component a SIMD lane.
//
// With Y and d the anomalies of h(x) and the innovations, each times sqrt(rho / ((N - 1) r^2)), and
// S = Y Y^T, component by component (Hunt, Kostelich, Szunyogh 2007, in the scale of I + S)
//
//     x_a = mean + (Y d)^T (I + S)^(-1) a + (I + S)^(-1/2) a,    a the component's anomalies.
#pragma once

#include "inverse_root.hpp"
#include "lane_columns.hpp"
#include "tiles.hpp"

ENFILT_OPEN

// A vector of U from numbers of T: the same, or floats widened.
template <class U, class T>
ENFILT_INLINE vec_t<U> load_as(const T* p) {
    if constexpr (std::is_same_v<T, U>) {
        return load(p);
    } else {
        typedef T narrow_t __attribute__((vector_size(simd<U>::lanes * sizeof(T))));
        narrow_t v;
        std::memcpy(&v, p, sizeof v);
        return __builtin_convertvector(v, vec_t<U>);
    }
}

template <class U, class T>
ENFILT_INLINE void store_as(T* p, vec_t<U> v) {
    if constexpr (std::is_same_v<T, U>) {
        store(p, v);
    } else {
        typedef T narrow_t __attribute__((vector_size(simd<U>::lanes * sizeof(T))));
        const narrow_t narrow = __builtin_convertvector(v, narrow_t);
        std::memcpy(p, &narrow, sizeof narrow);
    }
}

// What a group of neighbouring components sees: observation s of a lane's component has its
// anomalies (rows 0 .. N - 1) and its innovation (row N) at row * stride + shift[s] + lane.
template <class T>
struct LocalView {
    const T* rows;
    index_t stride;
    index_t count;
    const std::int64_t* shift;
    const double* rho;  // a taper the same for all lanes
};

// The local problems of one group, in the precision U.
template <class T, class U>
class LocalAnalysis {
  public:
    static constexpr index_t lanes = static_cast<index_t>(simd<U>::lanes);

    static index_t scratch(index_t n) { return InverseRoot<U>::scratch(n) + 3 * n * lanes; }

    LocalAnalysis(const LetkfEnsemble<T>& ensemble, U* memory)
        : e_(ensemble), n_(ensemble.members), solver_(n_, memory),
          pull_(memory + InverseRoot<U>::scratch(n_)), root_(pull_ + n_ * lanes),
          inverse_(root_ + n_ * lanes) {}

    void clear() const {
        for (index_t k = 0; k < n_; ++k) {
            store(pull_ + k * lanes, vec_t<U>{});
            for (index_t j = k; j < n_; ++j) store(solver_.entry(k, j), vec_t<U>{});
        }
    }

    // S += Y Y^T and pull += Y d
    void add(const LocalView<T>& view) const {
        // 25 accumulators where there are 32 registers and no row is computed in vain
        if (ENFILT_REGISTERS == 32 && n_ % 5 == 0)
            add_tiles<5, 5>(view);
        else
            add_tiles<tile_rows, tile_columns>(view);
        const T* innovation = view.rows + n_ * view.stride;
        for (index_t k = 0; k < n_; k += tile_rows) {
            const T* row[tile_rows];
            for (index_t r = 0; r < tile_rows; ++r) row[r] = row_of(view, k + r);
            vec_t<U> sum[tile_rows] = {};
            for (index_t s = 0; s < view.count; ++s) {
                const index_t at = view.shift[s];
                const vec_t<U> d = static_cast<U>(view.rho[s]) * load_as<U>(innovation + at);
                for (index_t r = 0; r < tile_rows; ++r) sum[r] += load_as<U>(row[r] + at) * d;
            }
            for (index_t r = 0; r < tile_rows && k + r < n_; ++r) {
                U* to = pull_ + (k + r) * lanes;
                store(to, load(to) + sum[r]);
            }
        }
    }

    // Makes of the sums what finish() needs.
    void reduce() const { solver_.reduce(); }

    // Writes the analysis of components, for one run of them after another; those not seen keep the
    // forecast, turned by the rotation where there is one.
    void finish(const LaneColumns& to, const bool* seen) const {
        const vec_t<U> start = forecast(0, to);
        vec_t<U> mean = {};
        for (index_t j = 1; j < n_; ++j) mean += forecast(j, to) - start;
        mean = start + mean / static_cast<U>(n_);  // from a member: exact where the spread is small
        for (index_t j = 0; j < n_; ++j) store(solver_.vector(j), forecast(j, to) - mean);
        solver_.solve(root_, inverse_);
        for (index_t j = 0; j < n_; ++j)
            mean += load(pull_ + j * lanes) * load(inverse_ + j * lanes);
        bool whole = to.together && to.count == lanes;
        for (index_t l = 0; l < to.count; ++l) whole = whole && (seen[l] || e_.rotation);
        for (index_t j = 0; j < n_; ++j) {
            vec_t<U> value = mean;
            if (!e_.rotation) {
                value += load(root_ + j * lanes);
            } else {
                for (index_t k = 0; k < n_; ++k)
                    value += static_cast<U>(e_.rotation[j * n_ + k]) * load(root_ + k * lanes);
            }
            if (whole) {
                store_as<U>(e_.out + j * e_.dim + to.column[0], value);
                continue;
            }
            for (index_t l = 0; l < to.count; ++l) {
                if (to.column[l] < 0) continue;
                const index_t at = j * e_.dim + to.column[l];
                e_.out[at] = seen[l] || e_.rotation
                                 ? static_cast<T>(value[static_cast<std::size_t>(l)])
                                 : e_.x[at];
            }
        }
    }

  private:
    const LetkfEnsemble<T>& e_;
    index_t n_;
    InverseRoot<U> solver_;
    U *pull_, *root_, *inverse_;

    // Rows past the last are computed with it and not stored.
    const T* row_of(const LocalView<T>& view, index_t k) const {
        return view.rows + (k < n_ ? k : n_ - 1) * view.stride;
    }

    template <index_t R, index_t C>
    void add_tiles(const LocalView<T>& view) const {
        for (index_t k = 0; k < n_; k += R) {
            if (n_ > 64) check_interrupt();
            for (index_t j = k / C * C; j < n_; j += C) add_tile<R, C>(view, k, j);
        }
    }

    template <index_t R, index_t C>
    ENFILT_INLINE void add_tile(const LocalView<T>& view, index_t k, index_t j) const {
        const T *left[R], *right[C];
        for (index_t r = 0; r < R; ++r) left[r] = row_of(view, k + r);
        for (index_t c = 0; c < C; ++c) right[c] = row_of(view, j + c);
        vec_t<U> sum[R][C] = {};
        for (index_t s = 0; s < view.count; ++s) {
            const index_t at = view.shift[s];
            const U rho = static_cast<U>(view.rho[s]);
            vec_t<U> columns[C];
            for (index_t c = 0; c < C; ++c) columns[c] = rho * load_as<U>(right[c] + at);
            for (index_t r = 0; r < R; ++r) {
                const vec_t<U> row = load_as<U>(left[r] + at);
                for (index_t c = 0; c < C; ++c) sum[r][c] += row * columns[c];
            }
        }
        for (index_t r = 0; r < R && k + r < n_; ++r) {
            for (index_t c = 0; c < C && j + c < n_; ++c) {
                if (j + c < k + r) continue;
                U* to = solver_.entry(k + r, j + c);
                store(to, load(to) + sum[r][c]);
            }
        }
    }

    ENFILT_INLINE vec_t<U> forecast(index_t j, const LaneColumns& of) const {
        const T* from = e_.x + j * e_.dim;
        if (of.together && of.count >= lanes) return load_as<U>(from + of.column[0]);
        T lane[static_cast<std::size_t>(lanes)] = {};
        for (index_t l = 0; l < of.count; ++l)
            if (of.column[l] >= 0) lane[l] = from[of.column[l]];
        return load_as<U>(lane);
    }
};

// A group of components as wide as a vector of T, analysed in T or, where that is not accurate
// enough, in float64.
template <class T>
class LocalGroup {
  public:
    static constexpr index_t lanes = Blocks<T>::lanes;

    static index_t scratch(index_t n) {  // in numbers of T
        const index_t own = LocalAnalysis<T, T>::scratch(n);
        return sizeof(T) == sizeof(double) ? own : own + 2 * LocalAnalysis<T, double>::scratch(n);
    }

    LocalGroup(const LetkfEnsemble<T>& ensemble, T* memory)
        : narrow_(ensemble, memory),
          wide_(ensemble, reinterpret_cast<double*>(
                              memory + (sizeof(T) == sizeof(double)
                                            ? 0
                                            : LocalAnalysis<T, T>::scratch(ensemble.members)))),
          e_(ensemble) {}

    // Whether float64 is needed where the trace of S is at most this in all lanes.
    static bool needs_wide(double trace) {
        // I + S is made from products: its least eigenvalue, 1, is known to an error of about
        // `trace` times the last bit, and so is the result.
        return sizeof(T) == sizeof(float) && !(trace <= 512);
    }

    // for_each_part(add) calls add(view) once or more for the observations of the group's `n`
    // places; for_each_run(finish) calls finish(columns) for the components at them.
    template <class Parts, class Runs>
    void run(index_t n, const bool* seen, bool wide, Parts&& for_each_part,
             Runs&& for_each_run) const {
        bool any = false;
        for (index_t l = 0; l < n; ++l) any = any || seen[l];
        if (!any && !e_.rotation) {
            for_each_run([&](const LaneColumns& columns) { keep(columns); });
        } else if (!wide) {
            analyse(narrow_, 0, n, seen, for_each_part, for_each_run);
        } else {
            constexpr index_t step = LocalAnalysis<T, double>::lanes;
            for (index_t l = 0; l < n; l += step)
                analyse(wide_, l, n - l < step ? n - l : step, seen + l, for_each_part,
                        for_each_run);
        }
    }

  private:
    LocalAnalysis<T, T> narrow_;
    LocalAnalysis<T, double> wide_;
    const LetkfEnsemble<T>& e_;

    void keep(const LaneColumns& c) const {
        for (index_t j = 0; j < e_.members; ++j) {
            const T* from = e_.x + j * e_.dim;
            T* to = e_.out + j * e_.dim;
            for (index_t l = 0; l < c.count; ++l)
                if (c.column[l] >= 0) to[c.column[l]] = from[c.column[l]];
        }
    }

    template <class Analysis, class Parts, class Runs>
    static void analyse(const Analysis& local, index_t lane, index_t n, const bool* seen,
                        Parts&& for_each_part, Runs&& for_each_run) {
        local.clear();
        for_each_part([&](LocalView<T> view) {
            view.rows += lane;
            local.add(view);
        });
        local.reduce();
        for_each_run([&](const LaneColumns& columns) {
            local.finish(columns.part(lane, n), seen);
        });
    }
};

ENFILT_CLOSE
