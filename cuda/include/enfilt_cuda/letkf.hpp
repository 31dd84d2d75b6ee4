// The local ensemble transform Kalman filter (Hunt, Kostelich, Szunyogh 2007), a
// block a component: its own N x N eigenproblem in shared memory, in float64.
//
// With Y and d the anomalies of h(x) and the innovations, each times sqrt(rho / ((N - 1) r^2)), and
// B = I + Y Y^T = V L V^T, for a the component's anomalies,
//
//     x_a = mean + (Y d)^T B^-1 a + B^-1/2 a.
#pragma once

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
        double mean = 0;
        for (index_t i = 0; i < members; ++i) {
            const T h = unseen ? T(0) : linearize(observed, x[i * dim + d]).value;
            rows[i * dim + d] = h;
            mean += static_cast<double>(h);
        }
        mean /= static_cast<double>(members);
        const double scale =
            std::sqrt(static_cast<double>(seen.weight) / static_cast<double>(members - 1));
        for (index_t i = 0; i < members; ++i) {
            T& h = rows[i * dim + d];
            h = static_cast<T>((static_cast<double>(h) - mean) * scale);
        }
        rows[members * dim + d] =
            unseen ? static_cast<T>(NAN)
                   : static_cast<T>((static_cast<double>(seen.y) - mean) * scale);
    }
};

// Eigenvalues, on the diagonal of a, and eigenvectors, columns of v, of a symmetric positive
// definite matrix by Jacobi's rotations, n/2 of them side by side; a sweep of n - 1 rounds meets
// every pair of rows once. `rotation` is of 2 ceil(n/2) numbers.
template <unsigned Threads, class Context>
ENFILT_DEVICE void jacobi(Context& c, int n, double* a, double* v, double* rotation, int* turned) {
    constexpr int sweeps = 16;
    constexpr double small = 1e-15;
    const int t = static_cast<int>(c.thread()), all = static_cast<int>(Threads);
    const int even = n + n % 2, pairs = even / 2;
    for (int e = t; e < n * n; e += all) v[e] = e / n == e % n ? 1.0 : 0.0;
    for (int sweep = 0; sweep < sweeps; ++sweep) {
        if (t == 0) *turned = 0;
        c.sync();
        for (int round = 0; round + 1 < even; ++round) {
            // a tournament: the last row stays, the others move on by one place a round
            const auto first = [&](int k) {
                return k == 0 ? even - 1 : (round + k) % (even - 1);
            };
            const auto second = [&](int k) { return (round + even - 1 - k) % (even - 1); };
            for (int k = t; k < pairs; k += all) {
                const int p = first(k), q = second(k);
                double cosine = 1, sine = 0;
                if (p < n && q < n) {
                    const double off = a[p * n + q], at_p = a[p * n + p], at_q = a[q * n + q];
                    if (off * off > small * small * at_p * at_q) {
                        const double ratio = (at_q - at_p) / (2 * off);
                        const double tangent =
                            (ratio < 0 ? -1.0 : 1.0) /
                            (std::fabs(ratio) + std::sqrt(1 + ratio * ratio));
                        cosine = 1 / std::sqrt(1 + tangent * tangent);
                        sine = tangent * cosine;
                        c.add(turned, 1);
                    }
                }
                rotation[2 * k] = cosine, rotation[2 * k + 1] = sine;
            }
            c.sync();
            for (int e = t; e < pairs * n; e += all) {
                const int k = e / n, j = e % n, p = first(k), q = second(k);
                if (p >= n || q >= n) continue;
                const double cosine = rotation[2 * k], sine = rotation[2 * k + 1];
                const double x = a[p * n + j], y = a[q * n + j];
                a[p * n + j] = cosine * x - sine * y;
                a[q * n + j] = sine * x + cosine * y;
            }
            c.sync();
            for (int e = t; e < pairs * n; e += all) {
                const int k = e / n, i = e % n, p = first(k), q = second(k);
                if (p >= n || q >= n) continue;
                const double cosine = rotation[2 * k], sine = rotation[2 * k + 1];
                const double x = a[i * n + p], y = a[i * n + q];
                a[i * n + p] = cosine * x - sine * y;
                a[i * n + q] = sine * x + cosine * y;
                const double u = v[i * n + p], w = v[i * n + q];
                v[i * n + p] = cosine * u - sine * w;
                v[i * n + q] = sine * u + cosine * w;
            }
            c.sync();
        }
        const bool done = *turned == 0;
        c.sync();
        if (done) return;
    }
}

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

    Grid grid() const { return {count_of(smaller(count, 1 << 20)), 1}; }
    static std::size_t shared_bytes(index_t members) {
        const auto n = static_cast<std::size_t>(members);
        return (2 * n * n + 5 * (n + 1) + slab * (n + 2)) * sizeof(double) +
               slab * sizeof(index_t) + 3 * sizeof(double);
    }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        for (index_t k = c.block(); k < count; k += c.blocks()) analyse(c, first + k);
    }

  private:
    template <class Context>
    ENFILT_DEVICE void analyse(Context& c, index_t d) const {
        const LetkfEnsemble<T>& p = sees.p;
        const int n = static_cast<int>(p.members), t = static_cast<int>(c.thread());
        double* const b = c.template shared<double>();
        double* const v = b + n * n;
        double* const pull = v + n * n;          // Y d, then V^T of it
        double* const anomaly = pull + n + 1;    // a
        double* const along = anomaly + n + 1;   // V^T a, then over the root of L
        double* const rotation = along + n + 1;  // of Jacobi; then B^-1/2 a
        double* const near = rotation + 2 * (n + 1);  // (slab, n + 1) rows of Y and d
        double* const rho = near + slab * (n + 1);
        double* const facts = rho + slab;        // mean, shift
        index_t* const place = reinterpret_cast<index_t*>(facts + 2);
        int* const flags = reinterpret_cast<int*>(place + slab);  // seen, turned

        for (int e = t; e < n * n; e += static_cast<int>(threads)) b[e] = e / n == e % n ? 1.0 : 0.0;
        for (int i = t; i < n; i += static_cast<int>(threads)) pull[i] = 0;
        if (t == 0) flags[0] = 0;
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
                if (at >= 0) c.add(flags, 1);
            }
            c.sync();
            for (int e = t; e < slab * (n + 1); e += static_cast<int>(threads)) {
                const int s = e % slab, i = e / slab;
                near[s * (n + 1) + i] =
                    place[s] >= 0 ? static_cast<double>(sees.row(i, place[s])) : 0.0;
            }
            c.sync();
            for (int e = t; e < n * (n + 1); e += static_cast<int>(threads)) {
                const int i = e / (n + 1), j = e % (n + 1);
                double sum = 0;
                ENFILT_UNROLL(4)
                for (int s = 0; s < slab; ++s)
                    sum += rho[s] * near[s * (n + 1) + i] * near[s * (n + 1) + j];
                if (j < n)
                    b[i * n + j] += sum;
                else
                    pull[i] += sum;
            }
            c.sync();
        }
        if (flags[0] == 0 && !p.rotation) {
            for (int i = t; i < n; i += static_cast<int>(threads))
                p.out[i * p.dim + d] = p.x[i * p.dim + d];
            c.sync();
            return;
        }
        if (t == 0) {
            double mean = 0;
            for (int i = 0; i < n; ++i) mean += static_cast<double>(p.x[i * p.dim + d]);
            facts[0] = mean / n;
        }
        c.sync();
        for (int i = t; i < n; i += static_cast<int>(threads))
            anomaly[i] = static_cast<double>(p.x[i * p.dim + d]) - facts[0];
        jacobi<threads>(c, n, b, v, rotation, flags + 1);
        for (int k = t; k < n; k += static_cast<int>(threads)) {
            double of_pull = 0, of_anomaly = 0;
            for (int i = 0; i < n; ++i) {
                of_pull += v[i * n + k] * pull[i];
                of_anomaly += v[i * n + k] * anomaly[i];
            }
            along[k] = of_anomaly / std::sqrt(b[k * n + k]);
            rotation[k] = of_pull * of_anomaly / b[k * n + k];
        }
        c.sync();
        if (t == 0) {
            double shift = 0;
            for (int k = 0; k < n; ++k) shift += rotation[k];
            facts[1] = shift;
        }
        c.sync();
        for (int i = t; i < n; i += static_cast<int>(threads)) {
            double moved = 0;
            for (int k = 0; k < n; ++k) moved += v[i * n + k] * along[k];
            rotation[i] = moved;
        }
        c.sync();
        for (int i = t; i < n; i += static_cast<int>(threads)) {
            double moved = p.rotation ? 0.0 : rotation[i];
            if (p.rotation)
                for (int k = 0; k < n; ++k) moved += p.rotation[i * n + k] * rotation[k];
            p.out[i * p.dim + d] = static_cast<T>(facts[0] + facts[1] + moved);
        }
        c.sync();
    }
};

}  // namespace enfilt::cuda
