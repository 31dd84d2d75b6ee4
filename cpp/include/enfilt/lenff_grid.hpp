// The localized flow filter on a grid of two axes, which is a panel as it stands.
#pragma once

#include "lenff_sweep.hpp"
#include "observed.hpp"

ENFILT_OPEN

namespace lenff_detail {

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
        const index_t slot = r & (capacity_ - 1);
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
    const Team team(tasks);
    const Scratch<T> scratch(size, 1, team);
    const Buffer<T> saved(static_cast<std::size_t>(tasks * halo_size));
    const T* from = p.x;
    for (index_t k = 0; k < p.steps; ++k) {
        team.for_each(tasks * halo, [&](int, index_t row) {
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
        });
        team.for_each(tasks, [&](int thread, index_t t) {
            T* memory = scratch.of(thread);
            const GridRows<T> rows(p, taps, from, start(t), start(t + 1),
                                   saved.get() + t * halo_size, memory + sweep_size);
            const S sweep(p, taps, p.columns, memory);
            sweep.run(rows, start(t), start(t + 1), static_cast<T>(p.pseudo_times[k]));
        });
        from = p.out;
    }
}

}  // namespace lenff_detail

ENFILT_CLOSE
