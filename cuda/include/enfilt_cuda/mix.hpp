// sum_j w_ij (c1 x1_j + c0 x0_j) for any numbers of points and members, and what is done with it.
#pragma once

#include "members.hpp"

namespace enfilt::cuda {

// What a pass needs of the weights.
template <class T>
struct WeightRows {
    const T* w;         // (M, N)
    const int* single;  // (M,): the column of a one-hot row, or -1

    ENFILT_DEVICE WeightRows of(index_t ensemble, index_t rows, index_t columns) const {
        return {w + ensemble * rows * columns, single + ensemble * rows};
    }
};

// A tile of sums over terms, sum_k weight_ik value_kd: Height rows and 64 columns a block.
template <class T, int Height = 64>
struct MixTile {
    static constexpr unsigned threads = 256;
    static constexpr unsigned resident = sizeof(T) == sizeof(float) ? 3 : 2;  // without spills
    static constexpr int width = 64, slab = 16;
    static constexpr int column_threads = 32, row_threads = static_cast<int>(threads) / 32;
    static constexpr int rows_each = Height / row_threads, columns_each = width / column_threads;
    static constexpr std::size_t shared_bytes = (width + Height) * slab * sizeof(T);
    using Sums = T[rows_each][columns_each];

    T* shared;
    int row, column;  // the first of this thread; others follow at the distances above

    template <class Context>
    ENFILT_DEVICE explicit MixTile(Context& c)
        : shared(c.template shared<T>()), row(static_cast<int>(c.thread()) / column_threads),
          column(static_cast<int>(c.thread()) % column_threads) {}

    // Of value(k, place of a column) and weight(place of a row, k).
    template <class Context, class Value, class Weight>
    ENFILT_DEVICE void add(Context& c, int terms, const Value& value, const Weight& weight,
                           Sums& sums) const {
        T* const values = shared;                  // (slab, width)
        T* const weights = shared + slab * width;  // (Height, slab)
        for (int first = 0; first < terms; first += slab) {
            for (int k = row; k < slab; k += row_threads)
                for (int q = 0; q < columns_each; ++q) {
                    const int at = column + q * column_threads;
                    values[k * width + at] = first + k < terms ? value(first + k, at) : T(0);
                }
            for (int e = static_cast<int>(c.thread()); e < Height * slab;
                 e += static_cast<int>(threads))
                weights[e] = first + e % slab < terms ? weight(e / slab, first + e % slab) : T(0);
            c.sync();
ENFILT_UNROLL(4)
            for (int k = 0; k < slab; ++k) {
                T at[columns_each];
                for (int q = 0; q < columns_each; ++q)
                    at[q] = values[k * width + column + q * column_threads];
                for (int r = 0; r < rows_each; ++r) {
                    const T w = weights[(row + r * row_threads) * slab + k];
                    for (int q = 0; q < columns_each; ++q) sums[r][q] += w * at[q];
                }
            }
            c.sync();
        }
    }
};

// to_i = advance(from_i, pull_i), component by component. An `Advance` answers
//
//     seen(d)                        what all points need of component d
//     operator()(seen, i, d, x, pull)
//     heavy                          whether it takes more registers than two blocks in float64 leave
//     of(ensemble)                   itself, of an ensemble of a batch
template <class T, class Advance>
struct MixPass {
    using Tile = MixTile<T>;
    static constexpr unsigned threads = Tile::threads;
    static constexpr unsigned resident = Advance::heavy && sizeof(T) == 8 ? 1 : Tile::resident;
    static constexpr int tile = Tile::width;
    static constexpr int column_threads = Tile::column_threads, row_threads = Tile::row_threads;
    static constexpr int rows_each = Tile::rows_each, columns_each = Tile::columns_each;
    static constexpr std::size_t shared_bytes = Tile::shared_bytes + sizeof(double);

    const T* from;  // (M, D)
    T* to;          // (M, D); `from` itself is allowed
    index_t points;
    Members<T> members;
    Blend<T> target;
    WeightRows<T> weights;
    Advance advance;

    Grid grid(index_t ensembles) const {
        return {count_of(divide_up(members.dim, tile)),
                count_of(smaller(divide_up(points, tile), 65535)), count_of(ensembles)};
    }
    ENFILT_DEVICE MixPass of(index_t ensemble) const {
        const index_t away = ensemble * points * members.dim;
        return {from + away,
                to + away,
                points,
                members.of(ensemble),
                target,
                weights.of(ensemble, points, members.count),
                advance.of(ensemble)};
    }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        of(c.ensemble()).run(c);
    }

    template <class Context>
    ENFILT_DEVICE void run(Context& c) const {
        const Tile mixed(c);
        int* const dense =
            reinterpret_cast<int*>(c.template shared<char>() + Tile::shared_bytes);
        const index_t dim = members.dim;
        const int row = mixed.row, column = mixed.column;
        const index_t first_d = static_cast<index_t>(c.block()) * tile;
        for (index_t first_i = static_cast<index_t>(c.row()) * tile; first_i < points;
             first_i += static_cast<index_t>(c.rows()) * tile) {
            if (c.thread() == 0) *dense = 0;
            c.sync();
            if (c.thread() < tile && first_i + c.thread() < points &&
                weights.single[first_i + c.thread()] < 0)
                c.add(dense, 1);
            c.sync();
            typename Tile::Sums pull = {};
            if (*dense) {
                mixed.add(
                    c, static_cast<int>(members.count),
                    [&](int j, int at) {
                        return first_d + at < dim ? target(members, j, first_d + at) : T(0);
                    },
                    [&](int at, int j) {
                        const index_t i = first_i + at;
                        return i < points ? weights.w[i * members.count + j] : T(0);
                    },
                    pull);
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
};

}  // namespace enfilt::cuda
