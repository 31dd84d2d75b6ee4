// sum_j w_ij (c1 x1_j + c0 x0_j) for any numbers of points and members, and what is done with it.
#pragma once

#include "members.hpp"

namespace enfilt::cuda {

// What a pass needs of the weights.
template <class T>
struct WeightRows {
    const T* w;         // (M, N)
    const int* single;  // (M,): the column of a one-hot row, or -1
};

// to_i = advance(from_i, pull_i), component by component. An `Advance` answers
//
//     seen(d)                        what all points need of component d
//     operator()(seen, i, d, x, pull)
template <class T, class Advance>
struct MixPass {
    static constexpr unsigned threads = 256;
    static constexpr int tile = 64, slab = 16;
    static constexpr int column_threads = 32, row_threads = static_cast<int>(threads) / 32;
    static constexpr int rows_each = tile / row_threads, columns_each = tile / column_threads;
    static constexpr std::size_t shared_bytes = 2 * tile * slab * sizeof(T) + sizeof(double);

    const T* from;  // (M, D)
    T* to;          // (M, D); `from` itself is allowed
    index_t points;
    Members<T> members;
    Blend<T> target;
    WeightRows<T> weights;
    Advance advance;

    Grid grid() const {
        return {count_of(divide_up(members.dim, tile)), count_of(smaller(divide_up(points, tile), 65535))};
    }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        T* const mixed = c.template shared<T>();  // (slab, tile) of the target
        T* const weight = mixed + slab * tile;    // (tile, slab)
        int* const dense = reinterpret_cast<int*>(weight + tile * slab);
        const index_t dim = members.dim;
        const int column = static_cast<int>(c.thread() % column_threads);
        const int row = static_cast<int>(c.thread() / column_threads);
        const index_t first_d = static_cast<index_t>(c.block()) * tile;
        for (index_t first_i = static_cast<index_t>(c.row()) * tile; first_i < points;
             first_i += static_cast<index_t>(c.rows()) * tile) {
            if (c.thread() == 0) *dense = 0;
            c.sync();
            if (c.thread() < tile && first_i + c.thread() < points &&
                weights.single[first_i + c.thread()] < 0)
                c.add(dense, 1);
            c.sync();
            T pull[rows_each][columns_each] = {};
            if (*dense) {
                add_all(c, first_i, first_d, row, column, mixed, weight, pull);
            } else {
                ENFILT_UNROLL(8)
                for (int r = 0; r < rows_each; ++r) {
                    const index_t i = first_i + row + r * row_threads;
                    if (i >= points) continue;
                    for (int q = 0; q < columns_each; ++q) {
                        const index_t d = first_d + column + q * column_threads;
                        if (d < dim) pull[r][q] = target(members, weights.single[i], d);
                    }
                }
            }
            ENFILT_UNROLL(2)
            for (int q = 0; q < columns_each; ++q) {
                const index_t d = first_d + column + q * column_threads;
                if (d >= dim) continue;
                const auto seen = advance.seen(d);
                ENFILT_UNROLL(8)
                for (int r = 0; r < rows_each; ++r) {
                    const index_t i = first_i + row + r * row_threads;
                    if (i < points) to[i * dim + d] = advance(seen, i, d, from[i * dim + d], pull[r][q]);
                }
            }
            c.sync();
        }
    }

  private:
    template <class Context>
    ENFILT_DEVICE void add_all(Context& c, index_t first_i, index_t first_d, int row, int column,
                               T* mixed, T* weight, T (&pull)[rows_each][columns_each]) const {
        const index_t dim = members.dim;
        for (index_t first_j = 0; first_j < members.count; first_j += slab) {
            for (int k = row; k < slab; k += row_threads)
                for (int q = 0; q < columns_each; ++q) {
                    const int at = column + q * column_threads;
                    const index_t j = first_j + k, d = first_d + at;
                    mixed[k * tile + at] =
                        j < members.count && d < dim ? target(members, j, d) : T(0);
                }
            for (int e = static_cast<int>(c.thread()); e < tile * slab;
                 e += static_cast<int>(threads)) {
                const index_t i = first_i + e / slab, j = first_j + e % slab;
                weight[e] = i < points && j < members.count
                                ? weights.w[i * members.count + j]
                                : T(0);
            }
            c.sync();
ENFILT_UNROLL(4)
            for (int k = 0; k < slab; ++k) {
                T value[columns_each];
                for (int q = 0; q < columns_each; ++q)
                    value[q] = mixed[k * tile + column + q * column_threads];
                for (int r = 0; r < rows_each; ++r) {
                    const T w = weight[(row + r * row_threads) * slab + k];
                    for (int q = 0; q < columns_each; ++q) pull[r][q] += w * value[q];
                }
            }
            c.sync();
        }
    }
};

}  // namespace enfilt::cuda
