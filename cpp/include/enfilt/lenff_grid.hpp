// The localized flow filter on a grid of two axes, which is a panel as it stands.
#pragma once

#include "lenff_sweep.hpp"
#include "observed.hpp"

ENFILT_OPEN

namespace lenff_detail {

// A rectangle of a grid.
struct Rectangle {
    index_t row, rows, column, columns;
};

// A rectangle of a grid of two axes as a panel, read from one ensemble and written to another, or
// with `halo` to the same: a rectangle as wide as the grid is overwritten as it is read, and rows
// beyond it, another task's, are read from `halo` as they stood before the step.
template <class T>
class GridPanel {
  public:
    static constexpr index_t lanes = Blocks<T>::lanes;
    using S = Sweep<T, false>;

    static index_t scratch(const LenffWindow<T>& p, const Taps<T>& taps, index_t columns) {
        return S::capacity(taps) * (p.members + 2) * S::width(taps, columns) +
               2 * (S::width(taps, columns) + 2 * lanes);
    }

    GridPanel(const LenffWindow<T>& p, const Taps<T>& taps, const T* from, T* to,
              const Rectangle& at, const T* halo, T* memory)
        : p_(p), from_(from), to_(to), halo_(halo), at_(at), head_(S::head(taps)),
          capacity_(S::capacity(taps)), width_(S::width(taps, at.columns)),
          origin_(S::origin(taps)), x_(memory), y_(x_ + capacity_ * p.members * width_),
          weight_(y_ + capacity_ * width_), spread_(weight_ + capacity_ * width_) {}

    // The row of the grid that row r of its endless continuation is, or -1.
    static index_t wrap(const LenffWindow<T>& p, index_t r) { return wrap(p, r, p.rows); }

    void give(index_t r, const T*& state, const T*& y, const T*& weight) const {
        const index_t slot = r & (capacity_ - 1), inside = wrap(p_, r);
        const bool outside = r < at_.row || r >= at_.row + at_.rows;
        T* x = x_ + slot * p_.members * width_;
        for (index_t j = 0; j < p_.members; ++j) {
            const T* row = nullptr;
            if (halo_ && outside) {
                const index_t k = r < at_.row ? r - at_.row : r - at_.row - at_.rows;
                row = halo_ + ((k + head_) * p_.members + j) * p_.columns;
            } else if (inside >= 0) {
                row = from_ + j * p_.dim + inside * p_.columns;
            }
            place(row, x + j * width_);
        }
        T *to_y = y_ + slot * width_, *to_weight = weight_ + slot * width_;
        std::memset(to_weight, 0, static_cast<std::size_t>(width_) * sizeof(T));
        if (inside >= 0) observe(inside, to_y, to_weight);
        state = x, y = to_y, weight = to_weight;
    }

    ENFILT_INLINE void take(index_t r, index_t member, index_t c, vec_t<T> value) const {
        T* to = to_ + member * p_.dim + r * p_.columns + at_.column + c;
        if (at_.columns - c >= lanes) return store(to, value);
        std::memcpy(to, &value, static_cast<std::size_t>(at_.columns - c) * sizeof(T));
    }

  private:
    // The place k of an axis of n points, or -1 outside it.
    static index_t wrap(const LenffWindow<T>& p, index_t k, index_t n) {
        if (p.periodic) return (k % n + n) % n;
        return k < 0 || k >= n ? -1 : k;
    }

    // Calls body(place in the panel's row, column of the grid, count) for runs within the grid.
    template <class Body>
    void for_each_run(Body&& body) const {
        const index_t start = at_.column - origin_, used = at_.columns + 2 * origin_;
        for (index_t c = 0; c < used;) {
            const index_t column = wrap(p_, start + c, p_.columns);
            if (column < 0) {
                ++c;
                continue;
            }
            const index_t left = p_.columns - column, n = left < used - c ? left : used - c;
            body(c, column, n);
            c += n;
        }
    }

    // A row, or none, with what lies beyond its ends: what the grid has there, or zeros.
    void place(const T* from, T* to) const {
        std::memset(to, 0, static_cast<std::size_t>(width_) * sizeof(T));
        if (!from) return;
        for_each_run([&](index_t c, index_t column, index_t n) {
            std::memcpy(to + c, from + column, static_cast<std::size_t>(n) * sizeof(T));
        });
    }

    void observe(index_t row, T* y, T* weight) const {
        // whole vectors are written, and what lies behind is another run
        T *y_run = spread_, *weight_run = spread_ + width_ + 2 * lanes;
        for_each_run([&](index_t c, index_t column, index_t n) {
            const std::size_t bytes = static_cast<std::size_t>(n) * sizeof(T);
            spread_observations(*p_.observed, row * p_.columns + column, n, y_run, weight_run);
            std::memcpy(y + c, y_run, bytes);
            std::memcpy(weight + c, weight_run, bytes);
        });
    }

    const LenffWindow<T>& p_;
    const T* from_;
    T* to_;
    const T* halo_;
    const Rectangle at_;
    const index_t head_, capacity_, width_, origin_;
    T *x_, *y_, *weight_, *spread_;
};

// How a grid is cut for so many threads: into bands of rows, which save what the tasks beside them
// would overwrite, or where these would be too many, into rectangles that write to another ensemble.
// Sums are taken over pairs of rows and vectors of columns; these are the same however it is cut.
template <class T>
struct GridCut {
    static constexpr index_t lanes = Blocks<T>::lanes;
    index_t across = 1, down = 1;  // tasks along a row and along a column
    index_t rows, columns;         // of a task
    bool saves = true;

    GridCut(const LenffWindow<T>& p, index_t halo, const index_t* reach, index_t threads)
        : rows(p.rows), columns(p.columns) {
        // what bands save of their neighbours' rows stays small beside the ensemble, or in itself
        const bool small = p.members * p.dim * static_cast<index_t>(sizeof(T)) < (index_t{1} << 23);
        const index_t most = small ? p.rows / (4 + halo / 2) : p.rows / (6 * halo);
        if (threads <= 1 || most >= threads || p.rows * p.columns < 256) {
            take(p, threads < most ? threads : most < 1 ? 1 : most, 1);
            return;
        }
        saves = false;
        index_t least = -1;
        for (index_t a = 1; a <= threads && (a - 1) * lanes < p.columns; ++a) {
            for (index_t d = threads / a; d * a <= 2 * threads && (d - 1) * 4 < p.rows; ++d) {
                GridCut one = *this;
                one.take(p, d < 1 ? 1 : d, a);
                const index_t turns = (one.tasks() + threads - 1) / threads;
                const index_t cost = turns * (one.rows + 2 * reach[0]) * (one.columns + 2 * reach[1]);
                if (least >= 0 && cost >= least) continue;
                least = cost;
                across = one.across, down = one.down, rows = one.rows, columns = one.columns;
            }
        }
    }

    index_t tasks() const { return across * down; }
    Rectangle task(const LenffWindow<T>& p, index_t t) const {
        const index_t r = t / across * rows, c = t % across * columns;
        return {r, p.rows - r < rows ? p.rows - r : rows, c,
                p.columns - c < columns ? p.columns - c : columns};
    }

  private:
    void take(const LenffWindow<T>& p, index_t d, index_t a) {
        rows = d == 1 ? p.rows : round_up((p.rows + d - 1) / d, 4);
        columns = a == 1 ? p.columns : round_up((p.columns + a - 1) / a, lanes);
        down = (p.rows + rows - 1) / rows;
        across = (p.columns + columns - 1) / columns;
    }
};

template <class T>
void lenff_grid(const LenffWindow<T>& p) {
    using S = Sweep<T, false>;
    const Taps<T> taps(p, false);
    const index_t head = S::head(taps), halo = head + S::tail(taps);
    const GridCut<T> cut(p, halo, taps.reach, available_threads());
    const index_t tasks = cut.tasks();
    const index_t halo_size = halo * p.members * p.columns;
    const index_t sweep_size = round_up(S::scratch(taps, p.members, cut.columns), 64);
    const Team team(tasks);
    const Scratch<T> scratch(
        sweep_size + round_up(GridPanel<T>::scratch(p, taps, cut.columns), 64), 1, team);
    const bool spare = !cut.saves && p.steps > 1;
    const Buffer<T> saved(static_cast<std::size_t>(cut.saves ? tasks * halo_size : 0));
    const Buffer<T> other(static_cast<std::size_t>(spare ? p.members * p.dim : 0));
    const T* from = p.x;
    for (index_t k = 0; k < p.steps; ++k) {
        T* const to = cut.saves || (p.steps - k) % 2 == 1 ? p.out : other.get();
        const auto save = [&](int, index_t row) {
            const Rectangle at = cut.task(p, row / halo);
            const index_t s = row % halo;
            const index_t r = s < head ? at.row - head + s : at.row + at.rows + s - head;
            const index_t inside = GridPanel<T>::wrap(p, r);
            for (index_t j = 0; j < p.members; ++j) {
                T* kept = saved.get() + (row * p.members + j) * p.columns;
                const std::size_t bytes = static_cast<std::size_t>(p.columns) * sizeof(T);
                if (inside < 0)
                    std::memset(kept, 0, bytes);
                else
                    std::memcpy(kept, from + j * p.dim + inside * p.columns, bytes);
            }
        };
        if (cut.saves) team.for_each(tasks * halo, save);
        team.for_each(tasks, [&](int thread, index_t t) {
            T* memory = scratch.of(thread);
            const Rectangle at = cut.task(p, t);
            const T* kept = cut.saves ? saved.get() + t * halo_size : nullptr;
            const GridPanel<T> panel(p, taps, from, to, at, kept, memory + sweep_size);
            const S sweep(p, taps, at.columns, memory);
            sweep.run(panel, at.row, at.row + at.rows, static_cast<T>(p.pseudo_times[k]));
        });
        from = to;
    }
}

}  // namespace lenff_detail

ENFILT_CLOSE
