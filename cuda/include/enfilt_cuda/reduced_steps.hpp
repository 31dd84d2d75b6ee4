// All steps of the reduced form, on coefficients: given the Gram matrices, those of a member depend
// on that member alone, so a block runs them for its own from the start to the end.
#pragma once

#include "reduced_rows.hpp"

namespace enfilt::cuda {

template <class T>
struct CoefficientPass {
    static constexpr unsigned threads = 256;
    static constexpr int width = static_cast<int>(threads);

    ReducedProblem<T> p;  // its tables on the device
    RowLayout at;
    const double* gram;  // (groups, rows, A1 and A0)
    const int* used;     // (groups,)
    double* memory;      // (N, own_size) where shared memory is too small, else null
    bool copies;         // the member's rows of `gram` to shared memory, behind its own numbers
    T* to;               // (groups, N, stored)

    Grid grid() const { return {count_of(p.members), 1}; }

    // Numbers of a member: coefficients, weights, and two vectors of the covariance guidance.
    ENFILT_BOTH static index_t own_size(const ReducedProblem<T>& p, const RowLayout& at) {
        return p.groups * at.stored() * (p.heun ? 2 : 1) + p.members * (p.gains ? 3 : 1);
    }
    static index_t copied_size(const ReducedProblem<T>& p, const RowLayout& at) {
        return p.groups * at.stored() * at.spanned;
    }
    static std::size_t bytes(index_t numbers) {
        return (threads + static_cast<std::size_t>(numbers)) * sizeof(double);
    }
    std::size_t shared_bytes() const {
        return bytes(memory ? 0 : own_size(p, at) + (copies ? copied_size(p, at) : 0));
    }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const index_t size = p.groups * at.stored(), numbers = own_size(p, at), i = c.block();
        double* const shared = c.template shared<double>();
        double* const own = memory ? memory + i * numbers : shared + threads;
        double* const copied = own + numbers;
        const Member m{shared,
                       own,
                       own + size,
                       own + size * (p.heun ? 2 : 1),
                       copies ? copied : gram,
                       copies ? at.stored() : at.rows(),
                       at.noise() + (copies ? 0 : static_cast<int>(i))};
        if (copies) copy(c, i, copied);
        start(c, i, m);
        c.sync();
        for (index_t k = 0; k < p.steps; ++k) {
            weigh(c, k, m.now, m);
            if (p.heun) {
                advance(c, k, m.now, m, [&](index_t e, double moved) { m.ahead[e] = moved; });
                c.sync();
                weigh(c, k + 1, m.ahead, m);
                advance(c, k + 1, m.ahead, m,
                        [&](index_t e, double moved) { m.now[e] = 0.5 * (m.now[e] + moved); });
            } else {
                advance(c, k, m.now, m, [&](index_t e, double moved) { m.now[e] = moved; });
            }
            c.sync();
        }
        for (index_t g = 0; g < p.groups; ++g)
            share(c, at.stored(), [&](int r) {
                to[(g * p.members + i) * at.stored() + r] =
                    static_cast<T>(m.now[g * at.stored() + r]);
            });
    }

  private:
    struct Member {
        double* sums;  // a number a thread
        double *now, *ahead, *w;
        const double* gram;
        int rows;   // of a group in it
        int noise;  // the row of the member's own normals

        ENFILT_DEVICE const double* row(const RowLayout& of, index_t g, int r) const {
            return gram + (g * rows + (r < of.noise() ? r : noise)) * of.spanned;
        }
    };

    // body(e) of this thread's share of `count`.
    template <class Context, class Body>
    ENFILT_DEVICE static void share(Context& c, int count, const Body& body) {
        for (int e = static_cast<int>(c.thread()); e < count; e += width) body(e);
    }

    template <class Context>
    ENFILT_DEVICE void copy(Context& c, index_t i, double* to_shared) const {
        for (index_t g = 0; g < p.groups; ++g)
            share(c, at.stored() * at.spanned, [&](int e) {
                const int r = e / at.spanned, j = e % at.spanned;
                const index_t from = g * at.rows() + (r < at.noise() ? r : r + i);
                to_shared[g * at.stored() * at.spanned + e] = gram[from * at.spanned + j];
            });
    }

    template <class Context>
    ENFILT_DEVICE void start(Context& c, index_t i, const Member& m) const {
        const index_t from = p.start ? static_cast<index_t>(p.start[i]) : i;
        for (index_t g = 0; g < p.groups; ++g)
            share(c, at.stored(), [&](int r) {
                double value = 0;
                if (r == from)
                    value = p.start_x1;
                else if ((p.x0 && r == at.members + from) || r == at.drift())
                    value = p.start_x0;
                else if (r == at.mean())
                    value = p.start_x1 + p.start_x0;
                else if (r == at.noise())
                    value = p.start_width;
                m.now[g * at.stored() + r] = value;
            });
        if (p.paired) share(c, at.members, [&](int j) { m.w[j] = i == j ? 1 : 0; });
    }

    // finish(j, sum of part(j, first, step)) for each column j, the terms of a sum shared out to
    // threads.
    template <class Context, class Part, class Finish>
    ENFILT_DEVICE void columns(Context& c, const Member& m, const Part& part,
                               const Finish& finish) const {
        int lanes = 16;
        while (lanes < width && lanes < at.members) lanes *= 2;
        const int t = static_cast<int>(c.thread()), lane = t % lanes, own = t / lanes;
        for (int first = 0; first < at.members; first += lanes) {
            const int j = first + lane;
            double sum = j < at.members ? part(j, own, width / lanes) : 0.0;
            m.sums[t] = sum;
            c.sync();
            if (own == 0 && j < at.members) {
                for (int q = 1; q < width / lanes; ++q) sum += m.sums[q * lanes + lane];
                finish(j, sum);
            }
            c.sync();
        }
    }

    // The weights of stage k at a point of these coefficients, from |z_i - mu_j|^2 without what is
    // the same for all j: |a_j|^2 - 2 a_j.(z_i - mean mu), a_j the anomaly of mu_j.
    template <class Context>
    ENFILT_DEVICE void weigh(Context& c, index_t k, const double* from, const Member& m) const {
        if (p.paired) return;
        const ReducedStage s = p.stages[k];
        const auto centred = [&](index_t g, int r, int j) {
            const double* const row = m.row(at, g, r);
            return s.a1 * row[j] + (p.x0 ? s.a0 * row[at.members + j] : 0.0);
        };
        columns(
            c, m,
            [&](int j, int first, int step) {
                double sum = 0;
                for (index_t g = 0; g < p.groups; ++g) {
                    if (!used[g]) continue;
                    for (int r = first; r < at.stored(); r += step) {
                        double factor = from[g * at.stored() + r];
                        if (r == at.drift()) factor -= s.a0;
                        if (r == at.mean()) factor -= s.a1 + s.a0;
                        sum += factor * centred(g, r, j);
                    }
                }
                return sum;
            },
            [&](int j, double sum) {
                double square = 0;
                for (index_t g = 0; g < p.groups; ++g) {
                    if (!used[g]) continue;
                    square += s.a1 * centred(g, j, j);
                    if (p.x0) square += s.a0 * centred(g, at.members + j, j);
                }
                m.w[j] = s.half_precision * (2 * sum - square) +
                         (p.log_weights ? p.log_weights[j] : 0.0);
            });
        softmax(c, m);
        if (p.gains) add_gain(c, p.gains + k * p.members * p.members, m);
    }

    // op of term(j) over all columns, known to all threads.
    template <class Context, class Term, class Op>
    ENFILT_DEVICE double fold(Context& c, const Member& m, double none, const Term& term,
                              const Op& op) const {
        double value = none;
        share(c, at.members, [&](int j) { value = op(value, term(j)); });
        value = block_fold(c, threads, value, m.sums, op);
        c.sync();
        if (c.thread() == 0) m.sums[0] = value;
        c.sync();
        value = m.sums[0];
        c.sync();
        return value;
    }

    template <class Context>
    ENFILT_DEVICE void softmax(Context& c, const Member& m) const {
        const double largest = fold(
            c, m, -HUGE_VAL, [&](int j) { return m.w[j]; },
            [](double a, double b) { return a > b ? a : b; });
        const double total = fold(
            c, m, 0.0, [&](int j) { return m.w[j] = std::exp(m.w[j] - largest); },
            [](double a, double b) { return a + b; });
        share(c, at.members, [&](int j) { m.w[j] /= total; });
        c.sync();
    }

    // Covariance guidance as a change of the weights: x_hat_i = sum_j w_ij x1_j, u_ij = Y_j R^-1
    // (y - x_hat_i), q_i = gain u_i, and w_ij + q_ij - mean_j q_ij mix the members.
    template <class Context>
    ENFILT_DEVICE void add_gain(Context& c, const double* gain, const Member& m) const {
        double* const u = m.w + p.members;
        double* const q = u + p.members;
        columns(
            c, m,
            [&](int j, int first, int step) {
                double sum = 0;
                for (index_t g = 0; g < p.groups; ++g)
                    for (int l = first; l < at.members; l += step)
                        sum += p.precisions[g] * m.w[l] * m.row(at, g, l)[j];
                return sum;
            },
            [&](int j, double sum) {
                double away = 0;
                for (index_t g = 0; g < p.groups; ++g)
                    away += p.precisions[g] * m.row(at, g, at.innovation())[j];
                u[j] = away - sum;
            });
        columns(
            c, m,
            [&](int j, int first, int step) {
                double sum = 0;
                for (int l = first; l < at.members; l += step)
                    sum += gain[j * p.members + l] * u[l];
                return sum;
            },
            [&](int j, double sum) { q[j] = sum; });
        const double mean = fold(
                                c, m, 0.0, [&](int j) { return q[j]; },
                                [](double a, double b) { return a + b; }) /
                            static_cast<double>(p.members);
        share(c, at.members, [&](int j) { m.w[j] += q[j] - mean; });
        c.sync();
    }

    // z <- keep z + pull sum_j w_ij (b1 x1_j + b0 x0_j) + towards y, on the coefficients.
    template <class Context, class Put>
    ENFILT_DEVICE void advance(Context& c, index_t k, const double* from, const Member& m,
                               const Put& put) const {
        const ReducedStage s = p.stages[k];
        for (index_t g = 0; g < p.groups; ++g) {
            const ReducedMap map = p.maps[k * p.groups + g];
            const double pull1 = map.pull * s.b1, pull0 = map.pull * s.b0;
            share(c, at.stored(), [&](int r) {
                const index_t e = g * at.stored() + r;
                double moved = map.keep * from[e];
                if (r < at.members)
                    moved += pull1 * m.w[r];
                else if (r < at.spanned)
                    moved += pull0 * m.w[r - at.members];
                else if (r == at.drift())
                    moved += pull0;
                else if (r == at.innovation())
                    moved += map.towards;
                else if (r == at.mean())
                    moved += pull1 + pull0 + map.towards;
                put(e, moved);
            });
        }
    }
};

}  // namespace enfilt::cuda
