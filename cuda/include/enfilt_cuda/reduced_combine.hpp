// The last pass of the reduced form: z from its coefficients, in the working precision.
#pragma once

#include "mix.hpp"
#include "reduced_rows.hpp"

namespace enfilt::cuda {

// A block has a run of components, of which it takes those of one group. Height: the members that
// it has at a time.
template <class T, int Height>
struct CombinePass {
    using Tile = MixTile<T, Height>;
    static constexpr unsigned threads = Tile::threads;
    static constexpr unsigned resident = Tile::resident;
    using Run = GroupOfRun<threads>;
    static constexpr std::size_t shared_bytes = Tile::shared_bytes + Run::shared_bytes;

    ReducedRows<T> rows;
    index_t groups;
    const T* coefficients;  // (groups, N, stored)
    T* z;                   // (N, D); the normals themselves are allowed

    Grid grid() const {
        return {count_of(divide_up(rows.dim, threads) * groups),
                count_of(smaller(divide_up(rows.at.members, Height), 65535))};
    }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const Tile tile(c);
        const Run run{reinterpret_cast<int*>(c.template shared<char>() + Tile::shared_bytes)};
        const RowLayout& at = rows.at;
        const index_t n = at.members, g = c.block() % groups;
        const index_t begin = c.block() / groups * threads;
        const int count = run.gather(c, rows.group, begin, rows.dim, g);
        const T* const of_group = coefficients + g * n * at.stored();
        for (index_t first_i = static_cast<index_t>(c.row()) * Height; first_i < n;
             first_i += static_cast<index_t>(c.rows()) * Height) {
            for (int first = 0; first < count; first += Tile::width) {
                typename Tile::Sums sums = {};
                tile.add(
                    c, at.noise(),
                    [&](int r, int place) {
                        if (first + place >= count) return T(0);
                        const index_t d = begin + run.order[first + place];
                        return rows.template value<T>(r, d, rows.centre[d]);
                    },
                    [&](int place, int r) {
                        const index_t i = first_i + place;
                        return i < n ? of_group[i * at.stored() + r] : T(0);
                    },
                    sums);
                ENFILT_UNROLL(2)
                for (int q = 0; q < Tile::columns_each; ++q) {
                    const int place = first + tile.column + q * Tile::column_threads;
                    if (place >= count) continue;
                    const index_t d = begin + run.order[place];
                    ENFILT_UNROLL(8)
                    for (int r = 0; r < Tile::rows_each; ++r) {
                        const index_t i = first_i + tile.row + r * Tile::row_threads;
                        if (i >= n) continue;
                        const T own = of_group[i * at.stored() + at.noise()];
                        z[i * rows.dim + d] = own * rows.noise[i * rows.dim + d] + sums[r][q];
                    }
                }
            }
        }
    }
};

}  // namespace enfilt::cuda
