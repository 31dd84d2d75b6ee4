// The local ensemble transform Kalman filter (Hunt, Kostelich, Szunyogh 2007), a
// block a component: its own N x N problem in shared memory, in float64, a row a thread.
//
// With Y and d the anomalies of h(x) and the innovations, each times sqrt(rho / ((N - 1) r^2)), and
// B = I + Y Y^T, for a the component's anomalies,
//
//     x_a = mean + (Y d)^T B^-1 a + B^-1/2 a.
#pragma once

#include "inverse_root.hpp"
#include "observed.hpp"

namespace enfilt::cuda {

// Anomalies of h(x) and, behind them, innovations, each over r sqrt(N - 1): (N + 1, D). An
// innovation that is NaN marks a component without observation.
template <class T>
struct LocalRowsPass {
    static constexpr unsigned threads = 128;
    Observed<T> observed;
    const T* x;
    index_t members, dim;
    T* rows;

    Grid grid() const { return {count_of(divide_up(dim, threads)), 1}; }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const index_t d = static_cast<index_t>(c.block()) * threads + c.thread();
        if (d >= dim) return;
        const Seen<T> seen = observation_of(observed, d);
        const bool unseen = !(seen.weight > 0);
        const AnyOperator<T> h(observed);
        double mean = 0;
        for (index_t i = 0; i < members; ++i) {
            const T value = unseen ? T(0) : h.value(x[i * dim + d]);
            rows[i * dim + d] = value;
            mean += static_cast<double>(value);
        }
        mean /= static_cast<double>(members);
        const double scale =
            std::sqrt(static_cast<double>(seen.weight) / static_cast<double>(members - 1));
        for (index_t i = 0; i < members; ++i) {
            T& value = rows[i * dim + d];
            value = static_cast<T>((static_cast<double>(value) - mean) * scale);
        }
        rows[members * dim + d] =
            unseen ? static_cast<T>(NAN)
                   : static_cast<T>((static_cast<double>(seen.y) - mean) * scale);
    }
};

// What a component sees on a grid: the same places about each, and their LocalRowsPass.
template <class T>
struct SeenInWindow {
    LetkfWindow<T> p;  // offsets and rho on the device
    const T* rows;     // (N + 1, D)

    ENFILT_DEVICE index_t begin(index_t) const { return 0; }
    ENFILT_DEVICE index_t end(index_t) const { return p.count; }
    ENFILT_DEVICE T row(index_t i, index_t place) const { return rows[i * p.dim + place]; }

    // The component at an offset from d, or -1 beyond the grid.
    ENFILT_DEVICE index_t place(index_t d, index_t k) const {
        // D fits in 32 bits, of which a division is an instruction and not a function
        const auto at = static_cast<unsigned>(d), across = static_cast<unsigned>(p.columns);
        index_t row = at / across + p.offsets[2 * k], column = at % across + p.offsets[2 * k + 1];
        if (p.periodic) {
            row += row < 0 ? p.rows : row >= p.rows ? -p.rows : 0;
            column += column < 0 ? p.columns : column >= p.columns ? -p.columns : 0;
        } else if (row < 0 || row >= p.rows || column < 0 || column >= p.columns) {
            return -1;
        }
        return row * p.columns + column;
    }
};

// From lists: observations of any kind.
template <class T>
struct SeenInLists {
    LetkfLists<T> p;  // all of it on the device; an innovation that is NaN is of a missing one

    ENFILT_DEVICE index_t begin(index_t d) const { return p.starts[d - p.first]; }
    ENFILT_DEVICE index_t end(index_t d) const { return p.starts[d - p.first + 1]; }
    ENFILT_DEVICE T row(index_t i, index_t place) const {
        return p.rows[place * (p.members + 1) + i];
    }
    ENFILT_DEVICE index_t place(index_t, index_t k) const { return p.indices[k]; }
};

// Components first, first + 1, ...; `Sees` is one of the two above.
template <class T, class Sees>
struct LetkfPass {
    static constexpr unsigned threads = 64;
    static constexpr int slab = 32;

    Sees sees;
    index_t first, count;
    RootShifts shifts;

    Grid grid() const { return {count_of(smaller(count, 1 << 20)), 1}; }
    static std::size_t shared_bytes(index_t members) {
        const int n = static_cast<int>(members);
        return static_cast<std::size_t>(InverseRoot::size(n) + 2 * n + slab + room(n)) *
                   sizeof(double) +
               slab * sizeof(index_t) + sizeof(double);
    }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        for (index_t k = c.block(); k < count; k += c.blocks()) analyse(c, first + k);
    }

  private:
    // Of a place's values and innovation; odd, so that no two rows begin in one bank.
    ENFILT_BOTH static int row_stride(int n) { return (n + 1) | 1; }
    // For these rows, and after them for what is solved.
    ENFILT_BOTH static int room(int n) {
        const int rows = slab * row_stride(n), solved = InverseRoot::scratch(n);
        return rows > solved ? rows : solved;
    }

    template <class Context>
    ENFILT_DEVICE void analyse(Context& c, index_t d) const {
        const LetkfEnsemble<T>& p = sees.p;
        const int n = static_cast<int>(p.members), t = static_cast<int>(c.thread());
        const int stride = row_stride(n);
        double* const memory = c.template shared<double>();
        double* const values = memory + InverseRoot::size(n);  // the component's
        double* const moved = values + n;
        double* const rho = moved + n;
        double* const near = rho + slab;  // (slab, stride) rows of Y and d, then scratch
        const InverseRoot root(n, memory, near);
        index_t* const place = reinterpret_cast<index_t*>(near + room(n));
        int* const seen = reinterpret_cast<int*>(place + slab);

        root.clear(t, static_cast<int>(threads));
        if (t < n) values[t] = static_cast<double>(p.x[t * p.dim + d]);
        if (t == 0) *seen = 0;
        c.sync();
        const index_t end = sees.end(d);
        for (index_t from = sees.begin(d); from < end; from += slab) {
            if (t < slab) {
                const index_t k = from + t;
                index_t at = k < end ? sees.place(d, k) : -1;
                if (at >= 0) {
                    const T innovation = sees.row(n, at);
                    if (innovation != innovation) at = -1;
                }
                place[t] = at;
                rho[t] = at >= 0 ? sees.p.rho[k] : 0.0;
                if (at >= 0) c.add(seen, 1);
            }
            c.sync();
            for (int e = t; e < slab * (n + 1); e += static_cast<int>(threads)) {
                const int s = e % slab, i = e / slab;
                near[s * stride + i] =
                    place[s] >= 0 ? static_cast<double>(sees.row(i, place[s])) : 0.0;
            }
            c.sync();
            // pairs (i, j) of members, j = n being the innovation
            for (int i = 0, j = t; i < n; j += static_cast<int>(threads)) {
                while (j > n) j -= n + 1, ++i;
                if (i >= n) break;
                double sum = 0;
                ENFILT_UNROLL(4)
                for (int s = 0; s < slab; ++s)
                    sum += rho[s] * near[s * stride + i] * near[s * stride + j];
                if (j < n)
                    root.entry(i, j) += sum;
                else
                    root.pull[i] += sum;
            }
            c.sync();
        }
        if (*seen == 0 && !p.rotation) {
            if (t < n) p.out[t * p.dim + d] = static_cast<T>(values[t]);
            c.sync();
            return;
        }
        double mean = 0;
        for (int i = 0; i < n; ++i) mean += values[i];
        mean /= n;
        if (t < n) root.vector[t] = values[t] - mean;
        c.sync();
        root.reduce(c);
        const double shift = root.solve(c, shifts, moved);
        if (t < n) {
            double own = p.rotation ? 0.0 : moved[t];
            if (p.rotation)
                for (int k = 0; k < n; ++k) own += p.rotation[t * n + k] * moved[k];
            p.out[t * p.dim + d] = static_cast<T>(mean + shift + own);
        }
        c.sync();
    }
};

}  // namespace enfilt::cuda
