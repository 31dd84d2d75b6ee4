// Register tiles over rows of a block: squared distances, inner products, weighted sums.
//
// Products are summed in the working precision over one block (at most 2 KB a row, so a lane adds
// few terms) and the blocks in float64: see "Exact sums" in the performance page.
#pragma once

#include "blocks.hpp"
#include "vecmath.hpp"

ENFILT_OPEN

// A register tile: 4 x 4 accumulators where there are 32 registers, 4 x 2 where there are 16.
constexpr index_t tile_rows = 4;
constexpr index_t tile_columns = ENFILT_REGISTERS == 32 ? 4 : 2;

inline index_t tiled(index_t rows) { return round_up(rows, 4); }

// The lanes of a vector added up in float64, halves first.
ENFILT_INLINE double add_lanes(vec_t<double> x) {
    constexpr std::size_t lanes = simd<double>::lanes;
    double part[lanes];
    std::memcpy(part, &x, sizeof part);
    for (std::size_t half = lanes / 2; half > 0; half /= 2)
        for (std::size_t l = 0; l < half; ++l) part[l] += part[l + half];
    return part[0];
}

ENFILT_INLINE double add_lanes(vec_t<float> x) {
    constexpr std::size_t lanes = simd<double>::lanes;
    typedef float half_t __attribute__((vector_size(ENFILT_VECTOR_BYTES / 2)));
    half_t low, high;
    std::memcpy(&low, &x, sizeof low);
    std::memcpy(&high, reinterpret_cast<const float*>(&x) + lanes, sizeof high);
    return add_lanes(__builtin_convertvector(low, vec_t<double>) +
                     __builtin_convertvector(high, vec_t<double>));
}

struct SquaredDifference {
    template <class V>
    static ENFILT_INLINE V term(V a, V b, V sum) {
        const V difference = a - b;
        return difference * difference + sum;
    }
};

struct Product {
    template <class V>
    static ENFILT_INLINE V term(V a, V b, V sum) {
        return a * b + sum;
    }
};

// sums[i * columns + j] += sum over a block of Term(a_i, b_j), for i < rows, j < columns.
// Rows of a and b are `stride` apart and padded with rows of zeros to tiled(...) of them.
template <class Term, class T>
void add_pairwise(const T* a, index_t rows, const T* b, index_t columns, index_t stride, index_t n,
                  double* sums) {
    constexpr index_t lanes = Blocks<T>::lanes;
    for (index_t i = 0; i < rows; i += tile_rows) {
        if (i % 256 == 252) check_interrupt();
        for (index_t j = 0; j < columns; j += tile_columns) {
            vec_t<T> sum[tile_rows][tile_columns] = {};
            for (index_t d = 0; d < n; d += lanes) {
                vec_t<T> right[tile_columns];
                for (index_t c = 0; c < tile_columns; ++c) right[c] = load(b + (j + c) * stride + d);
                for (index_t r = 0; r < tile_rows; ++r) {
                    const vec_t<T> left = load(a + (i + r) * stride + d);
                    for (index_t c = 0; c < tile_columns; ++c)
                        sum[r][c] = Term::term(left, right[c], sum[r][c]);
                }
            }
            for (index_t r = 0; r < tile_rows && i + r < rows; ++r)
                for (index_t c = 0; c < tile_columns && j + c < columns; ++c)
                    sums[(i + r) * columns + j + c] += add_lanes(sum[r][c]);
        }
    }
}

// A matrix of weights in the working precision, with its one-hot rows known.
template <class T>
class Weights {
  public:
    Weights(index_t rows, index_t columns)
        : rows_(rows), columns_(columns),
          value_(static_cast<std::size_t>(rows * columns)),
          single_(static_cast<std::size_t>(rows)), dense_(static_cast<std::size_t>(rows)) {}

    void assign(const double* w) {
        // With the other weights together below a quarter of the last bit, the row rounds to the
        // one-hot row, and so does what it multiplies.
        const double negligible = sizeof(T) == sizeof(float) ? 1.4e-8 : 2.7e-17;
        count_ = 0;
        for (index_t i = 0; i < rows_; ++i) {
            index_t largest = 0;
            double others = 0;
            for (index_t j = 1; j < columns_; ++j)
                if (w[i * columns_ + j] > w[i * columns_ + largest]) largest = j;
            for (index_t j = 0; j < columns_; ++j) {
                const double entry = w[i * columns_ + j];
                value_[static_cast<std::size_t>(i * columns_ + j)] = static_cast<T>(entry);
                if (j != largest) others += entry < 0 ? -entry : entry;
            }
            const double gap = w[i * columns_ + largest] - 1.0;
            const bool one_hot = others <= negligible && gap * gap <= negligible * negligible;
            single_[static_cast<std::size_t>(i)] = one_hot ? largest : -1;
            if (!one_hot) dense_[static_cast<std::size_t>(count_++)] = i;
        }
    }

    // The column of a one-hot row, -1 where the row has several weights.
    index_t single(index_t row) const { return single_[static_cast<std::size_t>(row)]; }
    index_t dense_count() const { return count_; }
    index_t dense(index_t k) const { return dense_[static_cast<std::size_t>(k)]; }

    // Row i of the mixture of a block: the row of `from` that a one-hot row of weights picks, or
    // the next one of those that mix_dense wrote to `mixed`; k counts these, from 0.
    const T* row(index_t i, const T* from, const T* mixed, index_t stride, index_t& k) const {
        const index_t j = single(i);
        return j >= 0 ? from + j * stride : mixed + (k++) * stride;
    }

    // to[k * stride + d] = sum_j w(dense row k, j) from[j * stride + d] for the dense rows.
    void mix_dense(const T* from, index_t stride, index_t n, T* to) const {
        constexpr index_t lanes = Blocks<T>::lanes;
        for (index_t k = 0; k < count_; k += tile_rows) {
            if (k % 256 == 252) check_interrupt();
            const T* row[tile_rows];
            for (index_t r = 0; r < tile_rows; ++r) {
                const index_t clipped = k + r < count_ ? k + r : count_ - 1;
                row[r] = value_.get() + dense(clipped) * columns_;
            }
            index_t d = 0;
            for (; d + 2 * lanes <= n; d += 2 * lanes) {
                vec_t<T> sum[tile_rows][2] = {};
                for (index_t j = 0; j < columns_; ++j) {
                    const vec_t<T> first = load(from + j * stride + d);
                    const vec_t<T> second = load(from + j * stride + d + lanes);
                    for (index_t r = 0; r < tile_rows; ++r) {
                        sum[r][0] = row[r][j] * first + sum[r][0];
                        sum[r][1] = row[r][j] * second + sum[r][1];
                    }
                }
                for (index_t r = 0; r < tile_rows && k + r < count_; ++r) {
                    store(to + (k + r) * stride + d, sum[r][0]);
                    store(to + (k + r) * stride + d + lanes, sum[r][1]);
                }
            }
            for (; d < n; d += lanes) {
                vec_t<T> sum[tile_rows] = {};
                for (index_t j = 0; j < columns_; ++j) {
                    const vec_t<T> first = load(from + j * stride + d);
                    for (index_t r = 0; r < tile_rows; ++r) sum[r] = row[r][j] * first + sum[r];
                }
                for (index_t r = 0; r < tile_rows && k + r < count_; ++r)
                    store(to + (k + r) * stride + d, sum[r]);
            }
        }
    }

  private:
    index_t rows_, columns_, count_ = 0;
    Buffer<T> value_;
    Buffer<index_t> single_, dense_;
};

// w_ij = softmax_j( -half_precision distance_ij + l_j ): the row's maximum is taken out first, so
// a row sums to one however far its point lies from every centre. w may be the distances' array.
inline void softmax_rows(const double* distances, index_t rows, index_t columns,
                         double half_precision, const double* log_weights, double* w) {
    constexpr index_t lanes = Blocks<double>::lanes;
    Team(rows, rows * columns > 65536).for_each(rows, [&](int, index_t i) {
        const double* distance = distances + i * columns;
        double* row = w + i * columns;
        double largest = -HUGE_VAL;
        for (index_t j = 0; j < columns; ++j) {
            row[j] = -half_precision * distance[j] + (log_weights ? log_weights[j] : 0.0);
            if (row[j] > largest) largest = row[j];
        }
        double sum = 0;
        for (index_t j = 0; j < columns; j += lanes) {
            const index_t n = columns - j < lanes ? columns - j : lanes;
            const vec_t<double> power = exp<double>(load_up_to(row + j, n) - largest);
            std::memcpy(row + j, &power, static_cast<std::size_t>(n) * sizeof(double));
            for (index_t l = 0; l < n; ++l) sum += row[j + l];
        }
        for (index_t j = 0; j < columns; ++j) row[j] /= sum;
    });
}

ENFILT_CLOSE
