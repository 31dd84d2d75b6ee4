// The reduced form: a sampler whose steps are linear in the rows of the ensembles, run on
// coefficients, at a cost in memory traffic that does not grow with the number of steps.
//
// With observations that pick components, a step is linear in z_i, x1_j, x0_j and y, with
// coefficients that are the same for all components of one precision 1/r^2. So in each such group
//
//     z_i = sum_j p_ij A1_j + q_ij A0_j + d_i (m0 - m1) + c_i (y - m1) + b_i m1 + e_i eps_i
//
// with A1, A0 the anomalies of x1 and x0 about their means m1 and m0, and eps_i the normals of
// member i, which no other member sees. The weights depend on |z_i - mu_j|^2 only through its
// change with j, so the Gram matrix of these rows with A1 and A0 is all that steps need to know:
//
// 1. one pass over memory sums it, 2. the steps run on the coefficients, 3. one pass writes z.
//
// A distance taken from a Gram matrix loses what its terms are larger than it. Rows are therefore
// made small (anomalies, differences of means), subtracted and multiplied in float64, where float32
// data are exact, and summed in float64. docs/flow-filter.md says what that leaves.
#pragma once

#include "normals.hpp"
#include "observed.hpp"
#include "pairwise.hpp"

ENFILT_OPEN

// Components [first, first + n) of which one group has `count`, in `order` where not all of them.
struct GroupOfBlock {
    index_t n = 0, count = 0;
    const std::int32_t* order = nullptr;

    // The group's components of a row, zeros up to a whole vector behind them.
    template <class T>
    ENFILT_INLINE void gather(const T* from, T* to) const {
        if (!order) {
            fetch(from, n, to);
            return;
        }
        for (index_t k = 0; k < count; ++k) to[k] = from[order[k]];
        for (index_t k = count; k < round_up(count, Blocks<T>::lanes); ++k) to[k] = T(0);
    }

    template <class T>
    ENFILT_INLINE void scatter(const T* from, T* to) const {
        if (!order) {
            std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T));
            return;
        }
        for (index_t k = 0; k < count; ++k) to[order[k]] = from[k];
    }
};

// a - b in float64, of vectors of the working precision
ENFILT_INLINE void store_difference(vec_t<double> a, vec_t<double> b, double* to) {
    store(to, a - b);
}
ENFILT_INLINE void store_difference(vec_t<float> a, vec_t<float> b, double* to) {
    constexpr std::size_t lanes = simd<double>::lanes;
    typedef float half_t __attribute__((vector_size(ENFILT_VECTOR_BYTES / 2)));
    for (std::size_t part = 0; part < 2; ++part) {
        half_t left, right;
        std::memcpy(&left, reinterpret_cast<const float*>(&a) + part * lanes, sizeof left);
        std::memcpy(&right, reinterpret_cast<const float*>(&b) + part * lanes, sizeof right);
        store(to + part * lanes, __builtin_convertvector(left, vec_t<double>) -
                                     __builtin_convertvector(right, vec_t<double>));
    }
}

template <class T>
class ReducedSampler {
  public:
    explicit ReducedSampler(const ReducedProblem<T>& problem)
        : p_(problem),
          n_(problem.members),
          spanned_(problem.x0 ? 2 * problem.members : problem.members),
          width_(spanned_ + 3),
          rows_(width_ + problem.members),
          blocks_(rows_ * static_cast<index_t>(sizeof(double) / sizeof(T)), problem.dim,
                  problem.groups * (panels_size() + 1), rows_),
          wide_(problem.paired ? 0 : tiled(rows_), blocks_.stride, blocks_.team),
          narrow_(tiled(n_) + tiled(width_) + 3, blocks_.stride, blocks_.team),
          order_(sized(blocks_.length * blocks_.team.size())),
          gram_(sized(p_.paired ? 0 : p_.groups * rows_ * spanned_)),
          centred_(sized(p_.paired ? 0 : rows_ * n_)),
          observed_gram_(sized(p_.gains ? (n_ + 1) * n_ : 0)),
          coefficients_(sized(p_.groups * n_ * (width_ + 1))),
          ahead_(sized(p_.heun ? p_.groups * n_ * (width_ + 1) : 0)),
          weights_(sized(n_ * n_)),
          used_(sized(p_.groups)) {}

    void run() {
        measure();
        start();
        for (index_t k = 0; k < p_.steps; ++k) {
            weigh(k, coefficients_);
            if (!p_.heun) {
                advance(k, coefficients_, coefficients_);
            } else {
                advance(k, coefficients_, ahead_);
                weigh(k + 1, ahead_);
                advance(k + 1, ahead_, ahead_);
                for (index_t c = 0; c < p_.groups * n_ * (width_ + 1); ++c) {
                    double& at = coefficients_[static_cast<std::size_t>(c)];
                    at = 0.5 * (at + ahead_[static_cast<std::size_t>(c)]);
                }
            }
        }
        write();
    }

  private:
    static constexpr index_t lanes = Blocks<T>::lanes;

    // Rows of coefficients and of Gram matrices: A1, A0, then these, then one eps_i a member.
    index_t drift() const { return spanned_; }
    index_t innovation() const { return spanned_ + 1; }
    index_t mean() const { return spanned_ + 2; }  // the largest row comes last in sums

    static std::size_t sized(index_t n) { return static_cast<std::size_t>(n); }

    // Calls body(group, its components) for the groups that a block has components of.
    template <class Body>
    void for_each_group(int thread, index_t first, index_t n, T* y, T* weight, Body&& body) {
        GroupOfBlock part;
        part.n = part.count = n;
        if (!p_.observed) {
            body(index_t{0}, part);
            return;
        }
        spread_observations(*p_.observed, first, n, y, weight);
        std::int32_t* order = order_.get() + thread * blocks_.length;
        for (index_t g = 0; g < p_.groups; ++g) {
            const T precision = static_cast<T>(p_.precisions[g]);
            index_t count = 0;
            for (index_t d = 0; d < n; ++d) count += weight[d] == precision ? 1 : 0;
            if (count == 0) continue;
            part.count = count;
            part.order = count < n ? order : nullptr;
            if (part.order) {
                index_t k = 0;
                for (index_t d = 0; d < n; ++d)
                    if (weight[d] == precision) order[k++] = static_cast<std::int32_t>(d);
            }
            body(g, part);
        }
    }

    // A row of a block; the next block's is asked for, since the rows are too many and the pieces of
    // them too short for the processor to see it coming.
    void gather_row(const GroupOfBlock& part, const T* from, T* to) const {
        part.gather(from, to);
        for (index_t d = 0; d < part.n; d += 64 / static_cast<index_t>(sizeof(T)))
            __builtin_prefetch(from + blocks_.length + d, 0, 2);
    }

    // Members of an ensemble to rows of scratch, and their mean; any mean near theirs would do, but
    // both passes must take the same.
    void gather_members(const GroupOfBlock& part, const T* x, index_t first, T* member,
                        T* mean_row) const {
        const T share = T(1) / static_cast<T>(n_);
        for (index_t j = 0; j < n_; ++j)
            gather_row(part, x + j * p_.dim + first, member + j * blocks_.stride);
        for (index_t d = 0; d < part.count; d += lanes) {
            vec_t<T> sum = {};
            for (index_t j = 0; j < n_; ++j) sum += load(member + j * blocks_.stride + d);
            store(mean_row + d, share * sum);
        }
    }

    // The normals of a member: the caller's, or what `measure` left where the result will stand.
    const T* noise(index_t i) const {
        return (drawn() ? p_.z : p_.noise) + i * p_.dim;
    }
    bool drawn() const { return !p_.noise || p_.standardize; }

    // First pass: Gram matrices of all rows with A1 and A0, group by group. With the paired
    // estimator there are no weights to find, and only the normals to draw.
    void measure() {
        const index_t panels = panels_size();
        const PartialSums<T> sums(blocks_, p_.groups * (panels + 1));
        sums.clear();
        const Normals<T> normals{p_.noise, {p_.key, p_.batch, 0}, p_.dim};
        blocks_.for_each([&](int thread, index_t chunk, index_t first, index_t n) {
            T* member = narrow_.of(thread);
            T* mean_row = member + tiled(n_) * blocks_.stride;
            T* mean0 = mean_row + blocks_.stride;
            T* y = mean0 + blocks_.stride;
            T* weight = y + blocks_.stride;
            T* seen = weight + blocks_.stride;
            if (drawn()) {
                for (index_t i = 0; i < n_; ++i)
                    normals.draw(i, first, n, member + i * blocks_.stride);
                if (p_.standardize) standardize(member, n_, blocks_.stride, n);
                for (index_t i = 0; i < n_; ++i)
                    std::memcpy(p_.z + i * p_.dim + first, member + i * blocks_.stride,
                                static_cast<std::size_t>(n) * sizeof(T));
            }
            for_each_group(thread, first, n, y, weight, [&](index_t g, const GroupOfBlock& part) {
                double* sum = sums.of(chunk) + g * (panels + 1);
                sum[panels] += 1;  // the group has components
                if (p_.paired) return;
                const index_t whole = round_up(part.count, lanes);
                double* row = wide_.of(thread);
                const auto differ = [&](const T* a, const T* b, index_t r) {
                    for (index_t d = 0; d < whole; d += lanes)
                        store_difference(load(a + d), b ? load(b + d) : vec_t<T>{},
                                         row + r * blocks_.stride + d);
                };
                gather_members(part, p_.x1, first, member, mean_row);
                for (index_t j = 0; j < n_; ++j) differ(member + j * blocks_.stride, mean_row, j);
                differ(mean_row, nullptr, mean());
                if (p_.x0) {
                    gather_members(part, p_.x0, first, member, mean0);
                    for (index_t j = 0; j < n_; ++j)
                        differ(member + j * blocks_.stride, mean0, n_ + j);
                    differ(mean0, mean_row, drift());
                }
                if (p_.precisions[g] > 0) {
                    part.gather(y, seen);
                    differ(seen, mean_row, innovation());
                } else {
                    differ(mean_row, mean_row, innovation());
                }
                for (index_t i = 0; i < n_; ++i) {
                    gather_row(part, noise(i) + first, member);
                    differ(member, nullptr, width_ + i);
                }
                for (index_t j = 0; j < spanned_; j += tile_rows) {
                    const index_t columns = spanned_ - j < tile_rows ? spanned_ - j : tile_rows;
                    double* from = row + j * blocks_.stride;
                    add_pairwise<Product>(from, rows_ - j, from, columns, blocks_.stride, whole, sum);
                    sum += (rows_ - j) * columns;
                }
            });
        });
        unpack(sums, panels);
    }

    // Gram matrices are summed in panels of columns, from the diagonal down.
    index_t panels_size() const {
        if (p_.paired) return 0;
        index_t size = 0;
        for (index_t j = 0; j < spanned_; j += tile_rows)
            size += (rows_ - j) * (spanned_ - j < tile_rows ? spanned_ - j : tile_rows);
        return size;
    }

    void unpack(const PartialSums<T>& sums, index_t panels) {
        const index_t size = p_.groups * (panels + 1);
        Buffer<double> total(sized(size));
        sums.total(total.get());
        for (index_t g = 0; g < p_.groups; ++g) {
            const double* from = total.get() + g * (panels + 1);
            used_[sized(g)] = from[panels];
            double* gram = gram_.get() + g * rows_ * spanned_;
            for (index_t j = 0; j < spanned_ && !p_.paired; j += tile_rows) {
                const index_t columns = spanned_ - j < tile_rows ? spanned_ - j : tile_rows;
                for (index_t r = j; r < rows_; ++r)
                    for (index_t c = 0; c < columns; ++c, ++from) {
                        gram[r * spanned_ + j + c] = *from;
                        if (r < spanned_) gram[(j + c) * spanned_ + r] = *from;
                    }
            }
        }
        if (!p_.gains) return;
        // Y_j R^-1 Y_k^T, and Y_j R^-1 (y - mean) as its last row
        for (index_t r = 0; r < n_ + 1; ++r)
            for (index_t j = 0; j < n_; ++j) {
                double sum = 0;
                for (index_t g = 0; g < p_.groups; ++g)
                    sum += p_.precisions[g] *
                           gram_[sized((g * rows_ + (r < n_ ? r : innovation())) * spanned_ + j)];
                observed_gram_[sized(r * n_ + j)] = sum;
            }
    }

    // Row i of the coefficients of a group; the one of eps_i stands behind them.
    double* row_of(const Buffer<double>& c, index_t g, index_t i) const {
        return c.get() + (g * n_ + i) * (width_ + 1);
    }

    void start() {
        for (index_t g = 0; g < p_.groups; ++g)
            for (index_t i = 0; i < n_; ++i) {
                double* c = row_of(coefficients_, g, i);
                for (index_t r = 0; r < width_; ++r) c[r] = 0;
                const index_t at = p_.start ? p_.start[i] : i;
                c[at] = p_.start_x1;
                if (p_.x0) c[n_ + at] = p_.start_x0;
                c[drift()] = p_.start_x0;
                c[mean()] = p_.start_x1 + p_.start_x0;
                c[width_] = p_.start_width;
            }
    }

    // The weights of stage k at points of these coefficients, from |z_i - mu_j|^2 without what is
    // the same for all j: |a_j|^2 - 2 a_j.(z_i - mean mu), a_j the anomaly of mu_j.
    void weigh(index_t k, const Buffer<double>& coefficients) {
        double* distance = weights_.get();
        if (p_.paired) {
            for (index_t i = 0; i < n_; ++i)
                for (index_t j = 0; j < n_; ++j) distance[i * n_ + j] = i == j ? 1 : 0;
            return;
        }
        const ReducedStage& s = p_.stages[k];
        for (index_t c = 0; c < n_ * n_; ++c) distance[c] = 0;
        for (index_t g = 0; g < p_.groups; ++g) {
            if (used_[sized(g)] == 0) continue;
            const double* gram = gram_.get() + g * rows_ * spanned_;
            double* centred = centred_.get();
            Team(rows_, n_ > 64).for_each(rows_, [&](int, index_t r) {
                const double* one = gram + r * spanned_;
                double* to = centred + r * n_;
                for (index_t j = 0; j < n_; ++j) to[j] = s.a1 * one[j];
                if (p_.x0)
                    for (index_t j = 0; j < n_; ++j) to[j] += s.a0 * one[n_ + j];
            });
            Team(n_, n_ > 64).for_each(n_, [&](int, index_t i) {
                const double* c = row_of(coefficients, g, i);
                double* to = distance + i * n_;
                for (index_t r = 0; r <= width_; ++r) {
                    double factor = c[r];
                    if (r == drift()) factor -= s.a0;
                    if (r == mean()) factor -= s.a1 + s.a0;
                    if (factor == 0) continue;
                    const double* from = centred + (r < width_ ? r : width_ + i) * n_;
                    for (index_t j = 0; j < n_; ++j) to[j] -= 2 * factor * from[j];
                }
                for (index_t j = 0; j < n_; ++j) {
                    to[j] += s.a1 * centred[j * n_ + j];
                    if (p_.x0) to[j] += s.a0 * centred[(n_ + j) * n_ + j];
                }
            });
        }
        softmax_rows(distance, n_, n_, s.half_precision, p_.log_weights, weights_.get());
        if (p_.gains) add_gain(p_.gains + k * n_ * n_);
    }

    // Covariance guidance as a change of the weights, as in flow.hpp: x_hat_i = sum_j w_ij x1_j,
    // u_ij = Y_j R^-1 (y - x_hat_i), q_i = gain u_i, and w_ij + q_ij - mean_j q_ij mix the members.
    void add_gain(const double* gain) {
        Buffer<double> u(sized(n_));
        Buffer<double> q(sized(n_));
        for (index_t i = 0; i < n_; ++i) {
            check_interrupt();
            double* w = weights_.get() + i * n_;
            for (index_t j = 0; j < n_; ++j) u[sized(j)] = observed_gram_[sized(n_ * n_ + j)];
            for (index_t l = 0; l < n_; ++l)
                for (index_t j = 0; j < n_; ++j)
                    u[sized(j)] -= w[l] * observed_gram_[sized(l * n_ + j)];
            double mean_q = 0;
            for (index_t j = 0; j < n_; ++j) {
                double sum = 0;
                for (index_t l = 0; l < n_; ++l) sum += gain[j * n_ + l] * u[sized(l)];
                q[sized(j)] = sum;
                mean_q += sum / static_cast<double>(n_);
            }
            for (index_t j = 0; j < n_; ++j) w[j] += q[sized(j)] - mean_q;
        }
    }

    // z <- keep z + pull sum_j w_ij (b1 x1_j + b0 x0_j) + towards y, on the coefficients.
    void advance(index_t k, const Buffer<double>& from, const Buffer<double>& to) const {
        const ReducedStage& s = p_.stages[k];
        for (index_t g = 0; g < p_.groups; ++g) {
            if (used_[sized(g)] == 0) continue;
            const ReducedMap& map = p_.maps[k * p_.groups + g];
            const double pull1 = map.pull * s.b1, pull0 = map.pull * s.b0;
            Team(n_, n_ > 64).for_each(n_, [&](int, index_t i) {
                const double* w = weights_.get() + i * n_;
                const double* c = row_of(from, g, i);
                double* next = row_of(to, g, i);
                for (index_t r = 0; r <= width_; ++r) next[r] = map.keep * c[r];
                for (index_t j = 0; j < n_; ++j) next[j] += pull1 * w[j];
                if (p_.x0)
                    for (index_t j = 0; j < n_; ++j) next[n_ + j] += pull0 * w[j];
                next[drift()] += pull0;
                next[innovation()] += map.towards;
                next[mean()] += pull1 + pull0 + map.towards;
            });
        }
    }

    // Last pass: z_i from its coefficients, in the working precision.
    void write() {
        const index_t stored = width_ + 1;
        Buffer<T> coefficient(sized(p_.groups * tiled(n_) * stored));
        for (index_t g = 0; g < p_.groups; ++g)
            for (index_t i = 0; i < tiled(n_); ++i)
                for (index_t r = 0; r < stored; ++r)
                    coefficient[sized((g * tiled(n_) + i) * stored + r)] =
                        i < n_ ? static_cast<T>(row_of(coefficients_, g, i)[r]) : T(0);
        blocks_.for_each([&](int thread, index_t, index_t first, index_t n) {
            T* result = narrow_.of(thread);
            T* row = result + tiled(n_) * blocks_.stride;
            T* y = row + tiled(width_) * blocks_.stride;
            T* weight = y + blocks_.stride;
            T* mean0 = weight + blocks_.stride;
            for_each_group(thread, first, n, y, weight, [&](index_t g, const GroupOfBlock& part) {
                const index_t whole = round_up(part.count, lanes);
                const auto differ = [&](T* a, const T* b) {
                    for (index_t d = 0; d < whole; d += lanes)
                        store(a + d, load(a + d) - load(b + d));
                };
                T* mean_row = row + mean() * blocks_.stride;
                gather_members(part, p_.x1, first, row, mean_row);
                for (index_t j = 0; j < n_; ++j) differ(row + j * blocks_.stride, mean_row);
                T* drift_row = row + drift() * blocks_.stride;
                if (p_.x0) {
                    T* before = row + n_ * blocks_.stride;
                    gather_members(part, p_.x0, first, before, mean0);
                    for (index_t j = 0; j < n_; ++j) differ(before + j * blocks_.stride, mean0);
                    std::memcpy(drift_row, mean0, static_cast<std::size_t>(whole) * sizeof(T));
                } else {
                    std::memcpy(drift_row, mean_row, static_cast<std::size_t>(whole) * sizeof(T));
                }
                differ(drift_row, mean_row);
                T* innovation_row = row + innovation() * blocks_.stride;
                if (p_.precisions[g] > 0)
                    part.gather(y, innovation_row);
                else
                    std::memcpy(innovation_row, mean_row,
                                static_cast<std::size_t>(whole) * sizeof(T));
                differ(innovation_row, mean_row);
                for (index_t i = 0; i < n_; ++i)
                    gather_row(part, noise(i) + first, result + i * blocks_.stride);
                combine(coefficient.get() + g * tiled(n_) * stored, row, whole, result);
                for (index_t i = 0; i < n_; ++i)
                    part.scatter(result + i * blocks_.stride, p_.z + i * p_.dim + first);
            });
        });
    }

    // result_i <- c_i,eps result_i + sum_r c_ir row_r
    void combine(const T* coefficient, const T* row, index_t whole, T* result) const {
        const index_t stored = width_ + 1;
        for (index_t i = 0; i < n_; i += tile_rows) {
            const T* c[tile_rows];
            for (index_t r = 0; r < tile_rows; ++r) c[r] = coefficient + (i + r) * stored;
            T* to = result + i * blocks_.stride;
            const auto tile = [&](index_t d, auto vectors) {
                vec_t<T> sum[tile_rows][decltype(vectors)::value];
                for (index_t r = 0; r < tile_rows; ++r)
                    for (index_t v = 0; v < vectors; ++v)
                        sum[r][v] = c[r][width_] * load(to + r * blocks_.stride + d + v * lanes);
                for (index_t k = 0; k < width_; ++k) {
                    const T* from = row + k * blocks_.stride + d;
                    for (index_t v = 0; v < vectors; ++v) {
                        const vec_t<T> at = load(from + v * lanes);
                        for (index_t r = 0; r < tile_rows; ++r)
                            sum[r][v] = c[r][k] * at + sum[r][v];
                    }
                }
                for (index_t r = 0; r < tile_rows; ++r)
                    for (index_t v = 0; v < vectors; ++v)
                        store(to + r * blocks_.stride + d + v * lanes, sum[r][v]);
            };
            index_t d = 0;
            for (; d + 2 * lanes <= whole; d += 2 * lanes)
                tile(d, std::integral_constant<index_t, 2>{});
            for (; d < whole; d += lanes) tile(d, std::integral_constant<index_t, 1>{});
        }
    }

    const ReducedProblem<T>& p_;
    const index_t n_;
    const index_t spanned_;  // rows of A1 and A0
    const index_t width_;    // and the three behind them
    const index_t rows_;     // and the normals
    const Blocks<T> blocks_;
    const Scratch<double> wide_;
    const Scratch<T> narrow_;
    const Buffer<std::int32_t> order_;
    const Buffer<double> gram_, centred_, observed_gram_;
    const Buffer<double> coefficients_, ahead_, weights_, used_;
};

template <class T>
void reduced_analysis(const ReducedProblem<T>& problem) {
    ReducedSampler<T>(problem).run();
}

ENFILT_CLOSE
